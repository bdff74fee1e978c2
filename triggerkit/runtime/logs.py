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
import threading
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, TextIO, TypeAlias, cast

import structlog
from structlog.typing import FilteringBoundLogger

from triggerkit.invokers.capture import is_captured, real_stream
from triggerkit.runtime.log_lines import json_line, pretty_line

LogFormat: TypeAlias = Literal["auto", "pretty", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]

_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_NOISY = ("aiohttp", "asyncio", "boto3", "botocore", "s3transfer", "urllib3")
_OUTPUT = "handler_printed"  # what a handler prints is shown at every level: it is its voice
_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How a process logs.

    `format` auto is pretty in a terminal and JSON lines elsewhere. `fields` are on every JSON line:
    `app`, `env` and `worker`.
    """

    format: LogFormat = "auto"
    level: LogLevel = "info"
    fields: Mapping[str, str] = field(default_factory=dict)


def configure_logging(settings: LogSettings, stream: TextIO) -> Callable[[], None]:
    """Send every log entry of the process to `stream`.

    Colours are used in a terminal, unless NO_COLOR is set. Call it, and `capture_streams`, before the
    user's module is imported: loggers made there keep the streams and handlers that they find.

    Returns:
        What brings the former configuration back.
    """
    former_sink, former_structlog = _current.sink, structlog.get_config()
    _current.sink = _Sink(settings, stream)
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
        _current.sink = former_sink

    return restore


def get_logger() -> FilteringBoundLogger:
    """A logger of our own; follows `configure_logging`, also when that is called later."""
    logger = structlog.wrap_logger(
        None, processors=_PROCESSORS, wrapper_class=_WRAPPER, context_class=dict
    )
    return cast(FilteringBoundLogger, logger)


class _Sink:
    """The stream and how entries are written to it."""

    def __init__(self, settings: LogSettings, stream: TextIO) -> None:
        terminal = _is_terminal(stream)
        self._stream = real_stream(stream)
        self._fields = settings.fields
        self._threshold = _NUMBERS[settings.level]
        self._pretty = terminal if settings.format == "auto" else settings.format == "pretty"
        self._colours = terminal and not os.environ.get("NO_COLOR")
        self._lock = threading.RLock()  # a signal handler may log while its thread does

    def write(self, level: str, entry: Mapping[str, object]) -> None:
        """Write one entry, if its level counts; a stream that is gone is no reason to stop work."""
        if _NUMBERS.get(level, 50) < self._threshold and entry.get("event") != _OUTPUT:
            return
        now = datetime.now(UTC)
        if self._pretty:
            stamp = now.astimezone().isoformat(timespec="milliseconds")
            line = pretty_line({**entry, "timestamp": stamp, "level": level}, colours=self._colours)
        else:
            stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = json_line({**self._fields, **entry, "timestamp": stamp, "level": level})
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        text = f"{line}\n".encode(encoding, "backslashreplace").decode(encoding)
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


class _Current:
    """The sink in use; before any configuration, warnings go to stderr."""

    sink: _Sink | None = None


_current = _Current()


def _write(level: str, entry: MutableMapping[str, object]) -> None:
    error = entry.pop("exc_info", None)
    if error is not None and error is not False:
        shown = _exception_of(error)
        if shown is not None:
            entry["exception"] = "".join(traceback.format_exception(shown))
    sink = _current.sink or _Sink(LogSettings(level="warning"), sys.stderr)
    sink.write(level, entry)


def _exception_of(given: object) -> BaseException | None:
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, _):
            return error
        case _:
            return sys.exc_info()[1]


def _relay(_: object, method: str, entry: MutableMapping[str, Any]) -> NoReturn:
    _write(
        {"warn": "warning", "exception": "error", "fatal": "critical"}.get(method, method), entry
    )
    raise structlog.DropEvent


_PROCESSORS: list[structlog.typing.Processor] = [structlog.contextvars.merge_contextvars, _relay]
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


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
