"""The rewrite rule. Rule: every record of the head batch is in exactly one of done, discarded, again.

`decide` takes the batch at the head of a lane and what became of it; `expire` runs before each call.
With a finite quota or age every lane terminates: each call lowers the records outstanding, or the size of
the head batch, or the attempts left. Source: lambda-contract.md F-1 to F-47.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import assert_never

from triggerkit.core.model import Batch, DiscardReason, LastFailure, Now
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    Succeeded,
)

FIRST_BACKOFF_SECONDS = 0.5
"""Lambda's early retries are fast: 8 calls in 60 s (F-11); doubling from half a second gives about 7."""
LONGEST_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a batch: `again` replaces it at the front of its lane, in this order."""

    done: Batch | None = None
    discarded: Batch | None = None
    reason: DiscardReason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
    again: tuple[Batch, ...] = ()


def expire(batch: Batch, options: MappingOptions, now: Now) -> Verdict:
    """Drop the leading records that are too old (F-41, F-42); the counts of the rest go on."""
    limit = options.maximum_record_age_in_seconds
    if limit < 0:
        return Verdict(again=(batch,))
    oldest_kept = now.service_seconds - limit
    count = 0
    for record in batch.records:
        if record.at_seconds > oldest_kept:
            break
        count += 1
    if not count:
        return Verdict(again=(batch,))
    old, rest = batch.split(count)
    return Verdict(
        discarded=old,
        reason=DiscardReason.RECORD_AGE_EXCEEDED,
        again=(rest,) if len(rest) else (),
    )


def decide(batch: Batch, outcome: Outcome, options: MappingOptions, now: Now) -> Verdict:
    """Rewrite the head batch by the outcome of its call."""
    match outcome:
        case Succeeded():
            return Verdict(done=batch)
        case NotInvoked(wait_seconds=wait):
            return Verdict(again=(_later(batch, batch.attempts + 1, wait, now),))
        case GivenUp(failure=failure):
            tried = replace(batch, attempts=batch.attempts + 1, last_failure=failure)
            return Verdict(discarded=tried, reason=DiscardReason.DISCARDED_BY_HANDLER)
        case PartlyFailed(index=index, failure=failure) if index > 0:
            # F-30: the allowance starts again whenever the checkpoint advances
            done, rest = batch.split(index)
            fresh = replace(rest, attempts=0, last_failure=failure)
            return Verdict(done=done, again=(_later(fresh, 1, None, now),))
        case PartlyFailed(failure=failure):
            return _failed(batch, failure, None, options, now)
        case Failed(failure=failure, retry_after_seconds=wait):
            return _failed(batch, failure, wait, options, now)
        case _:
            assert_never(outcome)


def _failed(
    batch: Batch,
    failure: LastFailure,
    wait_seconds: float | None,
    options: MappingOptions,
    now: Now,
) -> Verdict:
    if options.bisect_batch_on_function_error and len(batch) > 1:
        # F-34, F-35, F-38: at once, both parts with the full allowance
        first, second = replace(batch, attempts=0, last_failure=None).split(len(batch) // 2)
        return Verdict(again=(first, second))
    tried = replace(batch, attempts=batch.attempts + 1, last_failure=failure)
    limit = options.maximum_retry_attempts
    if 0 <= limit < tried.attempts:
        return Verdict(discarded=tried, reason=DiscardReason.RETRY_ATTEMPTS_EXHAUSTED)
    return Verdict(again=(_later(tried, tried.attempts, wait_seconds, now),))


def _later(batch: Batch, tries: int, wait_seconds: float | None, now: Now) -> Batch:
    wait = backoff_seconds(tries, batch) if wait_seconds is None else max(0.0, wait_seconds)
    return replace(batch, not_before_seconds=now.monotonic_seconds + wait)


def backoff_seconds(tries: int, batch: Batch) -> float:
    """Doubling from half a second, capped at a minute, with a jitter of 20 % that the batch determines."""
    longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (min(tries, 16) - 1))
    seed = f"{batch.records[0].sequence_number}:{tries}".encode() if len(batch) else b""
    return longest * (0.8 + 0.2 * (zlib.crc32(seed) % 1000) / 1000)
