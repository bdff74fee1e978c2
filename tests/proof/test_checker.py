"""The checker by hand: a sound story passes, and each invariant is told by the one step that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from proof.checker import Checker
from proof.facts import CallEnding, Violation, Write

from triggerkit.core.model import (
    LATEST,
    SHARD_END,
    TRIM_HORIZON,
    DiscardReason,
    Gap,
    Lease,
    LeaseKey,
    Position,
    PositionKind,
    Record,
    Session,
    SessionId,
    ShardId,
    Tenure,
    after,
)
from triggerkit.core.options import MappingOptions

A, B, M = ShardId("a"), ShardId("b"), ShardId("m")
ME, OTHER = SessionId("me"), SessionId("other")
NOON = 1_700_000_000.0


@dataclass
class Line:
    """A shard."""

    id: ShardId
    parents: tuple[ShardId, ...] = ()
    children: tuple[ShardId, ...] = ()
    closed: bool = False
    gone: bool = False
    records: list[Record] = field(default_factory=list)


@dataclass
class River:
    """A stream of two shards that merge into a third."""

    shards: dict[ShardId, Line] = field(
        default_factory=lambda: {
            A: Line(A, children=(M,)),
            B: Line(B, children=(M,)),
            M: Line(M, parents=(A, B)),
        }
    )

    def is_listed(self, shard: ShardId) -> bool:
        return not self.shards[shard].gone


@dataclass
class Watch:
    """A worker's clock."""

    monotonic_seconds: float = 0.0


class Story:
    """What happens, in short words; `me` has begun its session and beats."""

    def __init__(self, start: Position = TRIM_HORIZON, **options: int | bool) -> None:
        self.river = River()
        self.clock = Watch()
        self.rows: dict[ShardId, Lease] = {}
        given = MappingOptions.model_validate({"batch_size": 10, **options})
        self.checker = Checker(
            self.river, start, given, never_twice=True, service_seconds=lambda: NOON
        )
        for session, worker in ((ME, "w0"), (OTHER, "w1")):
            self.checker.joined(session, worker, self.clock)
            self.checker.beaten(session, 0.0)

    def put(self, *numbers: int, shard: ShardId = A, key: bytes = b"k") -> list[Record]:
        records = [Record(str(number), NOON, key, b"") for number in numbers]
        for record in records:
            self.river.shards[shard].records.append(record)
            self.checker.put(record, self.river.shards[shard], NOON)
        return records

    def write(self, verb: str, lease: Lease, by: SessionId | None = ME) -> Lease:
        before = self.rows.get(lease.shard)
        self.checker.wrote(Write(verb, by, before, lease))
        self.rows[lease.shard] = lease
        return lease

    def create(self, shard: ShardId = A, at: Position = TRIM_HORIZON, verb: str = "create") -> None:
        parents = self.river.shards[shard].parents
        lease = Lease(LeaseKey(f"p:{shard}"), shard, at, parents)
        self.write(verb, lease, None)

    def change(
        self, verb: str, shard: ShardId = A, by: SessionId = ME, **changes: object
    ) -> Tenure:
        row = self.rows[shard]
        lease = replace(row, **{"counter": row.counter + 1, **changes})  # type: ignore[arg-type]
        self.write(verb, lease, by)
        return Tenure(by, lease.counter)

    def take(self, shard: ShardId = A, by: SessionId = ME) -> Tenure:
        if shard not in self.rows:
            self.create(shard)
        return self.change("take", shard, by, owner=by)

    def save(self, position: Position, shard: ShardId = A, by: SessionId = ME) -> None:
        self.change("advance", shard, by, checkpoint=position)

    def finish(self, shard: ShardId = A, **changes: object) -> None:
        self.river.shards[shard].closed = True
        self.change("finish", shard, checkpoint=SHARD_END, owner=None, **changes)

    def call(
        self,
        tenure: Tenure,
        *records: Record,
        ending: CallEnding | None = None,
        shard: ShardId = A,
    ) -> None:
        self.checker.call_decided(shard, tenure, records, NOON)
        self.checker.call_started(shard, tenure, records)
        done = CallEnding(done=range(len(records)))
        self.checker.call_ended(shard, tenure, records, ending or done)


