"""Facts about streams: nothing more than slices and comparisons."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from core.builders import SERVICE_SECONDS, after, batch, finished, lease, numbers, record

from triggerkit.core import model
from triggerkit.core.model import LATEST, TRIM_HORIZON, LastFailure, PositionKind, StopReason


def test_the_position_behind_a_record_tells_its_number_and_time() -> None:
    position = model.after(record(7))
    assert position == after(7)
    assert position.kind is PositionKind.AFTER
    assert position.at_seconds == SERVICE_SECONDS


def test_sequence_numbers_are_compared_for_equality_only() -> None:
    assert after(9) != after(10)
    with pytest.raises(TypeError):
        assert after(9) < after(10)  # type: ignore[operator]


def test_only_the_end_of_a_shard_finishes_a_row() -> None:
    assert finished("a").finished
    assert not any(lease("a", position).finished for position in (TRIM_HORIZON, LATEST, after(1)))


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_batch_splits_into_what_is_before_an_index_and_the_rest(index: int) -> None:
    why = LastFailure("id")
    head = batch(1, 2, 3, lane=4, attempts=2, last_failure=why, not_before_seconds=9.0)
    first, rest = head.split(index)
    assert numbers(first) + numbers(rest) == [1, 2, 3]
    assert [*first.ordinals, *rest.ordinals] == [0, 1, 2]
    assert len(first) == index
    for part in (first, rest):
        assert (part.lane, part.attempts, part.last_failure) == (4, 2, why)


def test_a_stronger_reason_to_stop_is_greater() -> None:
    assert StopReason.REQUESTED < StopReason.DRAIN_EXPIRED < StopReason.LEASE_LOST


def test_facts_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        lease("a").counter = 7  # type: ignore[misc]
    with pytest.raises(AttributeError):
        record(1).raw = b""  # type: ignore[misc]
