"""What user code prints becomes log lines, those of a call with the fields of the call.

`capturing` marks the code of one call by a context variable, so that it follows asyncio tasks and
`asyncio.to_thread`. The two standard streams are replaced by `capture_streams`: what is written under a
mark is cut into lines, each one log entry of its call. What is written elsewhere (by a thread that user
code started without the context, or by anything outside handlers) becomes entries without a call where
`capture_streams` was given a log, and else goes to the real stream.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TextIO, cast

from structlog.contextvars import bind_contextvars, bound_contextvars, unbind_contextvars
from structlog.typing import FilteringBoundLogger

_LONGEST_LINE = 64 * 1024
_scope: ContextVar[_Scope | None] = ContextVar("triggerkit_output_scope", default=None)
_logging: ContextVar[bool] = ContextVar("triggerkit_output_logging", default=False)
"""Whether the log writes: it must not come back to itself."""
_call: ContextVar[Mapping[str, object]] = ContextVar(
    "triggerkit_call", default=MappingProxyType({})
)
"""Kept apart from structlog's context, which user code may bind anew or clear."""


@contextmanager
def capturing(log: FilteringBoundLogger, fields: Mapping[str, object]) -> Iterator[None]:
    """Log what the code inside writes to stdout and stderr, and bind `fields` to all it logs."""
    scope = _Scope(log)
    with bound_contextvars(**fields):
        token, call_token = _scope.set(scope), _call.set(MappingProxyType({**fields}))
        try:
            yield
        finally:
            _scope.reset(token)
            scope.end()
            _call.reset(call_token)


def is_captured() -> bool:
    """Whether the calling code runs under `capturing`."""
    return _scope.get() is not None


def call_here() -> Mapping[str, object]:
    """The fields of the call that is under way here; empty outside of calls."""
    return _call.get()


def bind_record(sequence_number: str) -> None:
    """Name the one record of the call that the following entries are about."""
    _call.set(MappingProxyType({**_call.get(), "sequence_number": sequence_number}))
    bind_contextvars(sequence_number=sequence_number)


def unbind_record() -> None:
    """The following entries are about the whole call again."""
    kept = {name: value for name, value in _call.get().items() if name != "sequence_number"}
    _call.set(MappingProxyType(kept))
    unbind_contextvars("sequence_number")


def capture_streams(rest: FilteringBoundLogger | None = None) -> Callable[[], None]:
    """Replace `sys.stdout` and `sys.stderr`, once a process.

    Args:
        rest: gets what is written outside of calls, also to streams that were captured earlier.

    Returns:
        What puts the real streams back, unless somebody else has replaced ours meanwhile.
    """
    former, _rest.scope = _rest.scope, _rest.scope if rest is None else _Scope(rest)
    if isinstance(sys.stdout, ScopedStream) or isinstance(sys.stderr, ScopedStream):
        return lambda: _give_back(former)
    out, err = sys.stdout, sys.stderr
    scoped_out = cast(TextIO, ScopedStream(out, "stdout"))
    scoped_err = cast(TextIO, ScopedStream(err, "stderr"))
    sys.stdout, sys.stderr = scoped_out, scoped_err

    def restore() -> None:
        _give_back(former)
        if sys.stdout is scoped_out:
            sys.stdout = out
        if sys.stderr is scoped_err:
            sys.stderr = err

    return restore


@contextmanager
def capturing_import() -> Iterator[None]:
    """Capture the streams that a module keeps while it is imported, in loggers above all.

    What it prints meanwhile goes to stderr: stdout is for what was asked for.
    """
    out, err = sys.stdout, sys.stderr
    real = real_stream(err)
    sys.stdout = cast(TextIO, ScopedStream(real, "stdout"))
    sys.stderr = cast(TextIO, ScopedStream(real, "stderr"))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def _give_back(former: _Scope | None) -> None:
    ended, _rest.scope = _rest.scope, former
    if ended is not None and ended is not former:
        ended.end()


def real_stream(stream: TextIO) -> TextIO:
    """The stream below those of ours that stand in its place: the log itself must not be captured."""
    found: Any = stream
    while (below := getattr(found, "real", None)) is not None:
        found = below
    return cast(TextIO, found)


class ScopedStream:
    """A text stream that asks, at each write, whose output this is; else it is the real one."""

    def __init__(self, real: TextIO, name: str) -> None:
        self.real = real
        self._name = name

    @property
    def buffer(self) -> Any:
        """What takes bytes, such as of `sys.stdout.buffer.write`."""
        return _ScopedBuffer(self)

    def write(self, text: str, /) -> int:
        """Write to the log of the call that is under way here, or to the real stream."""
        scope = None if _logging.get() else _scope.get() or _rest.scope
        if scope is None:
            return self.real.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        scope.write(self._name, text)
        return len(text)

    def close(self) -> None:
        """Leave the real stream open: it is the worker's."""

    def writelines(self, lines: Iterable[str], /) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # whatever a stream has besides
        return getattr(self.real, name)


class _ScopedBuffer:
    """The bytes of a `ScopedStream`."""

    def __init__(self, stream: ScopedStream) -> None:
        self._stream = stream

    def write(self, data: bytes, /) -> int:
        """Write to the same place as text."""
        self._stream.write(bytes(data).decode(errors="backslashreplace"))
        return len(data)

    def __getattr__(self, name: str) -> Any:  # whatever a buffer has besides
        return getattr(self._stream.real.buffer, name)


class _Scope:
    """The output of one call: whole lines go on, the unfinished one of a stream and thread waits."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._waiting: dict[tuple[str, int], str] = {}
        self._ended = False
        self._lock = threading.RLock()  # threads may share a scope

    def write(self, stream: str, text: str) -> None:
        place = (stream, threading.get_ident())
        with self._lock:
            *lines, rest = (self._waiting.pop(place, "") + text).split("\n")
            if self._ended or len(rest) > _LONGEST_LINE:
                lines.append(rest)
            elif rest:
                self._waiting[place] = rest
        self._emit(stream, lines)

    def end(self) -> None:
        """Log what lacks its newline; later writes (a task left behind) are logged as they come."""
        with self._lock:
            self._ended = True
            waiting, self._waiting = self._waiting, {}
        for (stream, _), rest in waiting.items():
            self._emit(stream, [rest])

    def _emit(self, stream: str, lines: list[str]) -> None:
        token = _logging.set(True)
        try:
            for line in lines:
                if line.strip():
                    self._log.info("handler_printed", message=line.rstrip(), stream=stream)
        finally:
            _logging.reset(token)


class _Rest:
    """Where output goes that belongs to no call; None for the real stream."""

    scope: _Scope | None = None


_rest = _Rest()
