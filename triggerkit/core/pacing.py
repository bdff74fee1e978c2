"""Which lanes of a shard may start a call. Rule: no lane runs far ahead of the checkpoint.

What lanes did beyond the watermark is delivered again after a crash, so together they keep within
ParallelizationFactor x batch_size records of it; the lane that holds the watermark always goes. While
that lane waits (a retry, a failure record, a batching window) it holds nobody: a failing key blocks
only its own lane (B-8), and the duplicates after a crash are the price. As many records again may be
done while a save is under way; a save that takes longer is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

from triggerkit.core.batches import Lane
from triggerkit.core.model import Now
from triggerkit.core.options import MappingOptions

NEVER = float("inf")


def lanes_to_move(
    lanes: Sequence[Lane],
    ahead: int,
    unsaved_room: float,
    options: MappingOptions,
    now: Now,
    *,
    ended: bool,
) -> Sequence[Lane]:
    """The lanes that may start something now or tell when they can, the oldest record first.

    Args:
        lanes: all lanes of the shard.
        ahead: records accounted for beyond the watermark.
        unsaved_room: records that may yet be done before the save under way is confirmed.
        options: for the batch size and the window.
        now: the present moment.
        ended: the shard was read to its end, so nothing waits for a fuller batch.
    """
    calling = sum(len(lane.under_way) for lane in lanes if lane.under_way is not None)
    if calling >= unsaved_room:
        return ()
    if len(lanes) == 1:
        return lanes
    in_order = sorted(lanes, key=_first_ordinal)
    if _waits(in_order[0], options, now, ended=ended):
        return in_order
    room = min(len(lanes) * options.batch_size - ahead, unsaved_room) - calling
    moving: list[Lane] = []
    for lane in in_order:
        starts = not lane.busy and _is_ready(lane, options, now, ended=ended)
        if starts and room < options.batch_size and lane is not in_order[0]:
            continue  # the next report of an older lane asks again
        if starts:
            room -= options.batch_size
        moving.append(lane)
    return moving


def _first_ordinal(lane: Lane) -> float:
    ordinal = lane.first_ordinal
    return NEVER if ordinal is None else ordinal


def _waits(lane: Lane, options: MappingOptions, now: Now, *, ended: bool) -> bool:
    """Whether the lane that holds the watermark is stuck: then nobody waits for it."""
    if lane.under_way is not None:
        return lane.under_way.attempts > 0
    return lane.held is not None or not _is_ready(lane, options, now, ended=ended)


def _is_ready(lane: Lane, options: MappingOptions, now: Now, *, ended: bool) -> bool:
    ready_at = lane.ready_at(options, ended=ended)
    return ready_at is not None and ready_at <= now.monotonic_seconds
