"""The checker is checked: each fault that is planted outside the machines is told within some worlds."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from random import Random

import pytest
from proof.facts import Violation
from simulation.calls import FAILURE, Calls
from simulation.plan import make_plan
from simulation.store import SimStore, _Row
from simulation.stream import SimReader, SimShard, SimStream
from simulation.worker import SimWorker
from simulation.world import Fakes, World

from triggerkit.core.decisions import Create, Finish, Release, Save
from triggerkit.core.events import GapFound
from triggerkit.core.model import (
    LATEST,
    TRIM_HORIZON,
    Children,
    Lease,
    Listing,
    Page,
    Position,
    PositionKind,
    Record,
    Session,
    SessionId,
    Shard,
    ShardId,
)
from triggerkit.core.model import after as behind
from triggerkit.core.outcome import Failed, NotInvoked, Outcome, PartlyFailed, Succeeded
from triggerkit.core.reports import (
    Beaten,
    LeaseLost,
    MembershipReport,
    Report,
    StopAsked,
)

WORLDS = 60
"""The first seeds; the slowest fault needs 24 of them."""


class Childless(SimStream):
    """Tells no parents: children start at once."""

    def _as_listed(self, shard: SimShard, as_of: float = float("inf")) -> Shard:
        return replace(super()._as_listed(shard, as_of), parents=())


class HastyReader(SimReader):
    """Says that a closed shard is read when some of it is."""

    def _is_end(self, records: Sequence[Record], *, is_all: bool) -> bool:
        return True


class MixingReader(SimReader):
    """Turns the order of a page around."""

    def fetch(self, position: Position, limit: int, *, stingy: bool) -> Page:
        page = super().fetch(position, limit, stingy=stingy)
        return replace(page, records=page.records[::-1])


class Hasty(SimStream):
    def open(self, shard: ShardId, rng: Random) -> SimReader:
        return HastyReader(rng, self._schedule, self.shards[shard])


class Mixing(SimStream):
    def open(self, shard: ShardId, rng: Random) -> SimReader:
        return MixingReader(rng, self._schedule, self.shards[shard])


class Unfenced(SimStore):
    """Writes whatever the token is."""

    def _held(self, lease: Lease, verb: str) -> tuple[_Row, tuple[SessionId | None, int]]:
        return self.rows[lease.shard], (lease.owner, lease.counter)


class Forgetful(SimStore):
    """Takes its own write, whose answer was lost, for a stranger's."""

    def _held(self, lease: Lease, verb: str) -> tuple[_Row, tuple[SessionId | None, int]]:
        row = self.rows.get(lease.shard)
        if row is not None:
            self.rows[lease.shard] = replace(row, under=None)
        return super()._held(lease, verb)


class Impatient(SimStore):
    """Buries whom it is told to, though the session has beaten meanwhile."""

    def read_sessions(self) -> tuple[Session, ...]:
        return tuple(replace(session, beat=0) for session in super().read_sessions())

    def expire(self, session: Session) -> bool:
        row = self.sessions.get(session.id)
        return super().expire(row.session if row else session)


class Stammering(SimStore):
    """Applies a write that was applied already once more."""

    def advance(self, lease: Lease, position: Position) -> Lease:
        super().advance(lease, position)
        row = self.rows[lease.shard]
        return self._put("advance", lease.owner, _one_up(row.lease), row.under)


class Skipping(SimStore):
    """Leaves a number out when it counts writes."""

    def take(self, lease: Lease, session: SessionId) -> Lease | None:
        taken = super().take(lease, session)
        return None if taken is None else self._put("take", session, _one_up(_one_up(taken)), None)


class Rewinding(SimStore):
    """Forgets the checkpoint of what is released."""

    def release(self, lease: Lease, position: Position) -> None:
        super().release(lease, TRIM_HORIZON)


class Hurried(SimStore):
    """Begins the children of a shard at LATEST."""

    def _bear(
        self, child: Lease, session: SessionId, parent: ShardId, take: frozenset[ShardId] | None
    ) -> None:
        super()._bear(replace(child, checkpoint=LATEST), session, parent, take)


class Postponing(SimStore):
    """Lets every row at LATEST begin when it is made, and not when the shards were listed."""

    def create(self, lease: Lease) -> None:
        at_seconds = lease.checkpoint.at_seconds + 20.0 * len(self.rows)
        later = replace(lease.checkpoint, at_seconds=at_seconds)
        is_latest = lease.checkpoint.kind is PositionKind.LATEST
        super().create(replace(lease, checkpoint=later) if is_latest else lease)


class Undertaking(SimWorker):
    """Takes a beat's answer for its sending."""

    def _answer_beat(self, key: Hashable, report: MembershipReport) -> None:
        if isinstance(report, Beaten):
            report = replace(report, sent_at_seconds=self.clock.monotonic_seconds)
        super()._answer_beat(key, report)


class Backward(SimWorker):
    """Creates rows children first."""

    def _create(self, decision: Create) -> None:
        super()._create(replace(decision, leases=decision.leases[::-1]))


class Silent(SimWorker):
    """Tells nobody of a loss."""

    def tell_gap(self, event: GapFound) -> None:
        pass


class Deaf(SimWorker):
    """Is not told that it is to stop, nor that its lease is lost."""

    def tell(self, report: Report) -> None:
        if not isinstance(report, StopAsked):
            super().tell(report)


class Stubborn(SimWorker):
    """Goes on after its lease was lost."""

    def tell(self, report: Report) -> None:
        if isinstance(report, LeaseLost):
            self.world.checker.told_lost(report.decision.lease.shard, report.decision.tenure)
            return  # as if it had not heard
        super().tell(report)


