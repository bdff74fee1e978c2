"""How log text reaches its stream: through a bounded queue and a thread of its own.

A pipe that nobody reads, a terminal that was stopped or a full disk must not stop the worker. So no caller
waits for the stream. Text that may be dropped is dropped, and counted, when more than `DROP_BYTES` wait; warnings
and errors wait up to `KEEP_BYTES`. A stream without a descriptor, as tests have, is written at once.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import select
import threading
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import TextIO, TypeAlias

DROP_BYTES = 256 * 1024
KEEP_BYTES = 16 * 1024 * 1024
PIECE_BYTES = select.PIPE_BUF
"""What is written at once, at most: a pipe that says it has room takes that in one piece, without blocking."""
STALLED_SECONDS = 0.5
"""A stream that takes no byte for so long is not waited for at the end."""
LAST_LINES_SECONDS = 5.0
"""How long a stream that is read slowly is waited for at the end."""


class DirectWriter:
    """Writes at once, to a stream that cannot block."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def put(self, text: str, *, keep: bool) -> None:  # noqa: ARG002
        """Write the text if it can be written. Never raises."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(encodable(text, self._stream))
            self._stream.flush()

    def flush(self) -> None:
        """All is written."""


class QueuedWriter:
    """Writes to a descriptor from a thread that lives as long as the process."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._queue: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._written_bytes = 0
        self._stalled_at_bytes = -1
        # re-entrant: a signal handler of the user may log in the middle of a line that is being queued
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._forked = False
        self.dropped = 0
        """How many texts could not be written."""

    def put(self, text: str, *, keep: bool) -> None:
        """Queue the text; one to `keep` is not dropped to make room. Never raises, never waits. Any thread."""
        data = text.encode(self._encoding, "backslashreplace")
        if self._forked:  # threads do not survive a fork, and a child of a handler ends as it likes
            self._write(data)
            return
        with self._changed:
            limit_bytes = KEEP_BYTES if keep else DROP_BYTES
            if self._waiting_bytes and self._waiting_bytes + len(data) > limit_bytes:
                self.dropped += 1
                return
            self._queue.append(data)
            self._waiting_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is written, as long as it goes on; not again for a stream that was found stalled."""
        deadline = monotonic() + LAST_LINES_SECONDS
        with self._changed:
            written_bytes, since = self._written_bytes, monotonic()
            if self._stalled_at_bytes == written_bytes:
                return
            while self._waiting_bytes and monotonic() < deadline:
                self._changed.wait(STALLED_SECONDS / 5)
                if self._written_bytes != written_bytes:
                    written_bytes, since = self._written_bytes, monotonic()
                elif monotonic() - since >= STALLED_SECONDS:
                    self._stalled_at_bytes = written_bytes
                    return

    def become_child(self) -> None:
        """After a fork, in the child: what waits is the parent's to write."""
        self._changed = threading.Condition(threading.RLock())
        self._queue.clear()
        self._waiting_bytes = 0
        self._forked = True

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                data, texts = self._next_piece()
            written = self._write(data)
            with self._changed:
                self._waiting_bytes -= len(data)
                self._written_bytes += len(data)
                if not written:
                    self.dropped += texts
                self._changed.notify_all()

    def _next_piece(self) -> tuple[bytes, int]:
        """Whole texts as far as they fit into one piece, one at least; and how many."""
        found = [self._queue.popleft()]
        size_bytes = len(found[0])
        while self._queue and size_bytes + len(self._queue[0]) <= PIECE_BYTES:
            found.append(self._queue.popleft())
            size_bytes += len(found[-1])
        return b"".join(found), len(found)

    def _write(self, data: bytes) -> bool:
        """Write all of it, however long that takes; whether it could be written."""
        rest = memoryview(data)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        try:
            while rest:
                poll.poll()
                with contextlib.suppress(BlockingIOError):
                    rest = rest[os.write(self._descriptor, rest[:PIECE_BYTES]) :]
        except OSError:  # nobody reads any more, no room, closed
            return False
        return True


LogWriter: TypeAlias = DirectWriter | QueuedWriter

_writers: dict[int, QueuedWriter] = {}
_lock = threading.Lock()


def writer_of(stream: TextIO | None) -> LogWriter:
    """The writer of a stream; one a descriptor, so that all texts keep their order."""
    if stream is None:  # Python's own word for a descriptor that is closed
        return DirectWriter(io.StringIO())
    try:
        descriptor = stream.fileno()
        os.fstat(descriptor)
    except (OSError, ValueError, AttributeError):
        return DirectWriter(stream)
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    with _lock:
        return _writers.setdefault(descriptor, QueuedWriter(descriptor, _encoding_of(stream)))


def flush_all() -> None:
    """Wait for everything that was logged, as long as it is taken."""
    for writer in _known():
        writer.flush()


def lines_dropped() -> int:
    """How many texts could not be written so far."""
    return sum(writer.dropped for writer in _known())


def encodable(text: str, stream: TextIO) -> str:
    """The text with escapes in place of characters that the stream lacks."""
    encoding = _encoding_of(stream)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _encoding_of(stream: TextIO) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _known() -> Iterator[QueuedWriter]:
    with _lock:
        return iter(list(_writers.values()))


def _become_child() -> None:
    global _lock
    _lock = threading.Lock()
    for writer in _writers.values():
        writer.become_child()


os.register_at_fork(after_in_child=_become_child)
atexit.register(flush_all)
