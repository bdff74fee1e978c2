"""The standard streams of a command: nothing that a terminal would obey gets through, and none of them is missing.

What commands compose of outside text is made safe piece by piece. This is the last line of defence, and the only
one for what user code prints outside of its calls.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from triggerkit.core.safe_text import safe_with_colours
from triggerkit.runtime.colours import wants_colours
from triggerkit.runtime.log_writer import encodable, flush_all, writer_of

DESCRIPTORS = {"stdin": 0, "stdout": 1, "stderr": 2}


class StdoutError(OSError):
    """Stdout cannot be written, a full disk say; a pipe that was closed is a BrokenPipeError."""


class SafeStream:
    """A text stream that shows control characters instead of sending them; colours stay where they are wanted."""

    def __init__(self, real: TextIO) -> None:
        self.real = real

    def write(self, text: str, /) -> int:
        """Write the text, made safe. Raises OSError as the stream does."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        shown = safe_with_colours(text, colours=wants_colours(self.real))
        self.real.write(encodable(shown, self.real))
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream. Raises OSError as it does."""
        self.real.flush()

    def __getattr__(self, name: str) -> Any:  # whatever a stream has besides
        return getattr(self.real, name)


class SafeStdout(SafeStream):
    """Stdout: that it cannot be written ends the command, with a message of its own."""

    def write(self, text: str, /) -> int:
        """See `SafeStream`; what stderr was given before comes first. Raises StdoutError, BrokenPipeError."""
        flush_all()
        with _as_stdout_error():
            return super().write(text)

    def flush(self) -> None:
        """See `SafeStream`. Raises StdoutError, BrokenPipeError."""
        with _as_stdout_error():
            super().flush()


class SafeStderr(SafeStream):
    """Stderr: it is written where the log is, in one order, and nobody waits for it.

    That it is gone is no reason to stop, and there is nobody to tell.
    """

    def write(self, text: str, /) -> int:
        """See `SafeStream`; raises nothing."""
        shown = safe_with_colours(text, colours=wants_colours(self.real))
        writer_of(self.real).put(shown, keep=True)
        return len(text)

    def flush(self) -> None:
        """It is written as soon as it can be."""


@contextmanager
def safe_streams() -> Iterator[None]:
    """Put the safe streams in the place of `sys.stdout` and `sys.stderr`."""
    open_missing()
    out, err = sys.stdout, sys.stderr
    safe_out, safe_err = cast(TextIO, SafeStdout(out)), cast(TextIO, SafeStderr(err))
    sys.stdout, sys.stderr = safe_out, safe_err
    try:
        yield
    finally:
        if sys.stdout is safe_out:
            sys.stdout = out
        if sys.stderr is safe_err:
            sys.stderr = err


def open_missing() -> None:
    """Open standard streams that were closed by who started us: the next file would get their numbers."""
    for name, descriptor in DESCRIPTORS.items():
        with suppress(OSError):
            os.fstat(descriptor)
            continue
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115


def silence(stream: TextIO) -> None:
    """Nobody can read it any more: what waits in it goes nowhere, and Python does not try again at exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    with suppress(OSError, ValueError):
        stream.flush()


@contextmanager
def _as_stdout_error() -> Iterator[None]:
    try:
        yield
    except (BrokenPipeError, StdoutError):
        raise
    except OSError as error:
        raise StdoutError(error.errno, error.strerror) from None
