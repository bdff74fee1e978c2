"""Where log entries go: all to one stream, one whole line at a time.

Entries come from our own loggers (`get_logger`), from structlog as user code finds it, and from the standard
`logging` module. All get the fields of the call that is under way, which nothing that user code adds can
replace. Our own loggers do not depend on structlog's global configuration, which user code may change.

The root logger has one handler before the user's module is imported, as on Lambda, and what that module
then makes of loggers, levels and handlers holds. A record counts from the level that user code gave its
logger or the root logger. Where it gave none, it counts from the level of the log inside of calls, and
from WARNING on elsewhere, where third parties log. A record that a handler of the user's writes to a
standard stream is a line of output already and is not logged again.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NoReturn, Protocol, TextIO, TypeAlias, cast

import structlog
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.processors import add_log_level, format_exc_info
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from triggerkit.core.masking import masked_value
from triggerkit.core.safe_text import safe
from triggerkit.invokers.capture import (
    ScopedStream,
    call_here,
    capture_streams,
    is_captured,
    real_stream,
)
from triggerkit.runtime.colours import is_terminal, wants_colours
from triggerkit.runtime.log_json import JsonSink
from triggerkit.runtime.terminal import TerminalSink

LogFormat: TypeAlias = Literal["auto", "pretty", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]

_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_NOISY = ("asyncio", "boto3", "botocore", "s3transfer", "urllib3")
_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PROCESS_FIELDS = frozenset({"timestamp", "level", "app", "env", "worker", "exception"})
_HANDLERS_OWN = frozenset({"handler_printed", "handler_logged"})
"""Events whose message is the handler's own: no secret is looked for in it."""


class LogSink(Protocol):
    """Writes entries; called on any thread, never blocks."""

    @property
    def always_shown(self) -> frozenset[str]:
        """Events of our own that are written whatever the level of the log."""
        ...

    def write(self, entry: dict[str, object], *, ours: bool, keep: bool) -> None:
        """Write one entry. `ours`: an event of triggerkit's own. `keep`: it must not be dropped to make room."""
        ...

    def close(self) -> None:
        """Write what waits; entries may still come."""
        ...


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How a process logs.

    `format` auto is pretty in a terminal and JSON lines elsewhere. `live` allows a status line below the
    log, in a terminal that can. `fields` are on every JSON line: `app`, `env` and `worker`.
    """

    format: LogFormat = "auto"
    level: LogLevel = "info"
    live: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)


_UNCONFIGURED = LogSettings(level="warning")
"""Until `configure_logging`, and in a program that logs by itself."""


class _Current:
    """What is configured; before that, warnings go to stderr."""

    sink: LogSink | None = None
    threshold: int = _NUMBERS[_UNCONFIGURED.level]


def configure_logging(settings: LogSettings, stream: TextIO) -> Callable[[], None]:
    """Send every log entry of the process to `stream`.

    Colours are used where `colours.wants_colours` says so. Call it before the user's module is imported, since
    loggers made there keep the streams and handlers that they find. Called again it changes the stream, the
    settings and levels of its own, and leaves alone what the module has configured meanwhile.

    Returns:
        What brings the former configuration back.
    """
    former_sink, former_threshold = _Current.sink, _Current.threshold
    former_structlog = structlog.get_config()
    sink = _Current.sink = _make_sink(settings, stream)
    _Current.threshold = _NUMBERS[settings.level]
    if former_sink is not None:
        former_sink.close()
    else:
        structlog.configure(
            processors=_USER_STEPS,
            wrapper_class=_WRAPPER,
            context_class=dict,
            logger_factory=structlog.PrintLoggerFactory(),  # for processors of the user's that render
            cache_logger_on_first_use=False,
        )
    restore_root = _take_root(_Current.threshold, first=former_sink is None)

    def restore() -> None:
        restore_root()
        if former_sink is None:
            structlog.configure(**former_structlog)
        sink.close()
        _Current.sink, _Current.threshold = former_sink, former_threshold

    return restore


def get_logger() -> FilteringBoundLogger:
    """A logger of our own; follows `configure_logging`, also when that is called later."""
    logger = structlog.wrap_logger(
        None, processors=_OWN_STEPS, wrapper_class=_WRAPPER, context_class=dict
    )
    return cast(FilteringBoundLogger, logger.bind())  # else each call would make a logger first


def is_shown(event: str, level: LogLevel) -> bool:
    """Whether an event of our own is written now. To ask is cheaper than to make an entry for nothing."""
    return _NUMBERS[level] >= _Current.threshold or _is_always_shown(event)


def _is_always_shown(event: object) -> bool:
    return event in (_Current.sink or JsonSink).always_shown


@contextmanager
def own_streams() -> Iterator[None]:
    """What is printed becomes log entries; at the end all is written, and no status line is shown any more."""
    restore = capture_streams(get_logger())
    try:
        yield
    finally:
        settle()
        restore()


def settle() -> None:
    """Write what is still held back, and show no status line any more."""
    if _Current.sink is not None:
        _Current.sink.close()


def _make_sink(settings: LogSettings, stream: TextIO) -> LogSink:
    terminal, real = is_terminal(stream), real_stream(stream)
    if settings.format == "json" or (settings.format == "auto" and not terminal):
        return JsonSink(real, settings.fields)
    can_move = terminal and os.environ.get("TERM", "dumb") != "dumb"
    return TerminalSink(
        real,
        colours=wants_colours(real),
        everything=settings.level == "debug",
        live=settings.live and can_move and settings.level == "info",
    )


def _write(entry: EventDict, number: int, *, ours: bool) -> None:
    """Write an entry if its level, as a number, counts."""
    event, sink = entry.get("event"), _Current.sink
    if number < _Current.threshold and not (ours and _is_always_shown(event)):
        return  # in a program that configures nothing, without a look at its stderr
    sink = sink or _make_sink(_UNCONFIGURED, sys.stderr)
    entry.update(call_here())
    unmasked = {"message", "shown_records"} if event in _HANDLERS_OWN else {"shown_records"}
    shown = {name: one if name in unmasked else masked_value(one) for name, one in entry.items()}
    sink.write(shown, ours=ours, keep=number >= logging.WARNING or event == "stopped")


def _write_ours(_: object, __: str, entry: EventDict) -> NoReturn:
    _write(entry, _NUMBERS.get(entry["level"], 50), ours=True)
    raise structlog.DropEvent


def _write_users(_: object, __: str, entry: EventDict) -> NoReturn:
    if not isinstance(entry.get("event"), str):
        entry["event"] = safe(entry.get("event"))
    _write(entry, _NUMBERS.get(entry["level"], 50), ours=False)
    raise structlog.DropEvent


def _keep_our_fields(_: object, __: str, given: EventDict) -> EventDict:
    """The fields of user code: those that would replace ours are kept under `extra`."""
    call = call_here()
    taken = {
        name: value
        for name, value in given.items()
        if name in _PROCESS_FIELDS or (name in call and value != call[name])
    }
    beside = {name: value for name, value in given.items() if name not in taken}
    return {**beside, "extra": taken} if taken else beside


_WRAPPER = structlog.make_filtering_bound_logger(logging.NOTSET)
_OWN_STEPS: list[Processor] = [merge_contextvars, add_log_level, format_exc_info, _write_ours]
_USER_STEPS: list[Processor] = [
    merge_contextvars,
    _keep_our_fields,
    add_log_level,
    format_exc_info,
    _write_users,
]


class _RootHandler(logging.Handler):
    """Brings the records of the standard `logging` module here."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as an entry with the fields of the call that is under way."""
        inside, chosen = is_captured(), _has_chosen_level(record.name)
        if not (inside or chosen or record.levelno >= logging.WARNING) or _is_printed(record):
            return
        error: object = record.exc_info
        try:
            if self.formatter is None:
                message = record.getMessage()
            else:  # user code has set it: `logging.getLogger().handlers[0].setFormatter(...)`
                message, error = self.format(record), None
        except Exception:  # noqa: BLE001 - logging's own way with bad format arguments
            self.handleError(record)
            return
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN_RECORD}
        entry = {
            **_keep_our_fields(None, "", {**get_contextvars(), **extra}),
            "event": "handler_logged" if inside else "logged",
            "message": message,
            "logger": record.name,
            "level": _level_of(record.levelno),
            "exc_info": error,
        }
        number = logging.CRITICAL if chosen else _NUMBERS[entry["level"]]
        _write(format_exc_info(None, "", entry), number, ours=False)


