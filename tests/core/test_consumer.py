"""One leased shard by plain calls: read, batch, invoke, save, finish, let go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from core.builders import (
    ME,
    SERVICE_SECONDS,
    NoLuckError,
    after,
    asked,
    at,
    called,
    finished,
    kinds,
    latest,
    lease,
    numbers,
    of_kind,
    only,
    options,
    page,
    record,
    refused,
    settings,
    shards,
    tenure,
)

from triggerkit.core.batches import lane_of
from triggerkit.core.consumer import (
    ConsumerSettings,
    ShardConsumer,
)
from triggerkit.core.decisions import (
    Cancel,
    Decision,
    Discard,
    Fetch,
    FindChildren,
    Finish,
    Invoke,
    Release,
    Save,
)
from triggerkit.core.ending import CHILDREN_TRIES
from triggerkit.core.lanes import BUFFER_LIMIT_BYTES
from triggerkit.core.model import (
    LATEST,
    TRIM_HORIZON,
    Batch,
    Children,
    DiscardReason,
    LastFailure,
    Lease,
    Page,
    Position,
    ShardId,
    StopReason,
)
from triggerkit.core.outcome import Failed, Outcome, PartlyFailed, Succeeded
from triggerkit.core.phases import TRANSITIONS, Phase, Step
from triggerkit.core.reports import (
    Cancelled,
    ChildrenFound,
    ConsumerReport,
    Discarded,
    Fetched,
    Finished,
    Invoked,
    LeaseLost,
    NotNow,
    Released,
    Saved,
    ShardGone,
    Trimmed,
)

NEVER = float("inf")
SHARD, TENURE = ShardId("a"), tenure(1)
RAISED = LastFailure("id", "ValueError", "no")


@dataclass
class Bench:
    """A consumer, the time, and the answers that a shell would give."""

    settings: ConsumerSettings = field(default_factory=settings)
    checkpoint: Position = TRIM_HORIZON
    seconds: float = 0.0
    deadline_seconds: float = 1000.0
    consumer: ShardConsumer = field(init=False)

    def __post_init__(self) -> None:
        row = lease("a", self.checkpoint, owner=ME, counter=1)
        self.consumer = ShardConsumer(row, TENURE, self.settings)

    def derive(self, seconds: float | None = None) -> list[Decision]:
        self.seconds = self.seconds if seconds is None else seconds
        return self.consumer.derive(at(self.seconds), self.deadline_seconds)

    def hear(self, report: ConsumerReport | NotNow, seconds: float | None = None) -> list[Decision]:
        self.seconds = self.seconds if seconds is None else seconds
        if isinstance(report, NotNow):
            assert report.wait_seconds is not None
            made: Any = report.decision
            self.consumer.absorb_not_now(made, report.wait_seconds, report.error, at(self.seconds))
            return self.derive()
        return self.consumer.absorb(report, at(self.seconds)) + self.derive()

    def fetched(self, read: Page, seconds: float | None = None) -> list[Decision]:
        return self.hear(Fetched(asked(Fetch), read), seconds)

    def invoked(
        self, batch: Batch, outcome: Outcome | None = None, seconds: float | None = None
    ) -> list[Decision]:
        return self.hear(Invoked(called(batch), outcome or Succeeded()), seconds)

    def saved(self, save: Save, seconds: float | None = None) -> list[Decision]:
        return self.hear(Saved(save, written(save)), seconds)

    def is_in(self, phase: Phase) -> bool:
        return self.consumer.phase is phase

    def is_settled(self) -> bool:
        return self.consumer.settled

    def stop(self, reason: StopReason = StopReason.REQUESTED) -> list[Decision]:
        return self.consumer.ask_to_stop(reason) + self.derive()


def written(save: Save) -> Lease:
    return replace(save.lease, checkpoint=save.position, counter=save.lease.counter + 1)


def reading(**given: float) -> Bench:
    """A bench whose first fetch is under way."""
    bench = Bench(settings(options(**given)))
    assert kinds(bench.derive()) == ["Fetch"]
    return bench


def tuned(interval: float = 0.0, limit: int = 1000, **given: object) -> Bench:
    bench = Bench(
        settings(options(**given), checkpoint_interval_seconds=interval, fetch_limit=limit)
    )
    bench.derive()
    return bench


# --- a life -----------------------------------------------------------------------------------------


def test_a_shard_is_read_invoked_saved_and_finished() -> None:
    bench = Bench()
    (fetch,) = bench.derive()
    assert fetch == Fetch(bench.consumer.lease, TENURE, TRIM_HORIZON, 1000)

    decisions = bench.fetched(page(1, 2, ended=True))
    assert kinds(decisions) == ["Invoke", "FindChildren"]
    invoke = only(Invoke, decisions)
    assert numbers(invoke.batch) == [1, 2]
    assert invoke.deadline_seconds == 1000.0
    assert bench.consumer.outstanding == 2
    assert bench.consumer.position == TRIM_HORIZON

    assert bench.hear(ChildrenFound(asked(FindChildren), Children(shards({"b": "a"})))) == []
    (finish,) = bench.invoked(invoke.batch)
    assert isinstance(finish, Finish)
    assert finish.children == (lease("b", parents="a"),)
    assert bench.consumer.position == after(2)

    assert bench.hear(Finished(asked(Finish), ())) == []
    assert bench.is_in(Phase.FINISHED)
    assert bench.consumer.wake_at_seconds == NEVER


def test_progress_is_saved_while_the_shard_is_read_on() -> None:
    bench = reading()
    decisions = bench.fetched(page(1, 2))
    assert kinds(decisions) == ["Invoke"]
    assert bench.consumer.wake_at_seconds == 0.25, "the next read"
    assert kinds(bench.derive(0.25)) == ["Fetch"], "reading goes on beside the call"
    (save,) = bench.invoked(only(Invoke, decisions).batch)
    assert save == Save(bench.consumer.lease, TENURE, after(2))
    assert not bench.is_settled()
    assert bench.saved(save) == []
    assert bench.is_settled()
    assert bench.consumer.lease.counter == 2
    assert bench.consumer.lease.checkpoint == after(2)


def test_at_most_one_fetch_one_write_and_one_call_a_lane_are_under_way() -> None:
    bench = reading(batch_size=1)
    invoke = only(Invoke, bench.fetched(page(1, 2, 3)))
    decisions = bench.invoked(invoke.batch)
    assert kinds(decisions) == ["Invoke", "Save"]
    second = only(Invoke, decisions)
    assert bench.invoked(second.batch) == [], "the save of the first is still under way"
    assert bench.derive(600.0) == []
    decisions = bench.saved(Save(bench.consumer.lease, TENURE, after(1)))
    assert kinds(decisions) == ["Invoke", "Fetch", "Save"]
    save = only(Save, decisions)
    assert save.position == after(2), "the newest position wins"
    assert save.lease.counter == 2, "under the new counter"


def test_b7_the_next_batch_waits_for_the_one_before_it() -> None:
    bench = reading(batch_size=2)
    first = only(Invoke, bench.fetched(page(1, 2, 3, 4)))
    assert of_kind(Invoke, bench.derive(100.0)) == []
    second = only(Invoke, bench.invoked(first.batch, seconds=100.0))
    assert numbers(second.batch) == [3, 4]


def test_b8_lanes_run_beside_each_other_and_the_checkpoint_keeps_the_lowest() -> None:
    keys = [b"%d" % i for i in range(20)]
    slow_key = keys[0]
    lanes = 4
    bench = reading(parallelization_factor=lanes)
    mixed = tuple(record(i, key=key) for i, key in enumerate(keys))
    calls = of_kind(Invoke, bench.fetched(Page(mixed)))
    assert {call.batch.lane for call in calls} == {lane_of(key, lanes) for key in keys}
    slow = lane_of(slow_key, lanes)
    saves = [
        save
        for call in calls
        if call.batch.lane != slow
        for save in of_kind(Save, bench.invoked(call.batch))
    ]
    assert saves == [], "the first record of the shard is still outstanding"
    assert bench.consumer.outstanding == 20
    last = next(call for call in calls if call.batch.lane == slow)
    assert only(Save, bench.invoked(last.batch)).position == after(19)


def test_b9_a_key_that_fails_blocks_its_own_lane_only() -> None:
    bench = reading(parallelization_factor=2, batch_size=1)
    keys = [b"%d" % i for i in range(8)]
    mixed = tuple(record(i, key=key) for i, key in enumerate(keys))
    first, second = of_kind(Invoke, bench.fetched(Page(mixed)))
    assert of_kind(Invoke, bench.invoked(first.batch, Failed(RAISED))) == []
    (other,) = of_kind(Invoke, bench.invoked(second.batch))
    assert other.batch.lane == second.batch.lane


def test_a_finished_lease_has_no_consumer() -> None:
    with pytest.raises(AssertionError, match="finished"):
        ShardConsumer(finished("a"), TENURE, settings())


# --- reading ----------------------------------------------------------------------------------------


def test_a_tenure_reads_on_behind_its_checkpoint() -> None:
    bench = Bench(checkpoint=after(7))
    (fetch,) = bench.derive()
    assert isinstance(fetch, Fetch)
    assert fetch.position == after(7)
    assert bench.is_settled()


def test_b12_empty_pages_are_followed() -> None:
    bench = reading()
    assert bench.fetched(page()) == []
    assert bench.consumer.wake_at_seconds == 0.25
    assert kinds(bench.derive(0.25)) == ["Fetch"]


def test_a_read_that_failed_waits() -> None:
    bench = reading()
    assert bench.hear(refused(Fetch, SHARD, TENURE, 3.0), 1.0) == []
    assert bench.consumer.wake_at_seconds == 4.0
    assert bench.derive(3.9) == []
    assert kinds(bench.derive(4.0)) == ["Fetch"]


def test_a_call_that_could_not_be_made_is_made_again_and_costs_no_attempt() -> None:
    bench = reading()
    invoke = only(Invoke, bench.fetched(page(1, 2)))
    assert of_kind(Save, bench.hear(NotNow(invoke, 3.0, NoLuckError()), 1.0)) == []
    again = only(Invoke, bench.derive(4.0))
    assert (numbers(again.batch), again.batch.attempts) == ([1, 2], 0)


def test_a_lane_with_a_whole_batch_waiting_is_not_hungry() -> None:
    bench = reading(batch_size=2)
    decisions = bench.fetched(page(*range(6)))
    assert kinds(decisions) == ["Invoke"]
    assert bench.derive(10.0) == [], "four wait, two are in the call"
    decisions = bench.invoked(only(Invoke, decisions).batch, seconds=10.0)
    assert kinds(decisions) == ["Invoke", "Save"]
    bench.invoked(only(Invoke, decisions).batch, seconds=10.0)
    decisions = bench.saved(only(Save, decisions))
    assert "Fetch" in kinds(decisions), "less than a batch waits"


def test_one_hungry_lane_is_enough_to_read_on() -> None:
    bench = reading(parallelization_factor=2, batch_size=1)
    same_key = tuple(record(i, key=b"k") for i in range(10))
    assert kinds(bench.fetched(Page(same_key, service_seconds=SERVICE_SECONDS + 60))) == [
        "Invoke",
        "Fetch",
    ]


def test_what_is_buffered_behind_a_blocked_lane_is_bounded() -> None:
    bench = reading(parallelization_factor=2, batch_size=10_000)
    size, pages = 1024 * 1024, 0
    bench.deadline_seconds = 0.0  # nothing is invoked, so all waits
    while pages < 100:
        decisions = bench.fetched(
            Page((record(pages, size_bytes=size),), service_seconds=SERVICE_SECONDS + 60)
        )
        pages += 1
        if "Fetch" not in kinds(decisions):
            break
    assert pages == BUFFER_LIMIT_BYTES // size


def test_s7_a_gap_after_trimming_begins_behind_what_was_read_not_behind_the_checkpoint() -> None:
    bench = reading(batch_size=1)
    invoke = only(Invoke, bench.fetched(page(1, 2)))
    bench.invoked(invoke.batch)
    bench.derive(1.0)
    (fetch,) = of_kind(Fetch, bench.hear(Trimmed(asked(Fetch)), 2.0))
    assert fetch.position == TRIM_HORIZON
    bench.fetched(page(9))
    (gap,) = bench.consumer.gaps
    assert (gap.last_seen, gap.resumed_at) == ("2", "9")
    assert bench.consumer.position == after(1)
    assert bench.consumer.outstanding == 2


def test_rule_9_a_shard_that_is_gone_ends_as_lost() -> None:
    bench = reading()
    assert kinds(bench.hear(ShardGone(asked(Fetch)))) == ["FindChildren"]
    (finish,) = bench.hear(ChildrenFound(asked(FindChildren), Children((), final=True)))
    assert isinstance(finish, Finish)
    assert finish.lease.lost_reason == "the shard is gone from the stream"
    assert finish.children == ()


def test_the_reason_of_a_loss_outlives_a_save() -> None:
    bench = reading()
    invoke = only(Invoke, bench.fetched(page(1)))
    (save,) = of_kind(Save, bench.invoked(invoke.batch, seconds=1.0))
    bench.hear(ShardGone(asked(Fetch)))
    bench.saved(save)
    assert bench.consumer.lease.lost_reason


# --- LATEST -------------------------------------------------------------------------------------------


def test_i18_the_pin_of_latest_is_saved_before_the_first_read() -> None:
    bench = Bench(checkpoint=latest(SERVICE_SECONDS - 5))
    (fetch,) = bench.derive()
    assert isinstance(fetch, Fetch)
    assert fetch.position == LATEST, "the first reader opens the shard at its tip"
    (save,) = bench.fetched(Page(pinned_seconds=SERVICE_SECONDS))
    assert isinstance(save, Save)
    assert save.position == latest(SERVICE_SECONDS)
    assert bench.derive(100.0) == [], "nothing is read while the pin is not saved"
    assert bench.hear(refused(Save, SHARD, TENURE, 1.0), 101.0) == []
    assert kinds(bench.derive(102.0)) == ["Save"]
    (fetch,) = bench.saved(save)
    assert isinstance(fetch, Fetch)
    assert fetch.position == latest(SERVICE_SECONDS)


def test_i18_the_pin_is_saved_at_once_whatever_the_checkpoint_interval() -> None:
    bench = Bench(settings(checkpoint_interval_seconds=300.0), checkpoint=latest())
    bench.derive()
    assert kinds(bench.fetched(Page(pinned_seconds=SERVICE_SECONDS + 9))) == ["Save"]


def test_s5_a_later_tenure_goes_on_from_the_saved_pin() -> None:
    row = lease("a", latest(SERVICE_SECONDS), owner=ME, counter=4)
    consumer = ShardConsumer(row, tenure(4), settings())
    (fetch,) = consumer.derive(at(0), 100.0)
    assert isinstance(fetch, Fetch)
    assert fetch.position == latest(SERVICE_SECONDS)


# --- failures, discards, windows ------------------------------------------------------------------------


def test_f12_a_backoff_is_waited_out() -> None:
    bench = reading()
    invoke = only(Invoke, bench.fetched(page(1, 2)))
    bench.invoked(invoke.batch, Failed(RAISED, retry_after_seconds=30.0), 1.0)
    bench.fetched(page(), 1.0)
    assert of_kind(Invoke, bench.derive(30.9)) == []
    (again,) = of_kind(Invoke, bench.derive(31.0))
    assert (numbers(again.batch), again.batch.attempts) == ([1, 2], 1)
    assert bench.consumer.position == TRIM_HORIZON


def test_f19_a_partial_report_moves_the_checkpoint() -> None:
    bench = reading()
    invoke = only(Invoke, bench.fetched(page(1, 2, 3)))
    (save,) = of_kind(Save, bench.invoked(invoke.batch, PartlyFailed(2, RAISED)))
    assert save.position == after(2)
    (lane,) = bench.consumer.lanes
    assert lane.head is not None
    assert lane.head.last_failure == RAISED


def test_f45_a_batch_that_is_given_up_moves_the_checkpoint_only_once_it_is_recorded() -> None:
    bench = reading(maximum_retry_attempts=0, batch_size=2)
    invoke = only(Invoke, bench.fetched(page(1, 2, 3)))
    (discard,) = bench.invoked(invoke.batch, Failed(RAISED))
    assert isinstance(discard, Discard)
    assert discard.reason is DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
    assert (numbers(discard.batch), discard.batch.attempts) == ([1, 2], 1)
    assert bench.consumer.position == TRIM_HORIZON
    decisions = bench.hear(Discarded(discard))
    assert numbers(only(Invoke, decisions).batch) == [3]
    assert only(Save, decisions).position == after(2)


def test_a_destination_that_cannot_be_reached_holds_the_lane_and_loses_nothing() -> None:
    bench = reading(maximum_retry_attempts=0, batch_size=1)
    invoke = only(Invoke, bench.fetched(page(1, 2)))
    (discard,) = bench.invoked(invoke.batch, Failed(RAISED))
    assert isinstance(discard, Discard)
    failed = NotNow(discard, 5.0, NoLuckError())
    assert of_kind(Invoke, bench.hear(failed, 1.0)) == []
    assert of_kind(Discard, bench.derive(5.9)) == []
    assert of_kind(Discard, bench.derive(6.0)) == [discard]
    assert bench.consumer.position == TRIM_HORIZON
    decisions = bench.hear(Discarded(discard), 6.0)
    assert numbers(only(Invoke, decisions).batch) == [2]


def test_f42_records_that_are_too_old_are_given_up_before_the_call() -> None:
    bench = reading(maximum_record_age_in_seconds=60)
    old = record(1, at_seconds=SERVICE_SECONDS - 100)
    (discard,) = of_kind(Discard, bench.fetched(Page((old, record(2), record(3)))))
    assert discard.reason is DiscardReason.RECORD_AGE_EXCEEDED
    assert numbers(discard.batch) == [1]
    decisions = bench.hear(Discarded(discard))
    assert numbers(only(Invoke, decisions).batch) == [2, 3]


def test_b3_a_window_is_waited_for_and_wakes_by_itself() -> None:
    bench = reading(maximum_batching_window_in_seconds=5, batch_size=10)
    assert of_kind(Invoke, bench.fetched(page(1), 1.0)) == []
    bench.derive(1.25)
    assert bench.consumer.wake_at_seconds == 6.0
    bench.fetched(page(2), 3.0)
    (invoke,) = of_kind(Invoke, bench.derive(6.0))
    assert numbers(invoke.batch) == [1, 2]


# --- the self-fence -----------------------------------------------------------------------------------


def test_i17_no_call_starts_at_or_past_the_deadline() -> None:
    bench = reading()
    bench.deadline_seconds = 5.0
    assert of_kind(Invoke, bench.fetched(page(1), 5.0)) == []
    assert of_kind(Invoke, bench.derive(50.0)) == []
    bench.deadline_seconds = 60.0
    (invoke,) = of_kind(Invoke, bench.derive(50.0))
    assert invoke.deadline_seconds == 60.0


def test_i17_no_retry_starts_past_the_deadline() -> None:
    bench = reading()
    bench.deadline_seconds = 5.0
    invoke = only(Invoke, bench.fetched(page(1), 1.0))
    decisions = bench.invoked(invoke.batch, Failed(RAISED, retry_after_seconds=0.0), 6.0)
    assert of_kind(Invoke, decisions) == []


def test_i17_no_failure_record_is_sent_past_the_deadline() -> None:
    bench = reading(maximum_retry_attempts=0)
    bench.deadline_seconds = 5.0
    invoke = only(Invoke, bench.fetched(page(1), 1.0))
    decisions = bench.invoked(invoke.batch, Failed(RAISED), 6.0)
    assert of_kind(Discard, decisions) == [], "its records may be another worker's by now"
    bench.deadline_seconds = 60.0
    assert only(Discard, bench.derive(7.0)).batch.records == invoke.batch.records


# --- saves --------------------------------------------------------------------------------------------


def test_a_save_waits_for_the_checkpoint_interval() -> None:
    bench = tuned(interval=10.0, batch_size=1)
    decisions = bench.fetched(page(1, 2))
    decisions = bench.invoked(only(Invoke, decisions).batch, seconds=1.0)
    bench.saved(only(Save, decisions), 2.0)
    assert of_kind(Save, bench.invoked(only(Invoke, decisions).batch, seconds=3.0)) == []
    assert of_kind(Save, bench.derive(11.9)) == []
    assert only(Save, bench.derive(12.0)).position == after(2)


def test_a_save_that_failed_is_written_again_after_the_wait() -> None:
    bench = reading()
    decisions = bench.invoked(only(Invoke, bench.fetched(page(1))).batch, seconds=0.1)
    assert kinds(decisions) == ["Save"]
    assert of_kind(Save, bench.hear(refused(Save, SHARD, TENURE, 2.0), 0.1)) == []
    assert only(Save, bench.derive(2.1)).position == after(1)


# --- the end of a shard ---------------------------------------------------------------------------------


def ended(**given: object) -> Bench:
    """Read to its end, everything done; the children are being looked for."""
    bench = tuned(**given)  # type: ignore[arg-type]
    assert kinds(bench.fetched(page(ended=True))) == ["FindChildren"]
    return bench


def test_rule_4_the_search_for_children_ends_after_five_tries_within_some_seconds() -> None:
    bench, tries = ended(), 1
    decisions = bench.hear(ChildrenFound(asked(FindChildren), Children(())))
    while not of_kind(Finish, decisions):
        assert bench.consumer.wake_at_seconds < 10.0
        decisions = bench.derive(bench.consumer.wake_at_seconds)
        assert kinds(decisions) == ["FindChildren"]
        tries += 1
        decisions = bench.hear(ChildrenFound(asked(FindChildren), Children(())))
    assert tries == CHILDREN_TRIES == 5
    assert bench.seconds <= 3.0
    assert only(Finish, decisions).children is None, "a to-do for the coordinator"


def test_rule_4_children_that_come_late_are_found() -> None:
    bench = ended()
    assert bench.hear(ChildrenFound(asked(FindChildren), Children(()))) == []
    assert bench.derive(0.1) == [FindChildren(bench.consumer.lease, TENURE)]
    found = Children(shards({"b": "a", "c": "a"}))
    (finish,) = bench.hear(ChildrenFound(asked(FindChildren), found))
    assert isinstance(finish, Finish)
    assert finish.children == (lease("b", parents="a"), lease("c", parents="a"))


def test_rule_4_a_disabled_stream_has_no_more_children() -> None:
    (finish,) = ended().hear(ChildrenFound(asked(FindChildren), Children((), final=True)))
    assert isinstance(finish, Finish)
    assert finish.children == ()


def test_a_search_that_failed_waits_and_counts() -> None:
    bench = ended()
    for _ in range(CHILDREN_TRIES - 1):
        assert bench.hear(refused(FindChildren, SHARD, TENURE, 4.0)) == []
        assert bench.consumer.wake_at_seconds >= bench.seconds + 4.0
        assert kinds(bench.derive(bench.consumer.wake_at_seconds)) == ["FindChildren"]
    assert kinds(bench.hear(refused(FindChildren, SHARD, TENURE, 4.0))) == ["Finish"]


def test_an_error_that_waiting_cannot_cure_does_not_hold_up_the_end_of_a_shard() -> None:
    bench = ended()
    while bench.hear(refused(FindChildren, SHARD, TENURE, 300.0)) == []:
        assert kinds(bench.derive(bench.consumer.wake_at_seconds)) == ["FindChildren"]
    assert bench.consumer.seeks_children is False
    assert bench.seconds <= 20.0


def test_the_end_waits_for_everything_outstanding() -> None:
    bench = reading(batch_size=1)
    decisions = bench.fetched(page(1, 2, ended=True))
    first = only(Invoke, decisions)
    bench.hear(ChildrenFound(asked(FindChildren), Children(shards({"b": "a"}))))
    decisions = bench.invoked(first.batch)
    assert kinds(decisions) == ["Invoke", "Save"]
    assert bench.invoked(only(Invoke, decisions).batch) == [], "one write at a time"
    (finish,) = bench.saved(only(Save, decisions))
    assert isinstance(finish, Finish)
    assert finish.lease.counter == 2


def test_the_end_waits_for_a_held_failure_record() -> None:
    bench = reading(maximum_retry_attempts=0)
    decisions = bench.fetched(page(1, ended=True))
    bench.hear(ChildrenFound(asked(FindChildren), Children((), final=True)))
    (discard,) = bench.invoked(only(Invoke, decisions).batch, Failed(RAISED))
    assert isinstance(discard, Discard)
    assert kinds(bench.hear(Discarded(discard))) == ["Finish"]


def test_the_end_of_a_shard_waits_for_no_checkpoint_interval() -> None:
    bench = tuned(interval=300.0)
    decisions = bench.fetched(page(1))
    (save,) = bench.invoked(only(Invoke, decisions).batch)
    assert isinstance(save, Save)
    bench.saved(save)
    bench.derive(0.25)
    assert kinds(bench.fetched(page(ended=True), 1.0)) == ["FindChildren"]
    assert kinds(bench.hear(ChildrenFound(asked(FindChildren), Children((), final=True)))) == [
        "Finish"
    ]


def test_an_end_that_could_not_be_written_is_written_again() -> None:
    bench = ended()
    (finish,) = bench.hear(ChildrenFound(asked(FindChildren), Children((), final=True)))
    assert bench.hear(refused(Finish, SHARD, TENURE, 2.0), 1.0) == []
    assert bench.derive(2.9) == []
    assert bench.derive(3.0) == [finish]


# --- letting go -----------------------------------------------------------------------------------------


def test_a_drain_finishes_what_runs_saves_and_releases() -> None:
    bench = reading(batch_size=1)
    invoke = only(Invoke, bench.fetched(page(1, 2)))
    assert bench.stop() == []
    assert bench.is_in(Phase.DRAINING)
    (release,) = bench.invoked(invoke.batch)
    assert release == Release(bench.consumer.lease, TENURE, after(1))
    assert bench.hear(Released(asked(Release))) == []
    assert bench.is_in(Phase.STOPPED)


def test_a_drain_with_nothing_running_releases_at_once() -> None:
    bench = reading()
    assert kinds(bench.stop()) == ["Release"]
    assert bench.consumer.wake_at_seconds == NEVER


def test_a_drain_starts_no_call_and_admits_no_page() -> None:
    bench = reading(batch_size=1)
    invoke = only(Invoke, bench.fetched(page(1, 2)))
    bench.derive(1.0)
    bench.stop()
    assert bench.fetched(page(3)) == []
    assert bench.consumer.outstanding == 2
    assert kinds(bench.invoked(invoke.batch, Failed(RAISED))) == ["Release"]


def test_a_drain_waits_for_the_write_under_way() -> None:
    bench = reading()
    (save,) = bench.invoked(only(Invoke, bench.fetched(page(1))).batch)
    assert isinstance(save, Save)
    assert bench.stop() == []
    (release,) = bench.saved(save)
    assert isinstance(release, Release)
    assert release.lease.counter == 2


def test_a_drain_waits_for_no_checkpoint_interval() -> None:
    bench = tuned(interval=300.0)
    (save,) = bench.invoked(only(Invoke, bench.fetched(page(1))).batch)
    assert isinstance(save, Save)
    bench.saved(save)
    assert kinds(bench.stop()) == ["Release"]


def test_a_drain_waits_for_a_failure_record_on_its_way() -> None:
    bench = reading(maximum_retry_attempts=0)
    (discard,) = bench.invoked(only(Invoke, bench.fetched(page(1))).batch, Failed(RAISED))
    assert isinstance(discard, Discard)
    assert bench.stop() == []
    (release,) = bench.hear(Discarded(discard))
    assert isinstance(release, Release)
    assert release.position == after(1)


def test_a_release_that_failed_is_written_again() -> None:
    bench = reading()
    bench.stop()
    assert bench.hear(refused(Release, SHARD, TENURE, 2.0), 1.0) == []
    assert bench.consumer.wake_at_seconds == 3.0
    assert kinds(bench.derive(3.0)) == ["Release"]


def test_an_end_that_is_on_its_way_when_a_stop_is_asked_still_counts() -> None:
    bench = ended()
    bench.hear(ChildrenFound(asked(FindChildren), Children((), final=True)))
    assert bench.stop() == []
    bench.hear(Finished(asked(Finish), ()))
    assert bench.is_in(Phase.FINISHED)


def test_an_end_that_fails_while_a_stop_is_asked_becomes_a_release() -> None:
    bench = ended()
    bench.hear(ChildrenFound(asked(FindChildren), Children((), final=True)))
    bench.stop()
    assert bench.hear(refused(Finish, SHARD, TENURE, 2.0), 1.0) == []
    assert kinds(bench.derive(3.0)) == ["Release"]


def test_a_drain_that_expired_cancels_what_runs_and_releases_without_it() -> None:
    bench = reading()
    invoke = only(Invoke, bench.fetched(page(1)))
    bench.stop()
    decisions = bench.stop(StopReason.DRAIN_EXPIRED)
    assert kinds(decisions) == ["Cancel", "Release"]
    assert only(Release, decisions).position == TRIM_HORIZON
    assert bench.hear(Cancelled(asked(Cancel))) == []
    assert bench.invoked(invoke.batch) == [], "the release is under way"
    bench.hear(Released(asked(Release)))
    assert bench.is_in(Phase.STOPPED)


def test_a_drain_that_expired_with_nothing_running_has_nothing_to_cancel() -> None:
    bench = reading()
    assert kinds(bench.stop(StopReason.DRAIN_EXPIRED)) == ["Release"]


def test_a_lost_lease_is_written_no_more() -> None:
    bench = reading()
    invoke = only(Invoke, bench.fetched(page(1)))
    (cancel,) = bench.hear(LeaseLost(asked(Save)))
    assert cancel == Cancel(bench.consumer.lease, TENURE)
    assert bench.is_in(Phase.STOPPED)
    assert bench.invoked(invoke.batch) == []


def test_a_lease_lost_while_draining_is_written_no_more() -> None:
    bench = reading()
    bench.stop()
    assert kinds(bench.hear(LeaseLost(asked(Save)))) == ["Cancel"]
    assert bench.is_in(Phase.STOPPED)


def test_a_weaker_reason_to_stop_changes_nothing() -> None:
    bench = reading()
    bench.stop(StopReason.DRAIN_EXPIRED)
    assert bench.consumer.ask_to_stop(StopReason.REQUESTED) == []
    bench.hear(LeaseLost(asked(Save)))
    assert bench.consumer.ask_to_stop(StopReason.LEASE_LOST) == []
    assert bench.consumer.ask_to_stop(StopReason.DRAIN_EXPIRED) == []


# --- the table ------------------------------------------------------------------------------------------


def test_finished_and_stopped_are_the_ends() -> None:
    assert {phase for phase, _ in TRANSITIONS} == {Phase.RUNNING, Phase.DRAINING}
    assert set(TRANSITIONS.values()) == {Phase.DRAINING, Phase.FINISHED, Phase.STOPPED}


def test_a_lost_lease_stops_from_every_phase_that_has_one() -> None:
    for phase in (Phase.RUNNING, Phase.DRAINING):
        assert TRANSITIONS[phase, Step.LEASE_LOST] is Phase.STOPPED


def test_nothing_is_released_that_was_not_asked_to_stop() -> None:
    assert (Phase.RUNNING, Step.RELEASED) not in TRANSITIONS