class EmptyReader(SimReader):
    """Reads nothing."""

    def fetch(self, position: Position, limit: int, *, stingy: bool) -> Page:
        page = super().fetch(position, limit, stingy=stingy)
        return replace(page, records=(), ended=False)


class Empty(SimStream):
    def open(self, shard: ShardId, rng: Random) -> SimReader:
        return EmptyReader(rng, self._schedule, self.shards[shard])


class Barren(SimStream):
    """Lists no shard that came out of another."""

    def listing(
        self, *, complete: bool, stale_seconds: float = 0.0, hides: bool = False
    ) -> Listing:
        listing = super().listing(complete=complete, stale_seconds=stale_seconds, hides=hides)
        return replace(listing, shards=tuple(s for s in listing.shards if not s.parents))

    def children(self, shard: ShardId) -> Children:
        return Children(())


class Miscounting(Calls):
    """Takes a call that was not made for one that failed."""

    def _told(self, outcome: Outcome) -> Outcome:
        return Failed(FAILURE) if isinstance(outcome, NotInvoked) else outcome


class Forgiving(Calls):
    """Takes a call that failed for one that was not made."""

    def _told(self, outcome: Outcome) -> Outcome:
        return NotInvoked("nobody is there", 0.1) if isinstance(outcome, Failed) else outcome


class Hasting(Calls):
    """Forgets how long a handler wants to be left alone."""

    def _told(self, outcome: Outcome) -> Outcome:
        return NotInvoked("", 0.0) if isinstance(outcome, NotInvoked) else outcome


class OffByOne(Calls):
    """Tells one record more as done than the handler did."""

    def _told(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, PartlyFailed):
            return replace(outcome, index=outcome.index + 1)
        return outcome


class Optimist(Calls):
    """Tells a failure as success."""

    def _told(self, outcome: Outcome) -> Outcome:
        return Succeeded() if isinstance(outcome, Failed) else outcome


class GapJumper(SimWorker):
    """Saves where it has read to, whatever is outstanding."""

    def _write_held(self, decision: Save | Finish | Release, fails: float) -> None:
        if isinstance(decision, Save):
            read = self.mapping.consumers[decision.lease.shard].reading.position
            decision = replace(decision, position=read)
        super()._write_held(decision, fails)


class Replayer(SimStore):
    """Gives a new owner its shard a record too early."""

    def take(self, lease: Lease, session: SessionId) -> Lease | None:
        taken = super().take(lease, session)
        return None if taken is None else replace(taken, checkpoint=self._before(taken))

    def _before(self, lease: Lease) -> Position:
        stream = self._watch._rows._stream  # type: ignore[attr-defined]
        records = stream.shards[ShardId(lease.shard)].records
        numbers = [record.sequence_number for record in records]
        if lease.checkpoint.sequence_number not in numbers[1:]:
            return lease.checkpoint
        return behind(records[numbers.index(lease.checkpoint.sequence_number) - 1])


def _one_up(lease: Lease) -> Lease:
    return replace(lease, counter=lease.counter + 1)


FAULTS = {
    "children start without their parents": (Fakes(stream=Childless), ("I7", "I8", "I10")),
    "a checkpoint skips what is outstanding": (Fakes(worker=GapJumper), ("I4", "I14")),
    "a write is not fenced": (Fakes(store=Unfenced), ("I1", "I2", "I3", "S")),
    "a shard ends with work outstanding": (Fakes(stream=Hasty), ("I4",)),
    "a partial response is off by one": (Fakes(calls=OffByOne), ("I4", "I8", "F")),
    "records of a key change their order": (Fakes(stream=Mixing), ("I8", "I3", "I4")),
    "a failed batch counts as done": (Fakes(calls=Optimist), ("I4", "I8")),
    "a lost answer costs the lease": (Fakes(store=Forgetful), ("I14",)),
    "a living session is expired": (Fakes(store=Impatient), ("I17",)),
    "a saved record is read again": (Fakes(store=Replayer), ("I6", "I3")),
    "a write is applied twice": (Fakes(store=Stammering), ("I14",)),
    "a counter skips a number": (Fakes(store=Skipping), ("I1",)),
    "a checkpoint goes back": (Fakes(store=Rewinding), ("I3",)),
    "a child begins at LATEST": (Fakes(store=Hurried), ("I18",)),
    "a first survey begins where each row is made": (Fakes(store=Postponing), ("I18",)),
    "a beat counts from its answer": (Fakes(worker=Undertaking), ("I17",)),
    "rows are made children first": (Fakes(worker=Backward), ("I10",)),
    "a loss is not told": (Fakes(worker=Silent), ("G",)),
    "a stop is not told": (Fakes(worker=Deaf), ("S",)),
    "a lease that is lost is kept": (Fakes(worker=Stubborn), ("I2", "L")),
    "nothing is read": (Fakes(stream=Empty), ("I5",)),
    "no child is ever found": (Fakes(stream=Barren), ("I5", "I10")),
    "a call that was not made counts": (Fakes(calls=Miscounting), ("F",)),
    "a call that failed does not count": (Fakes(calls=Forgiving), ("F",)),
    "a wait is cut short": (Fakes(calls=Hasting), ("F",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    fakes, rules = FAULTS[fault]
    for seed in range(WORLDS):
        try:
            World(make_plan(seed), fakes).run()
        except Violation as violation:
            told = str(violation)
            assert told.startswith(rules), told
            print(f"{fault}: seed {seed}, {told.splitlines()[0]}")
            return
    pytest.fail(f"{WORLDS} worlds did not tell that {fault}")
