"""What a handler is and gets. An event handler is always called as `handler(event, context)` (H-2).

A typed one, of `.each` or `.batch`, is called with its change or batch, and with the context if it takes it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Concatenate, Protocol, TypeAlias, TypeVar

from triggerkit.errors import HandlerSignatureError
from triggerkit.invokers.annotations import HandlerAnnotation, Unit, UnresolvedName

R_co = TypeVar("R_co", covariant=True)
Handler: TypeAlias = Callable[[Any, Any], object]
TypedFunction: TypeAlias = Callable[Concatenate[Any, ...], object]
"""Takes a change or a batch, and the context if it likes."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Typing:
    """What the signature of a typed handler says."""

    annotation: HandlerAnnotation
    takes_context: bool


class Context(Protocol[R_co]):
    """What a handler gets beside its event: Lambda's attributes, and three of ours.

    Source: Lambda dev guide, python-context; lambda-contract 8.2.
    """

    @property
    def function_name(self) -> str:
        """The trigger's name."""
        ...

    @property
    def function_version(self) -> str:
        """`$LATEST`."""
        ...

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN."""
        ...

    @property
    def memory_limit_in_mb(self) -> str:
        """Megabytes as text, as on Lambda."""
        ...

    @property
    def aws_request_id(self) -> str:
        """A UUID for each call."""
        ...

    @property
    def log_group_name(self) -> str:
        """`/aws/lambda/NAME`."""
        ...

    @property
    def log_stream_name(self) -> str:
        """`YYYY/MM/DD/[VERSION]` and 32 hex digits."""
        ...

    @property
    def identity(self) -> object:
        """Has `cognito_identity_id` and `cognito_identity_pool_id`, both None."""
        ...

    @property
    def client_context(self) -> object:
        """None for stream events."""
        ...

    @property
    def tenant_id(self) -> str | None:
        """None for stream events."""
        ...

    @property
    def trigger(self) -> str:
        """The trigger's name."""
        ...

    @property
    def attempt(self) -> int:
        """1 for the first call of this batch."""
        ...

    @property
    def resources(self) -> R_co:
        """What `lifespan` yielded; None without one."""
        ...

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this call may no longer take effect; never below 0."""
        ...

    def w3c(self) -> dict[str, str]:
        """The W3C trace context of the call: empty for stream events."""
        ...

    def log(self, msg: str) -> None:
        """Write a line to the log."""
        ...


def check_handler(handler: object) -> None:
    """Check that `handler` can be called with event and context, and that calling it runs it.

    Raises:
        HandlerSignatureError: naming the function and its signature.
    """
    signature = _checked(handler, 'write @handlers.on("dynamodb://TABLE") above def')
    if signature is None:
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise HandlerSignatureError(
            f"handler {origin_of(handler)}{signature} cannot be called as "
            f"handler(event, context): {error}",
            hint="take two positional arguments: def NAME(event, context)",
        ) from None


def read_typed(handler: object, unit: Unit, local_names: Mapping[str, Any]) -> Typing:
    """Check a handler of `.each` or `.batch`, and what its annotation says as far as names exist by now.

    Args:
        handler: the decorated function.
        unit: which of the two.
        local_names: those of the code that declares it, where a class of a function around it lives.

    Raises:
        HandlerSignatureError: naming the function, its signature and what would be right.
    """
    signature = _checked(handler, f'write @handlers.{unit}("dynamodb://TABLE") above def')
    where = origin_of(handler)
    annotation: object = Any
    takes_context = False
    if signature is not None:
        annotation = _first_annotation(signature)
        takes_context = _takes_context(signature, unit, where)
    function = inspect.unwrap(_called(handler)) if callable(handler) else None
    module_names: Mapping[str, Any] = getattr(function, "__globals__", {})
    near = {} if local_names is module_names else _named_in(annotation, local_names)
    annotation = HandlerAnnotation(unit, annotation, where, module_names, near)
    with suppress(UnresolvedName):  # a class further down the module: asked again at the start
        annotation.models()
    return Typing(annotation, takes_context)


def _checked(handler: object, hint: str) -> inspect.Signature | None:
    """Its signature, if calling it runs it; None where a function written in C does not tell."""
    if not callable(handler):
        raise HandlerSignatureError(f"{handler!r} is not a function", hint=hint)
    target = _called(handler)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise HandlerSignatureError(
            f"handler {origin_of(handler)} is a generator: calling it would run nothing",
            hint="return instead of yield",
        )
    try:
        return inspect.signature(handler)
    except ValueError:
        return None


def _first_annotation(signature: inspect.Signature) -> object:
    for parameter in signature.parameters.values():
        if parameter.kind in _POSITIONAL and parameter.annotation is not parameter.empty:
            return parameter.annotation
        break
    return Any


def _takes_context(signature: inspect.Signature, unit: Unit, where: str) -> bool:
    called = "change" if unit == "each" else "batch"
    wrong = HandlerSignatureError(
        f"handler {where}{signature} cannot be called as handler({called}) "
        f"or handler({called}, context)",
        hint=f"take one or two positional arguments: def NAME({called}, context); "
        "put others behind `*`, with a default",
    )
    given = list(signature.parameters.values())
    second = [each for each in given if each.kind in _POSITIONAL][1:2]
    takes = bool(second) or any(each.kind is each.VAR_POSITIONAL for each in given)
    if second and second[0].default not in (second[0].empty, None):
        raise wrong  # a parameter of its own, such as retries=3: the context must not land in it
    try:
        signature.bind(*(None, None)[: 1 + takes])
    except TypeError:
        raise wrong from None
    return takes


def _named_in(annotation: object, names: Mapping[str, Any]) -> dict[str, Any]:
    """Only what the text of an annotation names: a declaration must keep nothing else alive."""
    if not isinstance(annotation, str):
        return {}
    try:
        used = compile(annotation, "annotation", "eval").co_names
    except SyntaxError:
        return {}
    return {name: names[name] for name in used if name in names}


def origin_of(handler: object) -> str:
    """Where `handler` is defined, as `module.qualname`."""
    module = getattr(handler, "__module__", None) or type(handler).__module__
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return f"{module}.{name}"


def _called(handler: Callable[..., object]) -> Callable[..., object]:
    while isinstance(handler, functools.partial):  # also one around another
        handler = handler.func
    if inspect.isroutine(handler) or inspect.isclass(handler):
        return handler
    called: Callable[..., object] = type(handler).__call__
    return called


def is_async(handler: Callable[..., object]) -> bool:
    """Whether calling `handler` gives a coroutine; sees through partials and callable objects."""
    return inspect.iscoroutinefunction(_called(handler))
