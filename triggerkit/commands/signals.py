"""SIGINT and SIGTERM from the first moment of a command until its event loop takes them over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from triggerkit.errors import EXIT_INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedEarly(BaseException):
    """A signal came before anything was started; not an Exception, so that the user's module lets it pass."""


class EarlyStop:
    """Whether a signal has come; code that catches everything may have swallowed the exception."""

    asked = False


early_stop = EarlyStop()


def run_stoppable(work: Callable[[], int]) -> int:
    """Do `work`; its exit code, or 0 when the first signal has ended it, wherever it was.

    Nothing was read, written or taken by then, so there is nothing to drain. The second signal ends the
    process. A loop that sets handlers of its own replaces these.
    """

    def on_signal(_number: int, _frame: object) -> None:
        if early_stop.asked:
            os._exit(EXIT_INTERRUPTED)
        early_stop.asked = True
        raise StoppedEarly

    early_stop.asked = False
    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        return work()
    except StoppedEarly:
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
