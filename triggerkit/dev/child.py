"""A worker in a child process, which never outlives its parent.

Parent and child hold the two ends of a socket. The child reports how far it is; when the parent's end is
closed, also because the parent was killed, the child drains and ends. No signal is used for that: Ctrl-C
reaches both, and a second signal would end the child at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

BEGUN = b"b"
"""The child listens to its socket; before, a signal ends it and nothing is lost."""
READY = b"r"
"""The child's worker reads."""
_BLOCKED_SIGNALS = frozenset({signal.SIGINT})


class WorkerChild:
    """Implements `reload.Child`."""

    def __init__(
        self, process: asyncio.subprocess.Process, ours: socket.socket, on_ready: Callable[[], None]
    ) -> None:
        self._child = process
        self._ours = ours
        self._has_begun = False
        self._is_stopping = False
        self._hearing = asyncio.create_task(self._hear(on_ready))

    async def wait(self) -> int:
        """See `Child`."""
        code = await self._child.wait()
        self._hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self._hearing
        self._ours.close()
        return code

    def stop(self) -> None:
        """See `Child`."""
        self._is_stopping = True
        if not self._has_begun:
            self._send(self._child.terminate)
        elif self._ours.fileno() >= 0:
            with contextlib.suppress(OSError):  # it has closed its end: it is ending
                self._ours.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """See `Child`."""
        self._send(self._child.kill)

    def _send(self, signal_it: Callable[[], None]) -> None:
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal_it()

    async def _hear(self, on_ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        while reply := await loop.sock_recv(self._ours, 16):
            if BEGUN in reply:
                self._has_begun = True
                if self._is_stopping:
                    self.stop()
            if READY in reply:
                on_ready()


async def start_child(
    command: Callable[[int], Sequence[str]],
    environ: Mapping[str, str],
    on_ready: Callable[[], None],
) -> WorkerChild:
    """Start a process with one end of a socket; `command` makes its words from the descriptor.

    It shares our standard streams, folder and terminal.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        before = signal.pthread_sigmask(
            signal.SIG_BLOCK, _BLOCKED_SIGNALS
        )  # inherited; see `begin`
        try:
            process = await asyncio.create_subprocess_exec(
                *command(theirs.fileno()), env=dict(environ), pass_fds=(theirs.fileno(),)
            )
        except BaseException:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return WorkerChild(process, ours, on_ready)


class ParentConnection:
    """The child's end. `descriptor` is the one that the parent's command named."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # not for what the user's code starts
        self._theirs = socket.socket(fileno=descriptor)

    def begin(self, stop: Callable[[], None]) -> None:
        """On the running loop: call `stop` when the parent wants an end, or is gone.

        From now on a Ctrl-C is heard here, too; before, it would only show where an import was.
        """
        self._theirs.setblocking(False)
        loop = asyncio.get_running_loop()

        def on_end() -> None:
            loop.remove_reader(self._theirs)
            stop()

        loop.add_reader(self._theirs, on_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED_SIGNALS)
        self._report(BEGUN)

    def ready(self) -> None:
        """Report that the worker reads."""
        self._report(READY)

    def close(self) -> None:
        """Close our end; the loop is over."""
        self._theirs.close()

    def _report(self, what: bytes) -> None:
        with contextlib.suppress(OSError):  # the parent is gone: `stop` follows
            self._theirs.send(what)
