"""What a handler is and gets. Rule: a handler is called as `handler(event, context)`, always (H-2)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from triggerkit.errors import HandlerSignatureError

R_co = TypeVar("R_co", covariant=True)
Handler: TypeAlias = Callable[[Any, Any], object]


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

    def log(self, msg: str) -> None:
        """Write a line to the log."""
        ...


def check_handler(handler: object) -> None:
    """Check that `handler` can be called with event and context, and that calling it runs it.

    Raises:
        HandlerSignatureError: naming the function and its signature.
    """
    where = origin_of(handler)
    if not callable(handler):
        raise HandlerSignatureError(
            f"{handler!r} is not a function",
            hint='write @handlers.on("dynamodb://TABLE") above def',
        )
    target = _called(handler)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise HandlerSignatureError(
            f"handler {where} is a generator: calling it would run nothing",
            hint="return instead of yield",
        )
    try:
        signature = inspect.signature(handler)
    except ValueError:  # a function written in C may not tell
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise HandlerSignatureError(
            f"handler {where}{signature} cannot be called as handler(event, context): {error}",
            hint="take two positional arguments: def NAME(event, context)",
        ) from None


def origin_of(handler: object) -> str:
    """Where `handler` is defined, as `module.qualname`."""
    module = getattr(handler, "__module__", None) or type(handler).__module__
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return f"{module}.{name}"


def _called(handler: Callable[..., object]) -> object:
    while hasattr(handler, "func"):  # functools.partial, also one around another
        handler = handler.func
    if inspect.isroutine(handler) or inspect.isclass(handler):
        return handler
    return type(handler).__call__


def is_async(handler: Callable[..., object]) -> bool:
    """Whether calling `handler` gives a coroutine; sees through partials and callable objects."""
    return inspect.iscoroutinefunction(_called(handler))
