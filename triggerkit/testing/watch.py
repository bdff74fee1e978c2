"""An invoker under observation. Rule: it changes when a call happens, never what happens in it."""

from __future__ import annotations

from triggerkit.core.outcome import Outcome
from triggerkit.ports import Clock, Invocation, Invoker
from triggerkit.testing.calls import CallBook
from triggerkit.testing.inspection import Inspection
from triggerkit.testing.ledger import Ledger
from triggerkit.testing.line import Line
from triggerkit.testing.worlds.true_calls import CALL


class WatchedInvoker:
    """Implements `ports.Invoker` around another one: time passes before and behind each call.

    So a worker can crash when its handler has done its work and nobody has heard of it yet.
    """

    def __init__(
        self,
        invoker: Invoker,
        ledger: Ledger,
        book: CallBook,
        line: Line,
        clock: Clock,
        inspection: Inspection,
    ) -> None:
        self._invoker = invoker
        self._ledger = ledger
        self._book = book
        self._inspection = inspection
        self._line = line
        self._clock = clock

    async def start(self) -> None:
        """See `Invoker`."""
        await self._invoker.start()

    async def invoke(self, invocation: Invocation) -> Outcome:
        """See `Invoker`. No call begins past the moment until which this worker may act (I17)."""
        if self._clock.now().monotonic_seconds >= invocation.deadline():
            self._ledger.unfenced.append(f"a call of {invocation.trigger} began too late")
        await self._line.way()
        self._ledger.begun(invocation.trigger, invocation.batch.records)
        call = self._inspection.call(invocation)
        CALL.set(call)
        outcome = await self._invoker.invoke(invocation)
        if call is not None:
            self._inspection.ended(call, invocation.batch, outcome)
        self._ledger.ended(invocation.trigger, invocation.batch, outcome)
        self._book.ended(invocation.trigger, outcome)
        await self._line.way()
        return outcome

    async def cancel(self, request_id: str) -> None:
        """See `Invoker`."""
        await self._invoker.cancel(request_id)

    async def close(self) -> None:
        """See `Invoker`."""
        await self._invoker.close()
