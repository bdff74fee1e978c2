"""The checker is checked: each fault that is planted outside the machines is told within some worlds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from simulation.calls import Calls
from simulation.plan import make_plan
from simulation.store import SimStore, _Row
from simulation.stream import SimReader, SimShard, SimStream
from simulation.worker import SimWorker
from simulation.world import Fakes, World

from triggerkit.core.decisions import Finish, Release, Save
from triggerkit.core.model import Lease, Page, Position, Record, Session, SessionId, Shard, ShardId
from triggerkit.core.model import after as behind
from triggerkit.core.outcome import Failed, Outcome, PartlyFailed, Succeeded
from triggerkit.testing.truth import Violation

WORLDS = 60
"""The first seeds; the slowest fault needs 20 of them."""


class Childless(SimStream):
    """Tells no parents: children start at once."""

    def _as_listed(self, shard: SimShard) -> Shard:
        return replace(super()._as_listed(shard), parents=())


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


class Gravedigger(SimStore):
    """Buries whom it is told to, though the session has beaten meanwhile."""

    def read_sessions(self) -> tuple[Session, ...]:
        return tuple(replace(session, beat=0) for session in super().read_sessions())

    def bury(self, session: Session) -> bool:
        row = self.sessions.get(session.id)
        return super().bury(row.session if row else session)


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


FAULTS = {
    "children start without their parents": (Fakes(stream=Childless), ("I7", "I8")),
    "a checkpoint skips what is outstanding": (Fakes(worker=GapJumper), ("I4",)),
    "a write is not fenced": (Fakes(store=Unfenced), ("I1", "I2", "I3")),
    "a shard ends with work outstanding": (Fakes(stream=Hasty), ("I4",)),
    "a partial response is off by one": (Fakes(calls=OffByOne), ("I4", "I8", "B1")),
    "records of a key change their order": (Fakes(stream=Mixing), ("I8", "I3", "I4")),
    "a failed batch counts as done": (Fakes(calls=Optimist), ("I4", "I8")),
    "a lost answer costs the lease": (Fakes(store=Forgetful), ("I14",)),
    "a living session is buried": (Fakes(store=Gravedigger), ("I17",)),
    "a saved record is read again": (Fakes(store=Replayer), ("I6", "I3")),
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