FAILED = CallEnding(failed=(0,))


def test_a_sound_story_passes() -> None:
    story = Story(maximum_retry_attempts=1)
    one, two, three = story.put(1, 2, 3)
    mine = story.take()
    story.call(mine, one)
    story.save(after(one))
    story.call(mine, two, ending=FAILED)
    story.call(mine, two, ending=FAILED)
    reason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
    story.checker.discarded(A, mine, [two], reason, NOON, 2)
    story.call(mine, three)
    story.change("release", checkpoint=after(three), owner=None)
    assert story.checker.outstanding() == []
    assert story.checker.unsaved() == []
    assert story.checker.owned() == []
    assert set(story.checker.unfinished()) == {B, M}, "open shards without a row"
    assert (story.checker.calls, story.checker.duplicates) == (4, 0)


# --- one broken step each ------------------------------------------------------------------------


def _counter_jumps(story: Story) -> None:
    story.create()
    story.change("take", owner=ME, counter=2)


def _row_changes_unseen(story: Story) -> None:
    story.take()
    story.rows[A] = replace(story.rows[A], counter=7)
    story.save(TRIM_HORIZON)


def _stranger_saves(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.call(mine, one)
    story.save(after(one), by=OTHER)


def _call_without_the_lease(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.take(by=OTHER)
    story.call(mine, one)


def _goes_on_after_a_known_loss(story: Story) -> None:
    mine = story.take()
    story.checker.told_lost(A, mine)
    story.checker.discard_decided(A, mine)


def _checkpoint_goes_back(story: Story) -> None:
    (one,) = story.put(1)
    story.call(story.take(), one)
    story.save(after(one))
    story.save(TRIM_HORIZON)


def _checkpoint_passes_what_is_open(story: Story) -> None:
    one, _ = story.put(1, 2)
    story.take()
    story.save(after(one))


def _open_shard_is_finished(story: Story) -> None:
    story.take()
    story.change("finish", checkpoint=SHARD_END, owner=None)


def _record_comes_twice(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.call(mine, one)
    story.call(mine, one)


def _record_comes_again_in_a_calm_world(story: Story) -> None:
    (one,) = story.put(1)
    story.call(story.take(), one)
    story.change("release", owner=None)
    story.call(story.take(by=OTHER), one)


def _too_much_is_unsaved(story: Story) -> None:
    story.checker._deliveries.most_unsaved = 1
    one, two = story.put(1, 2)
    mine = story.take()
    story.call(mine, one)
    story.call(mine, two)


def _child_before_its_second_parent(story: Story) -> None:
    story.create(B)
    story.take()
    story.finish()
    story.take(M)


def _key_out_of_order(story: Story) -> None:
    _, two = story.put(1, 2)
    story.call(story.take(), two)


def _key_in_two_calls(story: Story) -> None:
    one, two = story.put(1, 2)
    mine = story.take()
    story.checker.call_started(A, mine, [one])
    story.checker.call_started(A, mine, [two])


def _earlier_stay_still_calls(story: Story) -> None:
    one, two = *story.put(1), *story.put(2, key=b"l")
    story.checker.call_started(A, story.take(), [one])
    story.checker.call_started(A, story.take(), [two])


def _finished_shard_comes_back(story: Story) -> None:
    story.take()
    story.finish()
    story.checker.wrote(Write("cleanup", None, story.rows.pop(A), None))
    story.create()


def _child_row_first(story: Story) -> None:
    story.create(M)


def _row_of_a_listed_shard_is_deleted(story: Story) -> None:
    story.take()
    story.finish()
    story.checker.wrote(Write("forget", None, story.rows.pop(A), None))


def _lease_is_lost_to_nobody(story: Story) -> None:
    story.checker.lost_lease(A, story.take())


def _write_is_applied_twice(story: Story) -> None:
    (one,) = story.put(1)
    story.call(story.take(), one)
    story.save(after(one))
    story.save(after(one))


def _call_past_the_deadline(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.clock.monotonic_seconds = 5.0
    story.call(mine, one)


def _failure_record_past_the_deadline(story: Story) -> None:
    mine = story.take()
    story.clock.monotonic_seconds = 5.0
    story.checker.discard_decided(A, mine)


def _living_session_is_expired(story: Story) -> None:
    story.checker.session_expired(Session(ME, 1))


def _dead_session_beats(story: Story) -> None:
    story.clock.monotonic_seconds = 10.0
    story.checker.session_expired(Session(ME, 1))
    story.checker.beaten(ME, 10.5)


def _release_keeps_the_owner(story: Story) -> None:
    story.take()
    story.change("release")


def _child_at_latest(story: Story) -> None:
    story.create(A, replace(LATEST, at_seconds=NOON), "born of x")


def _latest_without_a_time(story: Story) -> None:
    story.create(A, LATEST)


def _latest_behind_the_first_survey(story: Story) -> None:
    story.create(A, replace(LATEST, at_seconds=NOON))
    story.create(B, replace(LATEST, at_seconds=NOON + 9.0))


def _pin_is_moved_later(story: Story) -> None:
    story.create(A, replace(LATEST, at_seconds=NOON))
    story.take()
    story.change("release", owner=None)
    story.take()
    story.save(replace(LATEST, at_seconds=NOON + 9.0))


def _read_before_the_pin_is_saved(story: Story) -> None:
    story.create(A, replace(LATEST, at_seconds=NOON))
    mine = story.take()
    story.checker.read_decided(A, mine, replace(LATEST, at_seconds=NOON + 1.0))


def _batch_is_too_large(story: Story) -> None:
    records = story.put(*range(1, 12))
    story.call(story.take(), *records)


def _given_up_too_early(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.call(mine, one, ending=FAILED)
    reason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
    story.checker.discarded(A, mine, [one], reason, NOON)


def _called_too_often(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    for _ in range(3):
        story.call(mine, one, ending=FAILED)


def _quota_is_not_given_back(story: Story) -> None:
    one, two = story.put(1, 2)
    mine = story.take()
    story.call(mine, one, two, ending=CallEnding(failed=(0, 1), one_by_one=False))
    story.call(mine, one, two, ending=CallEnding(done=(0,), failed=(1,), one_by_one=False))
    story.call(mine, two, ending=FAILED)
    reason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
    story.checker.discarded(A, mine, [two], reason, NOON)


def _throttled_call_counts(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.call(mine, one, ending=FAILED)
    story.call(mine, one, ending=CallEnding())
    reason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
    story.checker.discarded(A, mine, [one], reason, NOON)


def _batches_are_mixed(story: Story) -> None:
    one, two = story.put(1, 2)
    mine = story.take()
    story.call(mine, one, ending=FAILED)
    story.call(mine, one, two)


def _wait_is_cut_short(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.call(mine, one, ending=CallEnding(wait_seconds=3.0))
    story.call(mine, one)


def _failure_record_tells_other_calls(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    for _ in range(2):
        story.call(mine, one, ending=FAILED)
    reason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
    story.checker.discarded(A, mine, [one], reason, NOON, 7)


def _too_old_is_called(story: Story) -> None:
    (one,) = story.put(1)
    story.checker.call_decided(A, story.take(), [one], NOON + 60.0)


def _young_is_given_up_for_its_age(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    reason = DiscardReason.RECORD_AGE_EXCEEDED
    story.checker.discarded(A, mine, [one], reason, NOON + 59.0)


def _given_up_by_nobody(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    reason = DiscardReason.DISCARDED_BY_HANDLER
    story.checker.discarded(A, mine, [one], reason, NOON)


def _loss_without_a_word(story: Story) -> None:
    story.checker.tells_losses()
    one, two, three = story.put(1, 2, 3)
    mine = story.take()
    story.call(mine, one)
    story.checker.lost([two])
    story.call(mine, three)
    story.save(after(three))


def _gap_over_what_is_there(story: Story) -> None:
    story.put(1, 2, 3)
    story.checker.gap_told(A, story.take(), Gap("1", "3", 0.0, 0.0))


def _shard_that_is_gone_ends_well(story: Story) -> None:
    (one,) = story.put(1)
    story.checker.lost([one])
    story.checker.gone_told(A, story.take())
    story.finish()


def _call_behind_a_stop(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.checker.asked_to_stop("w0")
    story.call(mine, one)


def _call_behind_a_drain(story: Story) -> None:
    one, two = *story.put(1), *story.put(2, key=b"l")
    mine = story.take()
    story.call(mine, two)
    story.checker.asked_to_stop("w0")
    story.checker.drain_expired("w0")
    story.call(mine, one)


def _call_behind_a_release(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.checker.release_decided(A, mine)
    story.call(mine, one)


def _released_while_it_calls(story: Story) -> None:
    (one,) = story.put(1)
    mine = story.take()
    story.checker.call_started(A, mine, [one])
    story.checker.asked_to_stop("w0")
    story.change("release", owner=None)


BROKEN: dict[str, tuple[Callable[[Story], None], ...]] = {
    "I1": (_counter_jumps, _row_changes_unseen),
    "I2": (
        _stranger_saves,
        _call_without_the_lease,
        _goes_on_after_a_known_loss,
        _release_keeps_the_owner,
    ),
    "I3": (_checkpoint_goes_back,),
    "I4": (_checkpoint_passes_what_is_open, _open_shard_is_finished),
    "I6": (_record_comes_twice, _record_comes_again_in_a_calm_world, _too_much_is_unsaved),
    "I7": (_child_before_its_second_parent,),
    "I8": (_key_out_of_order, _key_in_two_calls, _earlier_stay_still_calls),
    "I9": (_finished_shard_comes_back,),
    "I10": (_child_row_first,),
    "I11": (_row_of_a_listed_shard_is_deleted,),
    "I14": (_lease_is_lost_to_nobody, _write_is_applied_twice),
    "I17": (
        _call_past_the_deadline,
        _failure_record_past_the_deadline,
        _living_session_is_expired,
        _dead_session_beats,
    ),
    "I18": (
        _child_at_latest,
        _latest_without_a_time,
        _latest_behind_the_first_survey,
        _pin_is_moved_later,
        _read_before_the_pin_is_saved,
    ),
    "B1": (_batch_is_too_large,),
    "F": (
        _given_up_too_early,
        _called_too_often,
        _quota_is_not_given_back,
        _throttled_call_counts,
        _batches_are_mixed,
        _wait_is_cut_short,
        _failure_record_tells_other_calls,
        _too_old_is_called,
        _young_is_given_up_for_its_age,
        _given_up_by_nobody,
    ),
    "G": (_loss_without_a_word, _gap_over_what_is_there, _shard_that_is_gone_ends_well),
    "S": (
        _call_behind_a_stop,
        _call_behind_a_drain,
        _call_behind_a_release,
        _released_while_it_calls,
    ),
}
CASES = [(rule, step) for rule, steps in BROKEN.items() for step in steps]


@pytest.mark.parametrize(("rule", "step"), CASES, ids=[step.__name__[1:] for _, step in CASES])
def test_a_step_that_breaks_an_invariant_is_told(rule: str, step: Callable[[Story], None]) -> None:
    latest = rule == "I18"
    story = Story(
        Position(PositionKind.LATEST) if latest else TRIM_HORIZON,
        maximum_retry_attempts=1,
        maximum_record_age_in_seconds=60,
        report_batch_item_failures=True,
    )
    with pytest.raises(Violation, match=rf"^{rule}: "):
        step(story)


def test_i5_what_was_never_called_is_outstanding_at_the_end() -> None:
    story = Story()
    one, two = story.put(1, 2)
    story.call(story.take(), one)
    assert story.checker.outstanding() == [two.sequence_number]
    story.checker.lost([two])
    assert story.checker.outstanding() == [], "nobody can read it any more"
