"""What the user writes. Declaring runs nothing, resolves nothing and imports nothing heavy.

A `Triggers` collects functions with their sources and options; there is no global registry. A
decorated function is returned unchanged. What can be checked without configuration (option names, the
handler's signature, unique names) is checked at the line that declares it; the rest at `run`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import (
    Any,
    Generic,
    Literal,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from triggerkit.core.lambda_names import unknown_option
from triggerkit.errors import DuplicateTriggerError, LocatorError, UsageError
from triggerkit.handlers import (
    Context,
    Handler,
    TypedFunction,
    Typing,
    check_handler,
    is_async,
    origin_of,
    read_typed,
)

__all__ = [
    "Context",
    "Handler",
    "Lifespan",
    "Options",
    "Trigger",
    "Triggers",
    "check_name",
]

R = TypeVar("R")
H = TypeVar("H", bound=Handler)
E = TypeVar("E", bound=TypedFunction)
Lifespan: TypeAlias = Callable[[], AbstractContextManager[Any] | AbstractAsyncContextManager[Any]]

_NAME = re.compile(r"[\w.-]+")


class Options(TypedDict, total=False):
    """Every option of a trigger; units, ranges and defaults are in `triggerkit.core.options`."""

    batch_size: int
    maximum_batching_window_in_seconds: int
    starting_position: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
    starting_position_timestamp: float | datetime | None
    parallelization_factor: int
    maximum_retry_attempts: int
    maximum_record_age_in_seconds: int
    bisect_batch_on_function_error: bool
    report_batch_item_failures: bool
    on_failure: str | None
    enabled: bool
    timeout: float | None
    maximum_concurrency: int | None
    state: str | None
    on_invalid: Literal["discard", "retry"] | None
    idle_poll_seconds: float
    checkpoint_interval_seconds: float | None


@dataclass(frozen=True, slots=True)
class Trigger:
    """One declared function.

    `sources` are locators as written, `${VAR}` unresolved. `options` are the decorator's. `defaults`
    are those of its group and of the groups around it, the nearest winning. `lifespan` is its group's
    own, else that of the nearest group around it; the same object is entered once. `typing` is None for
    `.on`: the handler takes Lambda's event and context.
    """

    name: str
    handler: Handler | TypedFunction
    sources: tuple[str, ...]
    options: Mapping[str, object]
    defaults: Mapping[str, object]
    is_async: bool
    lifespan: Lifespan | None
    typing: Typing | None = None

    @property
    def origin(self) -> str:
        """Where the handler is defined, as `module.qualname`."""
        return origin_of(self.handler)


class Triggers(Generic[R]):
    """A group of triggers; `R` is what `lifespan` yields and `context.resources` is."""

    @overload
    def __init__(
        self: Triggers[None],
        name: str = "",
        *,
        lifespan: None = None,
        **defaults: Unpack[Options],
    ) -> None: ...

    @overload
    def __init__(
        self,
        name: str = "",
        *,
        lifespan: Callable[[], AbstractContextManager[R] | AbstractAsyncContextManager[R]],
        **defaults: Unpack[Options],
    ) -> None: ...

    def __init__(
        self, name: str = "", *, lifespan: Lifespan | None = None, **defaults: Unpack[Options]
    ) -> None:
        if name:
            check_name(name, what="Triggers name")
        _check_lifespan(lifespan, name)
        given: dict[str, object] = {**defaults}
        _check_option_names(given, where=f"Triggers({name!r})")
        self._name = name
        self._lifespan = lifespan
        self._defaults = MappingProxyType(given)
        self._entries: list[Trigger | _Group] = []

    @property
    def name(self) -> str:
        """The group's name; of the outermost group, the app's name unless configured."""
        return self._name

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """All triggers of this group and of the included ones, in the order of declaration.

        Raises:
            DuplicateTriggerError: a group included earlier has since got a name that exists.
        """
        found = tuple(self._walk())
        _check_unique(found)
        return found

    @property
    def groups(self) -> tuple[Triggers[Any], ...]:
        """The groups included, at any depth."""
        direct = [entry.group for entry in self._entries if isinstance(entry, _Group)]
        return tuple(direct) + tuple(deep for group in direct for deep in group.groups)

    def on(
        self, *sources: str, name: str | None = None, **options: Unpack[Options]
    ) -> Callable[[H], H]:
        """Call the decorated function with Lambda's event and context for each batch of `sources`.

        Args:
            sources: locators such as `dynamodb://orders`, or ARNs; `${VAR}` is resolved at run.
            name: the trigger's name, under which state is kept; the function's name by default.
            options: anything of `Options`; unset ones come from the group, then Lambda's defaults.

        Raises:
            HandlerSignatureError: the function cannot be called as `handler(event, context)`.
            DuplicateTriggerError: the group has a trigger of that name.
            OptionError, LocatorError, UsageError: an unknown option, a bad source, a bad name.
        """
        _check_called("on", sources)

        def declare(handler: H) -> H:
            check_handler(handler)
            self._declare(handler, None, name, sources, {**options})
            return handler

        return declare

    def each(
        self, *sources: str, name: str | None = None, **options: Unpack[Options]
    ) -> Callable[[E], E]:
        """Call the decorated function with one change at a time.

        The annotation of its first parameter says for which kinds of change it is called and what an
        item is: `Change[Order]`, `Modified[Order]`, `Inserted[Order] | Removed[Order]`. Without one,
        all kinds and dict. Other kinds are skipped. A second parameter gets the context.

        The record is the unit of retry and discard: one that fails is tried again without its
        neighbours, ahead of later records of its key. An async function gets the records of different
        keys concurrently, at most `maximum_concurrency` of them where that is set; `timeout` is for
        one record. What it returns is ignored; `bisect_batch_on_function_error` has nothing to do.

        Args:
            sources: as for `on`.
            name: as for `on`.
            options: as for `on`.

        Raises:
            HandlerSignatureError: wrong parameters, or an annotation that is no change.
            DuplicateTriggerError, OptionError, LocatorError, UsageError: as for `on`.
        """
        _check_called("each", sources)

        def declare(handler: E) -> E:
            around = sys._getframe(1).f_locals  # noqa: SLF001 - where a local class is named
            typing = read_typed(handler, "each", around)
            self._declare(handler, typing, name, sources, {**options})
            return handler

        return declare

    def batch(
        self, *sources: str, name: str | None = None, **options: Unpack[Options]
    ) -> Callable[[E], E]:
        """Call the decorated function with a batch of changes.

        The annotation of its first parameter is `Batch[Change[Order]]`, `Batch[Modified[Order]]` and
        so on; see `each`. It returns when the whole batch is done, raises when it failed, or names what
        failed by `batch.fail(item)`. A record that does not fit the type of the item is not in the
        batch and fails by itself; later records of its key wait for it.

        Args:
            sources: as for `on`.
            name: as for `on`.
            options: as for `on`.

        Raises:
            HandlerSignatureError: wrong parameters, or an annotation that is no batch of changes.
            DuplicateTriggerError, OptionError, LocatorError, UsageError: as for `on`.
        """
        _check_called("batch", sources)

        def declare(handler: E) -> E:
            around = sys._getframe(1).f_locals  # noqa: SLF001 - where a local class is named
            typing = read_typed(handler, "batch", around)
            self._declare(handler, typing, name, sources, {**options})
            return handler

        return declare

    def _declare(
        self,
        handler: Handler | TypedFunction,
        typing: Typing | None,
        name: str | None,
        sources: tuple[str, ...],
        options: Mapping[str, object],
    ) -> None:
        trigger = Trigger(
            name=_name_of(handler) if name is None else check_name(name, what="trigger name"),
            handler=handler,
            sources=sources,
            options=MappingProxyType(options),
            defaults=self._defaults,
            is_async=is_async(handler),
            lifespan=self._lifespan,
            typing=typing,
        )
        _check_option_names(options, where=f"trigger {trigger.name!r}")
        _check_sources(trigger)
        _check_unique((*self._walk(), trigger))
        self._entries.append(trigger)

    def include(self, *groups: Triggers[Any], prefix: str = "") -> None:
        """Take in other groups, with what they declare later too.

        Their own defaults and lifespan win over this group's.

        Args:
            groups: any number of groups.
            prefix: put in front of their triggers' names, such as `orders.`.

        Raises:
            DuplicateTriggerError: two triggers would have one name.
            UsageError: a group would include itself, or the prefix cannot be part of a name.
        """
        if prefix:
            check_name(prefix, what="prefix")
        for group in groups:
            if not isinstance(group, Triggers):
                raise UsageError(
                    f"include({group!r}): not a Triggers", hint="include the object, not its module"
                )
            if self is group or self in group.groups:
                raise UsageError(
                    f"Triggers({self._name!r}) would include itself", hint="remove one include"
                )
            added = _Group(group, prefix)
            _check_unique((*self._walk(), *self._of(added)))
            self._entries.append(added)

    def __repr__(self) -> str:
        return f"Triggers({self._name!r}, {', '.join(t.name for t in self._walk()) or 'empty'})"

    def _walk(self) -> Iterator[Trigger]:
        for entry in self._entries:
            if isinstance(entry, Trigger):
                yield entry
            else:
                yield from self._of(entry)

    def _of(self, included: _Group) -> Iterator[Trigger]:
        for trigger in included.group.triggers:
            yield replace(
                trigger,
                name=included.prefix + trigger.name,
                defaults=MappingProxyType({**self._defaults, **trigger.defaults}),
                lifespan=self._lifespan if trigger.lifespan is None else trigger.lifespan,
            )


@dataclass(frozen=True, slots=True)
class _Group:
    group: Triggers[Any]
    prefix: str


def check_name(name: object, *, what: str) -> str:
    """Return `name` if it can be part of a lease key (`app@env:mapping:source:...`).

    Raises:
        UsageError: it is empty or has other characters than letters, digits, `_`, `.` and `-`.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{what} {name!r} is not allowed: state is kept under it",
            hint="use letters, digits, '_', '.' and '-' only",
        )
    return name


