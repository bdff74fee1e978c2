"""Signal handlers of user code, in a process whose main thread belongs to the engine.

Python calls them on the main thread, between any two steps of the engine. On Lambda a handler runs there, so
that a signal handler may raise to interrupt it; here it runs on a thread, which no signal reaches. What
a signal handler raises is logged and goes no further.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias

from triggerkit.invokers.endings import without_own_frames
from triggerkit.runtime.logs import get_logger

SignalHandler: TypeAlias = Callable[[int, FrameType | None], object]

_OURS = (signal.SIGINT, signal.SIGTERM)

log = get_logger()


@contextmanager
def guarding_signal_handlers() -> Iterator[None]:
    """Let no signal handler that the code inside sets raise into the engine.

    Around the import of the user's module on the main thread: handlers can be set nowhere else. Those for
    the signals that drain the worker are taken out again, with a warning.
    """
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield
    for number, former in before.items():
        handler = signal.getsignal(number)
        if handler is former or not callable(handler):
            continue
        if number in _OURS:
            _warn_not_called(number)
            signal.signal(number, signal.SIG_DFL if former is None else former)
        else:
            signal.signal(number, _guarded(handler))


def _warn_not_called(number: int) -> None:
    name = _name_of(number)
    log.warning(
        "signal_handler_not_called",
        signal=name,
        message=f"the module's handler of {name} is not called: the worker drains by that signal",
        hint="close what must be closed after the yield of a lifespan",
    )


def _guarded(handler: SignalHandler) -> SignalHandler:
    def on_signal(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the engine either
            raised = error
        else:
            return
        frames = raised.__traceback__
        raised.__traceback__ = None if frames is None else frames.tb_next  # without our own
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no engine runs yet, or any more
            _log(number, raised)
        else:  # later: the step that was interrupted may have been writing to the log
            loop.call_soon_threadsafe(_log, number, raised)

    return on_signal


def _log(number: int, error: BaseException) -> None:
    name = _name_of(number)
    log.error(
        "signal_handler_failed",
        signal=name,
        error_type=type(error).__name__,
        exc_info=without_own_frames(error),
        message=f"the handler of {name} raised; it has interrupted no call",
        hint="for a limit of time declare the trigger's handler with async def and set its timeout",
    )


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
