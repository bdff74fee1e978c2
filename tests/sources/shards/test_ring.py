"""What the ring still holds is served; what it does not is not guessed."""

from __future__ import annotations

import random

import pytest

from triggerkit.core.model import TRIM_HORIZON, Position, PositionKind, Record, after
from triggerkit.sources.shards.ring import Ring


def records(first: int, count: int, size_bytes: int = 10) -> tuple[Record, ...]:
    return tuple(
        Record(str(number), 0.0, b"", b"x" * size_bytes) for number in range(first, first + count)
    )


def numbers(found: tuple[Record, ...] | None) -> list[int] | None:
    return None if found is None else [int(record.sequence_number) for record in found]


def test_a_new_ring_is_at_its_start_only() -> None:
    ring = Ring(TRIM_HORIZON, lambda: 1000)
    assert ring.behind(TRIM_HORIZON, 10) == ()
    assert ring.behind(Position(PositionKind.AFTER, "1"), 10) is None
    assert ring.end == TRIM_HORIZON


def test_every_record_that_is_held_is_a_position() -> None:
    ring = Ring(TRIM_HORIZON, lambda: 1000)
    ring.put(records(0, 3))
    ring.put(records(3, 2))
    assert numbers(ring.behind(TRIM_HORIZON, 10)) == [0, 1, 2, 3, 4]
    assert numbers(ring.behind(after(records(1, 1)[0]), 2)) == [2, 3]
    assert numbers(ring.behind(after(records(2, 1)[0]), 9)) == [3, 4]
    assert ring.behind(after(records(4, 1)[0]), 9) == ()


def test_the_time_of_a_position_behind_a_record_does_not_matter() -> None:
    ring = Ring(Position(PositionKind.AFTER, "7", 123.0), lambda: 1000)
    assert ring.holds(Position(PositionKind.AFTER, "7"))


def test_two_pins_at_different_times_are_two_positions() -> None:
    ring = Ring(Position(PositionKind.LATEST, at_seconds=5.0), lambda: 1000)
    assert not ring.holds(Position(PositionKind.LATEST, at_seconds=6.0))


def test_oldest_pages_leave_over_the_budget_and_their_last_record_stays_a_position() -> None:
    ring = Ring(TRIM_HORIZON, lambda: 55)
    ring.put(records(0, 3))
    ring.put(records(3, 3))
    assert ring.behind(TRIM_HORIZON, 10) is None
    assert ring.behind(after(records(1, 1)[0]), 10) is None
    assert numbers(ring.behind(after(records(2, 1)[0]), 10)) == [3, 4, 5]


def test_the_newest_page_stays_until_it_is_trimmed() -> None:
    ring = Ring(TRIM_HORIZON, lambda: 0)
    ring.put(records(0, 3))
    assert numbers(ring.behind(TRIM_HORIZON, 10)) == [0, 1, 2]
    ring.trim()
    assert ring.behind(TRIM_HORIZON, 10) is None
    assert ring.behind(after(records(2, 1)[0]), 10) == ()


def test_a_page_that_is_served_is_bounded_in_bytes_and_never_empty() -> None:
    ring = Ring(TRIM_HORIZON, lambda: 10 * 2**20)
    ring.put(records(0, 4, size_bytes=700_000))
    assert numbers(ring.behind(TRIM_HORIZON, 10)) == [0]
    ring.put(records(4, 1, size_bytes=3_000_000))
    assert numbers(ring.behind(after(records(3, 1)[0]), 10)) == [4]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_put_and_asked_answers_are_the_log_itself(seed: int) -> None:
    chance = random.Random(seed)
    ring = Ring(TRIM_HORIZON, lambda: budget)
    budget = chance.randrange(0, 400)
    log: list[Record] = []
    for _ in range(60):
        page = records(len(log), chance.randrange(0, 6), chance.randrange(1, 30))
        log += page
        ring.put(page)
        if chance.random() < 0.3:
            ring.trim()
        index, limit = chance.randrange(len(log) + 1), chance.randrange(1, 12)
        position = after(log[index - 1]) if index else TRIM_HORIZON
        found = ring.behind(position, limit)
        if found is not None:
            assert list(found) == log[index : index + len(found)], f"seed {seed}"
            assert len(found) == min(limit, len(log) - index), f"seed {seed}"
