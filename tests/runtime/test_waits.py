"""Waiting after failures, and how often they are told: by operation, with the number of shards."""

from __future__ import annotations

from triggerkit.runtime.waits import (
    GATHER_SECONDS,
    LONGEST_WAIT_SECONDS,
    STALE_SECONDS,
    TELL_AGAIN_SECONDS,
    Recovery,
    Waits,
)

DEAD = "endpoint_unreachable"


def fetches(count: int) -> list[tuple[str, str]]:
    return [("Fetch", f"shard-{number}") for number in range(count)]


def test_waits_double_up_to_ten_seconds_for_each_shard_by_itself() -> None:
    waits = Waits()
    one, other = fetches(2)
    found = [waits.failed(one, float(n)).seconds for n in range(8)]
    assert found == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS]
    assert waits.failed(other, 8.0).seconds == 0.25


def test_a_success_sets_the_next_wait_back() -> None:
    waits = Waits()
    one, other = fetches(2)
    assert waits.failed(other, 0.0).seconds == 0.25
    for start in (10.0, 20.0, 30.0):
        assert [waits.failed(one, start + n).seconds for n in range(3)] == [0.25, 0.5, 1.0]
        waits.succeeded(one, start + 3)
    assert waits.failed(other, 40.0).seconds == 0.5, "it has had no success"


def test_forty_shards_on_a_dead_endpoint_are_told_twice_in_the_first_minute() -> None:
    waits = Waits()
    told = []
    due = dict.fromkeys(fetches(40), 0.0)
    while min(due.values()) < TELL_AGAIN_SECONDS:
        key = min(due, key=lambda key: due[key])
        now = due[key]
        wait = waits.failed(key, now, DEAD)
        due[key] = now + wait.seconds
        if wait.tell:
            told.append((now, wait.count))
    assert [count for _, count in told] == [1, 40]
    assert told[1][0] >= GATHER_SECONDS


def test_the_end_is_told_when_the_last_shard_works_again() -> None:
    waits = Waits()
    keys = fetches(40)
    for key in keys:
        waits.failed(key, 10.0, DEAD)
    recovered = [waits.succeeded(key, 25.0) for key in keys]
    assert recovered == [None] * 39 + [Recovery(15.0, 40)]
    assert waits.succeeded(keys[0], 26.0) is None
    assert waits.failed(keys[0], 27.0, DEAD).tell  # a new failure is news again


def test_another_kind_of_failure_and_another_operation_are_told_by_themselves() -> None:
    waits = Waits()
    one, other = fetches(2)
    assert waits.failed(one, 0.0, DEAD).tell
    assert not waits.failed(other, 0.0, DEAD).tell
    assert waits.failed(other, 0.1, "throttled").tell
    save = waits.failed(("Save", "shard-0"), 0.2, DEAD)
    assert (save.tell, save.count) == (True, 1)


def test_a_failure_that_lasts_is_told_again_each_minute() -> None:
    waits = Waits()
    (key,) = fetches(1)
    told = [now for now in range(180) if waits.failed(key, float(now), DEAD).tell]
    assert told == [0, 60, 120]


def test_a_shard_that_went_elsewhere_counts_no_more() -> None:
    waits = Waits()
    lost, kept, silent = fetches(3)
    for key in (lost, kept, silent):
        waits.failed(key, 0.0, DEAD)
    waits.forget(lost[1])
    assert waits.succeeded(kept, STALE_SECONDS) == Recovery(STALE_SECONDS, 3)
    waits.forget(silent[1])
    assert waits.failed(kept, STALE_SECONDS + 1, DEAD).tell
    waits.forget(kept[1])
    assert waits.failed(lost, STALE_SECONDS + 2, DEAD).tell
