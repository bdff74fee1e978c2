"""Lanes keep together, so that a crash delivers little again; a stuck lane holds nobody."""

from __future__ import annotations

import math

from core.builders import at, options, record

from triggerkit.core.batches import Lane, Run
from triggerkit.core.lanes import lanes_to_move
from triggerkit.core.model import Batch, DiscardReason

OPTIONS = options(parallelization_factor=2, batch_size=2)


def lane(number: int, ordinals: tuple[int, ...]) -> Lane:
    made = Lane(number)
    if ordinals:
        made.add(Run(tuple(record(n) for n in ordinals), ordinals), 0.0)
    return made


def moving(lanes: list[Lane], ahead: int = 0, room: float = math.inf) -> list[int]:
    moved = lanes_to_move(lanes, ahead, room, OPTIONS, at(0.0), ended=False)
    return [each.number for each in moved]


def test_the_lane_with_the_oldest_record_goes_first() -> None:
    assert moving([lane(0, (2, 3)), lane(1, (0, 1))]) == [1, 0]


def test_a_lane_waits_while_the_shard_is_ahead_by_lanes_times_batch_size() -> None:
    slow, fast = lane(0, (0, 1)), lane(1, (4, 5))
    slow.under_way = slow.take(OPTIONS)
    assert moving([slow, fast], ahead=0) == [0, 1]
    assert moving([slow, fast], ahead=1) == [0]


def test_the_lane_at_the_watermark_always_goes() -> None:
    assert moving([lane(0, (0, 1)), lane(1, (9,))], ahead=50) == [0]


def test_a_lane_that_retries_holds_nobody() -> None:
    slow, fast = lane(0, (0, 1)), lane(1, (4, 5))
    slow.put_back([Batch(0, (record(0),), (0,), attempts=1, not_before_seconds=5.0)])
    assert moving([slow, fast], ahead=50) == [0, 1]
    slow.under_way = slow.take(OPTIONS)
    assert moving([slow, fast], ahead=50) == [0, 1], "its retry runs"


def test_a_lane_that_waits_for_its_window_or_destination_holds_nobody() -> None:
    window = options(parallelization_factor=2, batch_size=2, maximum_batching_window_in_seconds=9)
    lanes = [lane(0, (0,)), lane(1, (4, 5))]
    moved = lanes_to_move(lanes, 50, math.inf, window, at(0.0), ended=False)
    assert [each.number for each in moved] == [0, 1]
    held = lane(0, ())
    batch = Batch(0, (record(0),), (0,))
    held.hold(batch, DiscardReason.RETRY_ATTEMPTS_EXHAUSTED, 3.0)
    assert moving([held, lane(1, (4, 5))], ahead=50) == [0, 1]


def test_one_lane_is_never_held_back() -> None:
    only = [lane(0, (7,))]
    assert lanes_to_move(only, 50, math.inf, OPTIONS, at(0.0), ended=False) is only


def test_a_save_that_takes_long_is_waited_for() -> None:
    only = lane(0, (0, 1, 2, 3))
    assert moving([only], room=2) == [0]
    only.under_way = only.take(OPTIONS)
    assert moving([only], room=2) == []
    assert moving([lane(0, (0, 1)), lane(1, (4, 5))], room=0) == []
