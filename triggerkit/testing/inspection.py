"""Every invariant of the lease protocol, held against a simulation. Rule: what it cannot follow it leaves alone.

The checkers are those of the worlds that triggerkit itself is tested in; there is one for each trigger and table.
They know the streams as they are, what the lease table applied and when user code was called; how a call ended is
taken from its outcome, since only the user knows better.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from triggerkit.core.model import Batch, Session, SessionId
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordsEnded,
    Succeeded,
)
from triggerkit.emulator import Emulator
from triggerkit.ports import Clock, Invocation, Source
from triggerkit.runtime.assembly import lease_prefix, starting_position
from triggerkit.settings import MappingPlan
from triggerkit.testing.checker import Checker
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.truth import CallEnding, Violation, WorkerTime, Write
from triggerkit.testing.worlds.event_checker import EventChecker
from triggerkit.testing.worlds.stream import TableStream
from triggerkit.testing.worlds.true_calls import TrueCall
from triggerkit.testing.worlds.witness import Witness

NAMESPACE = "simulation"


class Inspection:
    """Implements `worlds.state.StateWatch` and `SessionWatch` for a whole simulation."""

    def __init__(self, emulator: Emulator, clock: VirtualClock) -> None:
        self._emulator = emulator
        self._clock = clock
        self._streams: dict[str, TableStream] = {}
        self._witnesses: dict[str, Witness] = {}

    @property
    def fault(self) -> Violation | None:
        """The first invariant that was broken. What a checker does not know is none."""
        faults = (witness.fault for witness in self._witnesses.values())
        return next((fault for fault in faults if isinstance(fault, Violation)), None)

    def begin(self, plans: Iterable[MappingPlan]) -> None:
        """Watch these mappings; to be called once their tables are there, and before any worker is."""
        for plan in plans:
            table = plan.source_locator.name
            if table not in self._witnesses:
                witness = self._witnesses[table] = Witness(lambda: self._clock.monotonic_seconds)
                witness.is_silent = True
                self._streams[table] = TableStream(self._emulator, table, witness)
        for plan in plans:
            table = plan.source_locator.name
            options = plan.options
            checker = Checker(
                self._streams[table],
                starting_position(options, self._clock),
                options,
                never_twice=False,
            )
            checker.tells_whole_seconds()
            checker.tells_losses()
            self._witnesses[table].checkers[self._prefix(plan.name, table)] = checker
        self.refresh()

    def refresh(self) -> None:
        """Take in what was written by whomever."""
        for stream in self._streams.values():
            stream.refresh()

    def event_checker(self, life: str, plan: MappingPlan, clock: Clock) -> EventChecker:
        """One mapping of one worker."""
        table = plan.source_locator.name
        witness = self._witnesses[table]
        return EventChecker(
            life=life,
            trigger=plan.name,
            checker=witness.checkers[self._prefix(plan.name, table)],
            witness=witness,
            clock=clock,
            service_seconds=self._clock.now_seconds,
            refresh=self.refresh,
            delivers=plan.on_failure is not None,
        )

    # --- calls --------------------------------------------------------------------------------------

    def call(self, invocation: Invocation) -> TrueCall | None:
        """The call that is about to begin; None when it cannot be followed."""
        table = _table_of(invocation.source)
        assert invocation.tenure is not None
        witness = self._witnesses[table]
        found = [witness.records.get(each.sequence_number) for each in invocation.batch.records]
        records = [record for record in found if record is not None]
        if len(records) < len(found):
            witness.break_off(LookupError("a record that nobody saw being written"))
        if witness.fault is not None:
            return None
        checker = witness.checkers[self._prefix(invocation.trigger, table)]
        return TrueCall(checker, witness, invocation.shard, invocation.tenure, records)

    def ended(self, call: TrueCall, batch: Batch, outcome: Outcome) -> None:
        """A call ended so; user code may not have been needed for it."""
        if not isinstance(outcome, NotInvoked):
            call.enter()
        if call.begun:
            call.end(_ending(batch, outcome))

    # --- state --------------------------------------------------------------------------------------

    def wrote(self, write: Write) -> None:
        """See `StateWatch`."""
        self.refresh()
        row = write.after or write.before
        assert row is not None
        for witness in self._witnesses.values():
            if any(row.key.startswith(prefix) for prefix in witness.checkers):
                witness.wrote(write)

    def session_expired(self, session: Session) -> None:
        """See `StateWatch`."""
        for witness in self._witnesses.values():
            witness.session_expired(session)

    def joined(self, session: SessionId, worker: str, clock: WorkerTime) -> None:
        """See `SessionWatch`."""
        for witness in self._witnesses.values():
            witness.joined(session, worker, clock)

    def beaten(self, session: SessionId, sent_seconds: float) -> None:
        """A worker knows that its beat was confirmed."""
        for witness in self._witnesses.values():
            witness.beaten(session, sent_seconds)

    def died(self, session: SessionId) -> None:
        """See `SessionWatch`."""
        for witness in self._witnesses.values():
            witness.died(session)

    def _prefix(self, trigger: str, table: str) -> str:
        site = self._streams[table].site
        return lease_prefix(NAMESPACE, trigger, f"dynamodb/{table}/{site}")


def _table_of(source: Source) -> str:
    return source.name.split("/")[1]


def _ending(batch: Batch, outcome: Outcome) -> CallEnding:
    every = range(len(batch))
    match outcome:
        case Succeeded():
            return CallEnding(done=every)
        case PartlyFailed(index=index):
            return CallEnding(done=every[:index], failed=every[index:])
        case Failed():
            return CallEnding(failed=every)
        case NotInvoked():
            return CallEnding()
        case GivenUp():
            return CallEnding(failed=every, given_up=every)
        case RecordsEnded(done=done, failed=failed, discarded=discarded, invalid=invalid):
            given_up = [each.index for each in discarded]
            bad = [each.index for each in (*failed, *invalid)] + given_up
            return CallEnding(done=done, failed=bad, given_up=given_up)
        case _:
            assert_never(outcome)
