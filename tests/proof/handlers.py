"""Handlers of a world, and what they really did in each call.

A call begins when user code is entered and ends when the invoker has its outcome; a call whose worker crashes
in between never ends. How long it takes and how it ends is drawn from the seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from proof.checked_call import CALL, TrueCall
from proof.checker import Checker
from proof.facts import Violation
from proof.monitor import Witness
from proof.network import Weather
from proof.plan import CallOdds, TriggerPlan

from triggerkit.core.changes import Change
from triggerkit.core.outcome import Discard, NotInvoked, Outcome, Retry
from triggerkit.invokers.places import CoroutineRunner
from triggerkit.ports import Invocation, Invoker, Runner
from triggerkit.testing.inline import InlineLoop

T = TypeVar("T")

LONG_SECONDS = (3.0, 8.0, 20.0)
SHORT_SECONDS = (0.0, 0.0, 0.02, 0.1, 0.3)


class HandlerFault(Exception):  # noqa: N818 - what a handler would raise, no error of ours
    """Raised by a handler that fails."""


class Handlers:
    """The user code of one trigger on one life: what the decorators would get."""

    def __init__(
        self,
        witness: Witness,
        weather: Weather,
        trigger: TriggerPlan,
        rng: Random,
    ) -> None:
        self._witness = witness
        self._weather = weather
        self._rng = rng
        self._trigger = trigger
        self._partial = trigger.options.report_batch_item_failures

    # --- handlers -----------------------------------------------------------------------------------

    def whole(self, event: Mapping[str, Any], context: object) -> object:
        """A sync handler of Lambda's event."""
        del context
        return self._end(self._begin(event))

    async def whole_async(self, event: Mapping[str, Any], context: object) -> object:
        """An async one."""
        del context
        call = self._begin(event)
        await asyncio.sleep(self.seconds())
        return self._end(call)

    def each(self, change: Change[Any]) -> None:
        """A sync handler of one change."""
        self._end_one(self._present(), change.sequence_number)

    async def each_async(self, change: Change[Any]) -> None:
        """An async one."""
        call = self._present()
        await asyncio.sleep(self.seconds())
        self._end_one(call, change.sequence_number)

    @property
    def one_by_one(self) -> bool:
        """Whether they end each record by itself."""
        return "each" in self._trigger.handler

    def is_throttled(self) -> bool:
        """Whether the next call is not made."""
        return self._strikes(self._odds.throttled)

    def seconds(self) -> float:
        """How long user code takes."""
        if self._strikes(self._odds.long):
            return self._rng.choice(LONG_SECONDS)
        return self._rng.choice(SHORT_SECONDS)

    @property
    def _odds(self) -> CallOdds:
        return CallOdds() if self._weather.is_healed else self._trigger.calls

    # --- how they end -------------------------------------------------------------------------------

    def _begin(self, event: Mapping[str, Any]) -> TrueCall:
        call = self._present()
        with self._witness.watching():
            given = [record["dynamodb"]["SequenceNumber"] for record in event["Records"]]
            wanted = [record.sequence_number for record in call.records]
            if given != wanted:
                raise Violation(f"E: the handler got {given} of {wanted}")
        return call

    def _present(self) -> TrueCall:
        call = CALL.get()
        assert call is not None
        call.enter()
        return call

    def _end(self, call: TrueCall) -> object:
        odds, numbers = self._odds, [record.sequence_number for record in call.records]
        error = self._error(odds)
        if error is not None:
            call.failed.update(numbers)
            if isinstance(error, Discard):
                call.given_up.update(numbers)
            call.waits_seconds.append(_wait_of(error))
            raise error
        if self._partial and self._strikes(odds.garbles):
            call.failed.update(numbers)
            return {"batchItemFailures": [{"itemIdentifier": "nobody"}]}
        poisoned = [i for i, number in enumerate(numbers) if self._is_poison(number, odds)]
        first = poisoned[0] if poisoned else len(numbers)
        if self._partial and self._strikes(odds.partly):
            first = min(first, self._rng.randrange(len(numbers)))
        if first < len(numbers) and not self._partial:
            call.failed.update(numbers)
            raise HandlerFault("a record that always fails")
        call.done.update(numbers[:first])
        call.failed.update(numbers[first:])
        return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers[first:]]}

    def _end_one(self, call: TrueCall, number: str) -> None:
        odds = self._odds
        error = self._error(odds)
        if error is None and self._is_poison(number, odds):
            error = HandlerFault("a record that always fails")
        if error is None:
            call.done.add(number)
            return
        if isinstance(error, Discard):
            call.given_up.add(number)
        else:
            call.failed.add(number)
            call.waits_seconds.append(_wait_of(error))
        raise error

    def _error(self, odds: CallOdds) -> Exception | None:
        if self._strikes(odds.fails):
            return HandlerFault("no")
        if self._strikes(odds.asks_again):
            return Retry(self._rng.choice((None, 0.3, 2.0)))
        return Discard("no use") if self._strikes(odds.gives_up) else None

    def _is_poison(self, number: str, odds: CallOdds) -> bool:
        """The same records in every life."""
        return odds.poison > 0.0 and int(number) * 2_654_435_761 % 1000 < odds.poison * 1000

    def _strikes(self, odds: float) -> bool:
        return odds > 0.0 and self._rng.random() < odds


def _wait_of(error: Exception) -> float:
    return error.after_seconds or 0.0 if isinstance(error, Retry) else 0.0


class CheckedInvoker:
    """Implements `ports.Invoker` around a real one; tells the checker when user code begins and ends."""

    def __init__(
        self, invoker: Invoker, checker: Checker, witness: Witness, handlers: Handlers
    ) -> None:
        self._invoker = invoker
        self._handlers = handlers
        self._checker = checker
        self._witness = witness

    async def start(self) -> None:
        """See `Invoker`."""
        await self._invoker.start()

    async def invoke(self, invocation: Invocation) -> Outcome:
        """See `Invoker`."""
        assert invocation.tenure is not None
        with self._witness.watching():
            known = self._witness.records
            records = [known[record.sequence_number] for record in invocation.batch.records]
            call = TrueCall(
                self._checker,
                self._witness,
                invocation.shard,
                invocation.tenure,
                records,
                self._handlers.one_by_one,
            )
            if self._handlers.is_throttled():
                return NotInvoked("the world is troubled", 0.3)
            CALL.set(call)
            outcome = await self._invoker.invoke(invocation)
        if call.begun:
            call.end(call.ending(outcome))
        return outcome

    async def cancel(self, request_id: str) -> None:
        """See `Invoker`."""
        await self._invoker.cancel(request_id)

    async def close(self) -> None:
        """See `Invoker`."""
        await self._invoker.close()


class SlowThread:
    """Implements `ports.Runner`: a sync handler is done at once, but its thread takes its time to say so."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Call, and take a while before and behind it."""
        seconds = self._handlers.seconds()
        if seconds < 1.0:
            await asyncio.sleep(seconds)
        try:
            return call()
        finally:
            await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class SlowPlaces:
    """Implements `invokers.places.Places` on the calling loop."""

    handlers: Handlers

    def threads(self, name: str, count: int) -> Runner:
        """A runner that takes its time."""
        return SlowThread(self.handlers)

    @property
    def loop(self) -> CoroutineRunner:
        """The calling loop."""
        return InlineLoop()