_root_handler = _RootHandler()
"""One for the process's life: Powertools hangs a filter on it that keeps its lines from coming twice."""


class _OwnLevel(int):
    """A level that we have set, which differs so from one that user code has set."""


def _take_root(threshold: int, *, first: bool) -> Callable[[], None]:
    root, handler = logging.getLogger(), _root_handler
    former_level, was_there = root.level, handler in root.handlers
    quiet = [logger for logger in map(logging.getLogger, _NOISY) if logger.level == logging.NOTSET]
    for logger in quiet:
        logger.setLevel(_OwnLevel(logging.WARNING))
    if first:
        root.addHandler(handler)
    if first or isinstance(root.level, _OwnLevel):
        root.setLevel(_OwnLevel(threshold))

    def restore() -> None:
        if first and not was_there:
            root.removeHandler(handler)
        if isinstance(root.level, _OwnLevel):
            root.setLevel(former_level)
        for logger in quiet:
            if isinstance(logger.level, _OwnLevel):
                logger.setLevel(logging.NOTSET)

    return restore


def _has_chosen_level(name: str) -> bool:
    """Whether user code has set the level from which on records of this logger count."""
    for logger in _with_parents(name):
        if logger.level:
            return not isinstance(logger.level, _OwnLevel)
    return False


def _is_printed(record: logging.LogRecord) -> bool:
    """Whether a handler of the user's writes the record to a standard stream."""
    for logger in _with_parents(record.name):
        if any(_prints(handler, record) for handler in logger.handlers):
            return True
        if not logger.propagate:
            break
    return False


def _prints(handler: logging.Handler, record: logging.LogRecord) -> bool:
    if not isinstance(handler, logging.StreamHandler) or record.levelno < handler.level:
        return False
    standard = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    stream = handler.stream
    is_standard = isinstance(stream, ScopedStream) or any(stream is each for each in standard)
    return is_standard and bool(handler.filter(record))


def _with_parents(name: str) -> Iterator[logging.Logger]:
    """A logger and those above it, the root logger last."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        yield logger
        logger = logger.parent


def _level_of(number: int) -> str:
    """The highest level at or below `number`; loggers may use numbers of their own."""
    levels = reversed(_NUMBERS)
    return next((level for level in levels if _NUMBERS[level] <= number), "debug")
