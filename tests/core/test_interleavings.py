"""One mapping alone, its decisions answered in any order, some of them with failures: what always holds.

The fleet, crashes and real adapters are for `tests/proof`; here one worker reads two generations of
shards to their end. A failing seed is in the name of its case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from core.builders import (
    ME,
    NoLuckError,
    at,
    listing,
    options,
    refused,
    sessions,
    settings,
    shards,
)

from triggerkit.core.coordinator import Cadence
from triggerkit.core.decisions import (
    Cancel,
    Create,
    Decision,
    Discard,
    Fetch,
    FindChildren,
    Finish,
    Forget,
    Invoke,
    Release,
    Save,
    Survey,
    Take,
)
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.model import (
    SHARD_END,
    TRIM_HORIZON,
    Batch,
    Children,
    LastFailure,
    Lease,
    Page,
    Position,
    PositionKind,
    Record,
    SessionId,
    ShardId,
)
from triggerkit.core.outcome import (
    Failed,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordFailure,
    RecordsEnded,
    Succeeded,
)
from triggerkit.core.reports import (
    ChildrenFound,
    Created,
    Discarded,
    Fetched,
    Finished,
    Invoked,
    NotNow,
    Report,
    Saved,
    Surveyed,
    Taken,
    Woke,
)

SHAPE = {"p": "", "q": "", "b": "p", "c": "p", "m": "q b"}
RAISED = LastFailure("id", "ValueError", "no")


@dataclass
class World:
    """A stream that has ended, a lease table, and whatever was decided and is not answered yet."""

    seed: int
    random: Random = field(init=False)
    seconds: float = 0.0
    rows: dict[ShardId, Lease] = field(default_factory=dict)
    records: dict[ShardId, list[Record]] = field(default_factory=dict)
    pending: list[Decision] = field(default_factory=list)
    accounted: set[str] = field(default_factory=set)
    completed: dict[bytes, int] = field(default_factory=dict)
    delivered: dict[bytes, list[int]] = field(default_factory=dict)
    calm: bool = False

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        number = 0
        for name in SHAPE:
            size = self.random.choice([0, 1, 7, 30])
            keys = [b"%s-%d" % (name.encode(), self.random.randrange(6)) for _ in range(size)]
            self.records[ShardId(name)] = [
                Record(str(number + i), at(0).service_seconds, key, b"{}")
                for i, key in enumerate(keys)
            ]
            number += size
        tuned = options(
            batch_size=self.random.choice([1, 3, 10]),
            parallelization_factor=self.random.choice([1, 4]),
            maximum_retry_attempts=self.random.choice([0, 2]),
            bisect_batch_on_function_error=self.random.random() < 0.5,
            maximum_batching_window_in_seconds=self.random.choice([0, 2]),
        )
        shared = settings(
            tuned,
            checkpoint_interval_seconds=self.random.choice([0.0, 1.0]),
            fetch_limit=self.random.choice([2, 8]),
        )
        self.mapping = EventSourceMapping(TRIM_HORIZON, shared, Cadence())

    # --- driving --------------------------------------------------------------------------------

    def react(self, report: Report) -> None:
        self.pending += self.mapping.react(report, at(self.seconds)).decisions
        self.check()

    def step(self) -> None:
        """Answer one decision, or let time pass."""
        if self.pending and self.random.random() < 0.8:
            decision = self.pending.pop(self.random.randrange(len(self.pending)))
            self.react(self.answer(decision))
            return
        until = self.mapping.wake_at_seconds
        passed = self.random.choice([0.0, 0.1, 1.0])
        self.seconds += passed if until > self.seconds + 100 else max(passed, until - self.seconds)
        self.react(Woke())
        assert self.mapping.wake_at_seconds > self.seconds, "it would be woken for ever"

    def fails(self) -> bool:
        return not self.calm and self.random.random() < 0.2

    @property
    def ended(self) -> bool:
        return len(self.rows) == len(SHAPE) and all(row.finished for row in self.rows.values())

    # --- answering --------------------------------------------------------------------------------

    def answer(self, decision: Decision) -> Report:
        wait = self.random.choice([0.0, 0.3, 2.0])
        match decision:
            case Survey() | Create() | Take():
                return self.answer_of_coordinator(decision, wait)
            case Fetch() | Invoke() | Discard():
                return self.answer_of_work(decision, wait)
            case Save() | Finish() | FindChildren():
                return self.answer_of_write(decision, wait)
            case Forget() | Cancel() | Release():
                raise AssertionError(f"nobody asked for {decision}")

    def answer_of_coordinator(self, decision: Survey | Create | Take, wait: float) -> Report:
        match decision:
            case Survey(list_shards=wanted):
                if self.fails():
                    return refused(Survey, wait=wait)
                # children are listed once their parents are at their end
                listed = [n for n, p in SHAPE.items() if all(self.is_done(x) for x in p.split())]
                seen = listing({name: SHAPE[name] for name in listed})
                return Surveyed(decision, tuple(self.rows.values()), seen if wanted else None)
            case Create(leases=rows):
                kept = rows[: self.random.randrange(len(rows))] if self.fails() else rows
                for row in kept:
                    self.rows.setdefault(row.shard, row)
                return Created(decision) if kept == rows else refused(Create, wait=wait)
            case Take(lease=row):
                if self.fails():
                    return refused(Take, row.shard, wait=wait)
                return Taken(decision, self.write(row, owner=SessionId(ME)))

    def is_done(self, shard: str) -> bool:
        return ShardId(shard) in self.rows and self.rows[ShardId(shard)].finished

    def answer_of_work(self, decision: Fetch | Invoke | Discard, wait: float) -> Report:
        shard, tenure = decision.lease.shard, decision.tenure
        match decision:
            case Fetch(position=position, limit=limit):
                if self.fails():
                    return refused(Fetch, shard, tenure, wait)
                every = self.records[shard]
                first = self.index_behind(shard, position)
                size = self.random.choice([0, limit]) if not self.calm else limit
                read = tuple(every[first : first + size])
                ended = first + size >= len(every) and (not read or self.random.random() < 0.5)
                return Fetched(decision, Page(read, ended=ended))
            case Invoke(batch=batch):
                self.note_delivery(shard, batch.records)
                outcome = self.outcome(batch)
                self.note_done([batch.records[index] for index in done_by(outcome, len(batch))])
                return Invoked(decision, outcome)
            case Discard(batch=batch):
                if self.fails():
                    return NotNow(decision, wait, NoLuckError())
                self.note_done(batch.records)
                return Discarded(decision)

    def outcome(self, batch: Batch) -> Outcome:
        if self.calm or self.random.random() < 0.6:
            return Succeeded()
        failures: list[Outcome] = [
            Failed(RAISED),
            PartlyFailed(self.random.randrange(len(batch)), RAISED),
            self.one_by_one(batch),
            NotInvoked("throttled"),
        ]
        return self.random.choice(failures)

    def one_by_one(self, batch: Batch) -> RecordsEnded:
        """As `.each` ends: behind a record that failed, those of its key have no turn."""
        ends: dict[str, list[int]] = {"done": [], "failed": [], "discarded": []}
        stuck: set[bytes] = set()
        for index, record in enumerate(batch.records):
            if record.key in stuck:
                continue
            end = self.random.choice(["done", "done", "failed", "discarded"])
            ends[end].append(index)
            if end != "done":
                stuck.add(record.key)
        failed, discarded = (
            tuple(RecordFailure(index, RAISED) for index in ends[end])
            for end in ("failed", "discarded")
        )
        return RecordsEnded(tuple(ends["done"]), failed, discarded)

    def answer_of_write(self, decision: Save | Finish | FindChildren, wait: float) -> Report:
        shard, tenure = decision.lease.shard, decision.tenure
        match decision:
            case FindChildren():
                if self.fails():
                    return refused(FindChildren, shard, tenure, wait)
                named = {name: p for name, p in SHAPE.items() if str(shard) in p.split()}
                return ChildrenFound(decision, Children(() if self.fails() else shards(named)))
            case Save(lease=row, position=position):
                if self.fails():
                    return refused(Save, shard, tenure, wait)
                upto = self.index_behind(shard, position)
                self.check_accounted(self.records[shard][:upto])
                return Saved(decision, self.write(row, checkpoint=position))
            case Finish(lease=row, children=children):
                if self.fails():
                    return refused(Finish, shard, tenure, wait)
                self.check_accounted(self.records[shard])
                self.write(row, checkpoint=SHARD_END, owner=None)
                return Finished(decision, self.born(children or ()))

    def born(self, children: tuple[Lease, ...]) -> tuple[Lease, ...]:
        """Make the rows of these children; those whose parents are all done belong to this worker."""
        taken = []
        for child in children:
            ready = all(self.is_done(parent) for parent in child.parents)
            made = replace(child, owner=SessionId(ME) if ready else None, counter=1)
            if self.rows.setdefault(child.shard, made) is made and ready:
                taken.append(made)
        return tuple(taken)

    def write(self, seen: Lease, **changes: object) -> Lease:
        row = self.rows[seen.shard]
        assert (row.owner, row.counter) == (seen.owner, seen.counter), "one writer a row"
        self.rows[seen.shard] = replace(row, counter=row.counter + 1, **changes)  # type: ignore[arg-type]
        return self.rows[seen.shard]

    def index_behind(self, shard: ShardId, position: Position) -> int:
        if position.kind is PositionKind.TRIM_HORIZON:
            return 0
        every = [record.sequence_number for record in self.records[shard]]
        return every.index(position.sequence_number) + 1

    # --- what always holds --------------------------------------------------------------------------

    def note_delivery(self, shard: ShardId, records: Sequence[Record]) -> None:
        assert all(self.is_done(parent) for parent in SHAPE[shard].split()), "I7, parents first"
        for record in records:
            seen = self.delivered.setdefault(record.key, [])
            number = int(record.sequence_number)
            if number not in seen:
                assert not seen or number > seen[-1], "I8, the order of a key"
                seen.append(number)

    def note_done(self, records: Sequence[Record]) -> None:
        for record in records:
            before = self.completed.get(record.key, -1)
            assert int(record.sequence_number) > before, (
                "a key's records are done once and in order"
            )
            self.completed[record.key] = int(record.sequence_number)
            self.accounted.add(record.sequence_number)

    def check_accounted(self, records: list[Record]) -> None:
        missing = [record for record in records if record.sequence_number not in self.accounted]
        assert missing == [], "I4, the checkpoint never passes an outstanding record"

    def check(self) -> None:
        under_way: Counter[object] = Counter()
        for decision in self.pending:
            match decision:
                case Fetch(lease=row) | FindChildren(lease=row):
                    under_way[type(decision), row.shard] += 1
                case Save(lease=row) | Finish(lease=row) | Release(lease=row):
                    under_way["write", row.shard] += 1
                case Invoke(lease=row, batch=batch) | Discard(lease=row, batch=batch):
                    under_way["lane", row.shard, batch.lane] += 1
                case Take(lease=row):
                    under_way["take", row.shard] += 1
                case _:
                    under_way[type(decision)] += 1
        assert not under_way or max(under_way.values()) == 1, under_way


def done_by(outcome: Outcome, size: int) -> Sequence[int]:
    match outcome:
        case Succeeded():
            return range(size)
        case PartlyFailed(index=index):
            return range(index)
        case RecordsEnded(done=done):
            return done
        case _:
            return ()


@pytest.mark.parametrize("seed", range(150))
def test_any_order_of_answers_keeps_the_rules_and_comes_to_the_end(seed: int) -> None:
    world = World(seed)
    world.react(sessions(deadline_seconds=1e9, read_at_seconds=1e8))
    for _ in range(400):
        world.step()
        if world.ended:
            break
    world.calm = True
    steps = 0
    while not world.ended:
        world.step()
        steps += 1
        assert steps < 20_000, f"stuck: {world.pending} {world.rows}"
    for every in world.records.values():
        world.check_accounted(every)
    assert list(world.mapping) == []
