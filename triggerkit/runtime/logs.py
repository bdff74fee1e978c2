"""Where log entries go. Rule: everything to one stream, one whole line at a time, whoever logs.

Three roads lead here: our own loggers (`get_logger`), structlog as user code finds it, and the
standard `logging` module. All get the fields of the call that is under way. Inside a handler a record
of `logging` counts from the chosen level on; elsewhere, where third parties speak, from WARNING on.
Our own loggers do not depend on structlog's global configuration, which user code may change.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TextIO, TypeAlias, cast

import structlog
from structlog.typing import FilteringBoundLogger

from triggerkit.invokers.capture import is_captured, real_stream
from triggerkit.runtime.log_sinks import (
    JsonSink,
    LogSink,
    TerminalSink,
    is_terminal,
    keep_beside,
)

LogFormat: TypeAlias = Literal["auto", "pretty", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]

_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_NOISY = ("aiohttp", "asyncio", "boto3", "botocore", "s3transfer", "urllib3")
_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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


def configure_logging(settings: LogSettings, stream: TextIO) -> Callable[[], None]:
    """Send every log entry of the process to `stream`.

    Colours are used in a terminal, unless NO_COLOR is set. Call it, and `capture_streams`, before the
    user's module is imported: loggers made there keep the streams and handlers that they find.

    Returns:
        What brings the former configuration back.
    """
    former_sink, former_structlog = _current.sink, structlog.get_config()
    sink = _current.sink = _make_sink(settings, stream)
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=_WRAPPER,
        context_class=dict,
        logger_factory=lambda *_: None,
        cache_logger_on_first_use=False,
    )
    restore_root = _take_root(_NUMBERS[settings.level])

    def restore() -> None:
        restore_root()
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
        colours=terminal and not os.environ.get("NO_COLOR"),
        live=settings.live and can_move and settings.level == "info",
    )


def _write(level: str, entry: MutableMapping[str, object], *, ours: bool = False) -> None:
    error = entry.pop("exc_info", None)
    if error is not None and error is not False:
        shown = _exception_of(error)
        if shown is not None:
            entry["exception"] = "".join(traceback.format_exception(shown))
    sink = _current.sink or _make_sink(LogSettings(level="warning"), sys.stderr)
    sink.write(level, _NUMBERS.get(level, 50), entry, ours=ours)


def _exception_of(given: object) -> BaseException | None:
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, _):
            return error
        case _:
            return sys.exc_info()[1]


def _relay(_: object, method: str, entry: MutableMapping[str, Any]) -> NoReturn:
    _write(_LEVEL_OF_METHOD.get(method, method), entry)
    raise structlog.DropEvent


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
    """Brings the records of the standard `logging` module here, those that the root level passes."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as an entry with the fields of the call that is under way."""
        inside = is_captured()
        if not inside and record.levelno < logging.WARNING:
            return
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - logging's own way with bad format arguments
            self.handleError(record)
            return
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN_RECORD}
        entry: dict[str, object] = {
            **structlog.contextvars.get_contextvars(),
            **extra,
            "event": "handler_logged" if inside else "logged",
            "message": message,
            "logger": record.name,
            "exc_info": record.exc_info,
        }
        _write(_level_of(record.levelno), entry)


_root_handler = _RootHandler()
"""One for the process's life: Powertools hangs a filter on it that keeps its lines from coming twice."""


def _take_root(threshold: int) -> Callable[[], None]:
    root, handler = logging.getLogger(), _root_handler
    former_level, was_there = root.level, handler in root.handlers
    quiet = [logger for logger in map(logging.getLogger, _NOISY) if logger.level == logging.NOTSET]
    for logger in quiet:
        logger.setLevel(logging.WARNING)
    root.addHandler(handler)
    root.setLevel(threshold)

    def restore() -> None:
        if not was_there:
            root.removeHandler(handler)
        root.setLevel(former_level)
        for logger in quiet:
            logger.setLevel(logging.NOTSET)

    return restore


def _level_of(number: int) -> str:
    """The highest level at or below `number`; loggers may use numbers of their own."""
    return max((name for name in _NUMBERS if _NUMBERS[name] <= number), key=_rank, default="debug")


def _rank(level: str) -> int:
    return _NUMBERS[level]
