"""One call on its way: held in front, carried out, held behind, answered.

Rule: a call is carried out once, whole, under the emulator's lock, and held outside of it. Who answers a
call decides how to wait: in process the caller's own thread does, over HTTP nobody.
"""

from __future__ import annotations

from collections.abc import Callable

from triggerkit.emulator.barriers import LONGEST_HOLD_SECONDS, Barrier
from triggerkit.emulator.call_log import OK, LoggedCall
from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.plans import Damage

_FAULT = "fault of the emulator"


class Call:
    """A call that has arrived. `before` and `behind` are the barriers that it is to be held at."""

    __slots__ = ("_answer", "_entry", "_error", "_perform", "before", "behind")

    def __init__(
        self,
        perform: Callable[[], str],
        entry: LoggedCall,
        before: Barrier | None = None,
        behind: Barrier | None = None,
    ) -> None:
        self.before = before
        self.behind = behind
        self._perform = perform
        self._entry = entry
        self._answer = ""
        self._error: EmulatorError | None = None

    def carry_out(self) -> None:
        """Do what the call asks for; an error of the service is its answer."""
        try:
            self._answer = self._perform()
        except EmulatorError as error:
            self.refuse(error)
        except BaseException:
            self._entry.outcome = _FAULT
            raise
        else:
            self._entry.outcome = OK

    def refuse(self, error: EmulatorError) -> None:
        """Let `error` be the answer."""
        self._error = error
        self._entry.outcome = error.type

    def abandon(self) -> None:
        """Give up on a barrier that nobody released; nothing is carried out any more."""
        self.refuse(
            EmulatorError(
                "InternalServerError",
                f"The call was held at a barrier for {LONGEST_HOLD_SECONDS:g} s and nobody released it.",
                500,
            )
        )

    def spoil(self, damage: Damage) -> None:
        """Note that the answer does not arrive as it is."""
        self._entry.outcome += f", {damage.value}"

    def complete(self) -> str:
        """Go all the way in this thread, waiting at barriers; return the answer as JSON text.

        Raises:
            EmulatorError: the answer is an error. UsageError: this thread made the barrier.
        """
        if self.before is not None and not self.before.hold():
            self.abandon()
        else:
            self.carry_out()
            if self.behind is not None and not self.behind.hold():
                self.abandon()
        return self.answer()

    def answer(self) -> str:
        """Return the answer as JSON text. Raises EmulatorError: it is an error."""
        if self._error is not None:
            raise self._error
        return self._answer
