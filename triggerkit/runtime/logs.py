"""Where log entries go: all to one stream, one whole line at a time, whoever logs.

Entries come from our own loggers (`get_logger`), from structlog as user code finds it, and from the standard
`logging` module. All get the fields of the call that is under way, which nothing that user code adds can
replace. Our own loggers do not depend on structlog's global configuration, which user code may change.

The root logger has one handler before the user's module is imported, as on Lambda, and what that module
then makes of loggers, levels and handlers holds. A record counts from the level that user code gave its
logger or the root logger. Where it gave none, it counts from the level of the log inside of calls, and
from WARNING on elsewhere, where third parties log. A record that a handler of the user's writes to a
standard stream is a line of output already and is not told again.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TextIO, TypeAlias, cast

import structlog
from structlog.typing import FilteringBoundLogger

from triggerkit.invokers.capture import ScopedStream, call_here, is_captured, real_stream
from triggerkit.runtime.colours import is_terminal, wants_colours
from triggerkit.runtime.log_sinks import OUTPUT, JsonSink, LogSink, TerminalSink, keep_beside

LogFormat: TypeAlias = Literal["auto", "pretty", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]

_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_NOISY = ("asyncio", "boto3", "botocore", "s3transfer", "urllib3")
_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PROCESS_FIELDS = frozenset({"timestamp", "level", "app", "env", "worker", "exception"})


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


def configure_logging(settings: LogSettings, stream: TextIO) -> Callable[[], None]:
    """Send every log entry of the process to `stream`.

    Colours are used where `colours.wants_colours` says so. Call it before the user's module is imported, since
    loggers made there keep the streams and handlers that they find. Called again it changes the stream, the
    settings and levels of its own, and leaves alone what the module has configured meanwhile.

    Returns:
        What brings the former configuration back.
    """
    former_sink, former_structlog = _current.sink, structlog.get_config()
    sink = _current.sink = _make_sink(settings, stream)
    if former_sink is not None:
        former_sink.close()  # writes what it holds back
    else:
        structlog.configure(
            processors=_PROCESSORS,
            wrapper_class=_WRAPPER,
            context_class=dict,
            logger_factory=structlog.PrintLoggerFactory(),  # for processors of the user's that render
            cache_logger_on_first_use=False,
        )
    restore_root = _take_root(_NUMBERS[settings.level], first=former_sink is None)

    def restore() -> None:
        restore_root()
        if former_sink is None:
            structlog.configure(**former_structlog)
        sink.close()
        _current.sink = former_sink

    return restore


def get_logger() -> FilteringBoundLogger:
    """A logger of our own; follows `configure_logging`, also when that is called later."""
    logger = structlog.wrap_logger(
        None, processors=_OWN_STEPS, wrapper_class=_WRAPPER, context_class=dict
    )
    return cast(FilteringBoundLogger, logger)


class _Current:
    """The sink in use; before any configuration, warnings go to stderr."""

    sink: LogSink | None = None


_current = _Current()


def share_terminal() -> Callable[[], None]:
    """Keep the status line apart from what others write to the terminal; before `capture_streams`.

    Returns:
        What puts the streams back.
    """
    return keep_beside(_current.sink)


def settle() -> None:
    """Write what is still held back, and show no status line any more."""
    if _current.sink is not None:
        _current.sink.close()


def _make_sink(settings: LogSettings, stream: TextIO) -> LogSink:
    terminal, threshold = is_terminal(stream), _NUMBERS[settings.level]
    real = real_stream(stream)
    if settings.format == "json" or (settings.format == "auto" and not terminal):
        return JsonSink(real, threshold, settings.fields)
    can_move = terminal and os.environ.get("TERM", "dumb") != "dumb"
    return TerminalSink(
        real,
        threshold,
        colours=wants_colours(real),
        live=settings.live and can_move and settings.level == "info",
    )


def _write(
    level: str, entry: MutableMapping[str, object], *, ours: bool = False, chosen: bool = False
) -> None:
    """Write an entry; one whose level user code has `chosen` counts at every level of the log."""
    number = 50 if chosen else _NUMBERS.get(level, 50)
    is_quiet = number < _NUMBERS[_UNCONFIGURED.level] and entry.get("event") != OUTPUT
    if _current.sink is None and is_quiet:
        return  # without a look at stderr, which is the program's own
    entry.update(call_here())
    error = entry.pop("exc_info", None)
    if error is not None and error is not False:
        shown = _exception_of(error)
        if shown is not None:
            entry["exception"] = "".join(traceback.format_exception(shown))
    sink = _current.sink or _make_sink(_UNCONFIGURED, sys.stderr)
    sink.write(level, number, entry, ours=ours)


def _exception_of(given: object) -> BaseException | None:
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, _):
            return error
        case _:
            return sys.exc_info()[1]


def _relay(_: object, method: str, entry: MutableMapping[str, Any]) -> NoReturn:
    _write(_LEVEL_OF_METHOD.get(method, method), _beside_ours(entry))
    raise structlog.DropEvent


def _beside_ours(given: Mapping[str, object]) -> dict[str, object]:
    """The fields of user code: those that would replace ours are kept under `extra`."""
    call = call_here()
    taken = {
        name: value
        for name, value in given.items()
        if name in _PROCESS_FIELDS or (name in call and value != call[name])
    }
    beside = {name: value for name, value in given.items() if name not in taken}
    return {**beside, "extra": taken} if taken else beside


def _relay_own(_: object, method: str, entry: MutableMapping[str, Any]) -> NoReturn:
    _write(_LEVEL_OF_METHOD.get(method, method), entry, ours=True)
    raise structlog.DropEvent


_LEVEL_OF_METHOD = {"warn": "warning", "exception": "error", "fatal": "critical"}
_PROCESSORS: list[structlog.typing.Processor] = [structlog.contextvars.merge_contextvars, _relay]
_OWN_STEPS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    _relay_own,
]
_WRAPPER = structlog.make_filtering_bound_logger(logging.NOTSET)


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
        context = structlog.contextvars.get_contextvars()
        entry: dict[str, object] = {
            **_beside_ours({**context, **extra}),
            "event": "handler_logged" if inside else "logged",
            "message": message,
            "logger": record.name,
            "exc_info": error,
        }
        _write(_level_of(record.levelno), entry, chosen=chosen)


_root_handler = _RootHandler()
"""One for the process's life: Powertools hangs a filter on it that keeps its lines from coming twice."""


class _OwnLevel(int):
    """A level that we have set, to be told from one that user code has set."""


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
    for logger in _line_of(name):
        if logger.level:
            return not isinstance(logger.level, _OwnLevel)
    return False


def _is_printed(record: logging.LogRecord) -> bool:
    """Whether a handler of the user's writes the record to a standard stream."""
    for logger in _line_of(record.name):
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


def _line_of(name: str) -> Iterator[logging.Logger]:
    """A logger and those above it, the root logger last."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        yield logger
        logger = logger.parent


def _level_of(number: int) -> str:
    """The highest level at or below `number`; loggers may use numbers of their own."""
    return max((name for name in _NUMBERS if _NUMBERS[name] <= number), key=_rank, default="debug")


def _rank(level: str) -> int:
    return _NUMBERS[level]
