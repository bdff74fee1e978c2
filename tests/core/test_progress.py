"""The watermark never passes an outstanding record, whatever the order of accounting."""

from __future__ import annotations

from itertools import pairwise

import pytest
from core.builders import after, latest, records
from hypothesis import given, settings
from hypothesis import strategies as st

from triggerkit.core.model import TRIM_HORIZON
from triggerkit.core.progress import Progress


def admitted(*pages: int) -> Progress:
    """Pages of that many records, numbered 0, 1, 2 …"""
    progress, first = Progress(TRIM_HORIZON), 0
    for size in pages:
        assert progress.admit(records(*range(first, first + size))) == range(first, first + size)
        first += size
    return progress


def test_the_position_stays_at_the_start_until_the_first_record_is_accounted_for() -> None:
    progress = admitted(3)
    assert progress.position == TRIM_HORIZON
    assert progress.outstanding == 3
    progress.account(range(1, 3))
    assert progress.position == TRIM_HORIZON
    assert progress.outstanding == 3
    progress.account(range(1))
    assert progress.position == after(2)
    assert progress.outstanding == 0


def test_the_position_moves_over_the_ends_of_pages() -> None:
    progress = admitted(2, 3, 1)
    progress.account(range(2))
    assert progress.position == after(1)
    progress.account(range(2, 6))
    assert progress.position == after(5)
    assert progress.outstanding == 0


def test_scattered_ordinals_of_lanes_are_accounted_for_one_by_one() -> None:
    progress = admitted(6)
    progress.account((1, 3, 5))
    assert progress.position == TRIM_HORIZON
    progress.account((0,))
    assert progress.position == after(1)
    progress.account((2, 4))
    assert progress.position == after(5)


def test_nothing_accounted_for_moves_nothing() -> None:
    progress = admitted(2)
    progress.account(())
    progress.account(range(0))
    assert progress.position == TRIM_HORIZON


def test_an_empty_page_admits_nothing() -> None:
    progress = admitted(0)
    assert progress.outstanding == 0
    assert progress.admit(()) == range(0)


def test_the_start_moves_only_while_nothing_is_outstanding() -> None:
    progress = Progress(TRIM_HORIZON)
    progress.move_to(latest())
    assert progress.position == latest()
    progress.admit(records(1))
    with pytest.raises(AssertionError, match="outstanding"):
        progress.move_to(TRIM_HORIZON)


def test_a_position_tells_when_its_record_was_created() -> None:
    progress = Progress(TRIM_HORIZON)
    progress.admit(records(7, at_seconds=123.0))
    progress.account(range(1))
    assert progress.position.at_seconds == 123.0


@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data(), sizes=st.lists(st.integers(0, 6), max_size=6))
def test_the_position_never_passes_an_outstanding_record(
    data: st.DataObject, sizes: list[int]
) -> None:
    total = sum(sizes)
    cuts = data.draw(st.lists(st.integers(0, max(0, total)), max_size=6))
    edges = sorted({0, total, *cuts})
    pieces: list[range | tuple[int, ...]] = [range(start, stop) for start, stop in pairwise(edges)]
    if data.draw(st.booleans()):  # as lanes do: every second record, and the rest
        pieces = [tuple(range(start, total, 3)) for start in range(3)]
    progress, done = admitted(*sizes), set[int]()
    for piece in data.draw(st.permutations(pieces)):
        progress.account(piece)
        done |= set(piece)
        first_missing = min(set(range(total)) - done, default=total)
        expected = TRIM_HORIZON if first_missing == 0 else after(first_missing - 1)
        assert progress.position == expected
        assert progress.outstanding == total - first_missing


@settings(derandomize=True, deadline=None, max_examples=100)
@given(steps=st.lists(st.integers(0, 4), max_size=30))
def test_the_position_is_right_while_pages_keep_coming(steps: list[int]) -> None:
    """Even steps admit a page, odd ones account for the oldest two records."""
    progress, read, done = Progress(TRIM_HORIZON), 0, 0
    for step in steps:
        if step % 2 == 0:
            progress.admit(records(*range(read, read + step)))
            read += step
        else:
            upto = min(read, done + 2)
            progress.account(range(done, upto))
            done = upto
        assert progress.position == (after(done - 1) if done else TRIM_HORIZON)
        assert progress.outstanding == read - done


def test_the_last_record_accounted_for_is_known_whatever_is_missing_before_it() -> None:
    progress = admitted(4, 4)
    assert progress.accounted_to == 0
    progress.account((2, 5))
    assert progress.accounted_to == 6
    progress.account(range(2))
    assert progress.accounted_to == 6
    progress.account((3, 4))
    assert progress.accounted_to == 6
    progress.account(range(6, 8))
    assert (progress.accounted_to, progress.outstanding) == (8, 0)
    progress.admit(records(8, 9))
    assert progress.accounted_to == 8


def test_a_record_is_accounted_for_once() -> None:
    progress = admitted(2, 2)
    progress.account(range(2))
    with pytest.raises(AssertionError, match="twice"):
        progress.account(range(1, 3))