def _check_lifespan(lifespan: object, name: str) -> None:
    entered = isinstance(lifespan, AbstractContextManager | AbstractAsyncContextManager)
    bare = inspect.isgeneratorfunction(lifespan) or inspect.isasyncgenfunction(lifespan)
    if lifespan is not None and (entered or bare or not callable(lifespan)):
        raise UsageError(
            f"Triggers({name!r}): lifespan={lifespan!r} does not return a context manager",
            hint="pass a function under @contextmanager or @asynccontextmanager, uncalled",
        )


def _check_option_names(given: Mapping[str, object], *, where: str) -> None:
    known = list(Options.__annotations__)
    for name in given:
        if name not in known:
            raise unknown_option(name, known, f"{where}: ")


def _check_called(method: str, sources: Sequence[object]) -> None:
    """Refuse `@handlers.on` without parentheses: Python would replace the function by a decorator.

    Raises:
        UsageError: a function stands where the sources belong.
    """
    for given in sources:
        if callable(given):
            raise UsageError(
                f"{method}() got {origin_of(given)} where its sources belong, and declares nothing",
                hint=f'write @handlers.{method}("dynamodb://TABLE") above the function; '
                f"@handlers.{method}() if its sources are in the configuration",
            )


def _check_sources(trigger: Trigger) -> None:
    for source in trigger.sources:
        if not isinstance(source, str):
            raise LocatorError(
                f"trigger {trigger.name!r}: source {source!r} is not text",
                hint='write it as "dynamodb://TABLE"',
            )
        if trigger.sources.count(source) > 1:
            raise LocatorError(
                f"trigger {trigger.name!r}: source {source!r} is given twice",
                hint="name each source once",
            )


def _check_unique(triggers: Sequence[Trigger]) -> None:
    first: dict[str, Trigger] = {}
    for trigger in triggers:
        other = first.setdefault(trigger.name, trigger)
        if other is not trigger:
            raise DuplicateTriggerError(
                f"two triggers are named {trigger.name!r}: {other.origin} and {trigger.origin}",
                hint="give one a name=..., or include its group with a prefix=...",
            )


def _name_of(handler: object) -> str:
    name = getattr(handler, "__name__", "")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"handler {handler!r} has no name to keep state under", hint='give it one: name="..."'
        )
    return str(name)
