"""Signal handlers of user code, in a process whose main thread belongs to the engine.

Python calls them on the main thread, between any two steps of the engine. On Lambda a handler runs there, so
that a signal handler may raise to interrupt it; here it runs on a thread, which no signal reaches. What
a signal handler raises is logged and goes no further.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TypeAlias

from triggerkit.invokers.endings import without_own_frames
from triggerkit.runtime.logs import get_logger

SignalHandler: TypeAlias = Callable[[int, FrameType | None], object]

log = get_logger()


def guard_signal_handlers() -> None:
    """Let no signal handler that the user's module has set raise into the engine.

    Called on the main thread, after the module was imported: handlers can be set nowhere else.
    """
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler) and handler is not signal.default_int_handler:
            with suppress(ValueError):  # not the main thread: a program of somebody else's
                signal.signal(number, _guarded(handler))


def tell_signal_handler_not_called(number: signal.Signals) -> None:
    """Warn where the user's module has set a handler of a signal that is the worker's."""
    if callable(signal.getsignal(number)):
        log.warning(
            "signal_handler_not_called",
            signal=number.name,
            message=f"the module's handler of {number.name} is not called: the worker drains by it",
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
            _tell(number, raised)
        else:  # later: the step that was interrupted may have been writing to the log
            loop.call_soon_threadsafe(_tell, number, raised)

    return on_signal


def _tell(number: int, error: BaseException) -> None:
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
