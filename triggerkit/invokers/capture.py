"""What a handler prints becomes log lines of its call. Rule: nothing swallowed, no line torn.

`capturing` marks the code of one call by a context variable, so that it follows asyncio tasks and
`asyncio.to_thread`. The two standard streams are replaced once by `capture_streams`: what is written
under a mark is cut into lines, each one log entry; what is written elsewhere (by a thread that user
code started without the context, or by anything outside handlers) goes to the real stream.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO, cast

from structlog.contextvars import bound_contextvars
from structlog.typing import FilteringBoundLogger

_LONGEST_LINE = 64 * 1024
_scope: ContextVar[_Scope | None] = ContextVar("triggerkit_output_scope", default=None)


@contextmanager
def capturing(log: FilteringBoundLogger, fields: Mapping[str, object]) -> Iterator[None]:
    """Log what the code inside writes to stdout and stderr, and bind `fields` to all it logs."""
    scope = _Scope(log)
    with bound_contextvars(**fields):
        token = _scope.set(scope)
        try:
            yield
        finally:
            _scope.reset(token)
            scope.end()


def is_captured() -> bool:
    """Whether the calling code runs under `capturing`."""
    return _scope.get() is not None


def capture_streams() -> Callable[[], None]:
    """Replace `sys.stdout` and `sys.stderr`, once a process.

    Returns:
        What puts the real streams back, unless somebody else has replaced ours meanwhile.
    """
    if isinstance(sys.stdout, ScopedStream) or isinstance(sys.stderr, ScopedStream):
        return lambda: None
    out, err = sys.stdout, sys.stderr
    scoped_out = cast(TextIO, ScopedStream(out, "stdout"))
    scoped_err = cast(TextIO, ScopedStream(err, "stderr"))
    sys.stdout, sys.stderr = scoped_out, scoped_err

    def restore() -> None:
        if sys.stdout is scoped_out:
            sys.stdout = out
        if sys.stderr is scoped_err:
            sys.stderr = err

    return restore


def real_stream(stream: TextIO) -> TextIO:
    """What `stream` was before `capture_streams`: the log itself must not be captured."""
    found: object = stream
    return found.real if isinstance(found, ScopedStream) else stream


class ScopedStream:
    """A text stream that asks, at each write, whose output this is; else it is the real one."""

    def __init__(self, real: TextIO, name: str) -> None:
        self.real = real
        self._name = name

    def write(self, text: str, /) -> int:
        """Write to the log of the call that is under way here, or to the real stream."""
        scope = _scope.get()
        if scope is None:
            return self.real.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        scope.write(self._name, text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # whatever a stream has besides
        return getattr(self.real, name)


class _Scope:
    """The output of one call: whole lines go on, the unfinished one of each stream waits."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._waiting: dict[str, str] = {}
        self._ended = False
        self._lock = threading.RLock()  # to_thread shares a scope between threads

    def write(self, stream: str, text: str) -> None:
        with self._lock:
            *lines, rest = (self._waiting.pop(stream, "") + text).split("\n")
            if self._ended or len(rest) > _LONGEST_LINE:
                lines.append(rest)
            elif rest:
                self._waiting[stream] = rest
        self._emit(stream, lines)

    def end(self) -> None:
        """Log what lacks its newline; later writes (a task left behind) are logged as they come."""
        with self._lock:
            self._ended = True
            waiting, self._waiting = self._waiting, {}
        for stream, rest in waiting.items():
            self._emit(stream, [rest])

    def _emit(self, stream: str, lines: list[str]) -> None:
        token = _scope.set(None)  # a log that prints must not come back here
        try:
            for line in lines:
                if line.strip():
                    self._log.info("handler_printed", message=line.rstrip(), stream=stream)
        finally:
            _scope.reset(token)
