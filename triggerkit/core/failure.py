"""What becomes of a batch: each of its records is in exactly one of done, discarded, again.

`decide` takes the batch at the head of a lane and what became of it; `expire` runs before each call.
With a finite quota or age every lane terminates: each call lowers the records outstanding, or the size of
the head batch, or the attempts left. Source: lambda-contract.md F-1 to F-47.

Where records end one by one (`.each`), each record has the whole allowance for itself and counts its own
calls. What is done is never called again; what is given up leaves alone, with a failure record of its own;
the others are called again together, after the longest wait that one of them asks for. Nothing is bisected.
A call that fails as a whole counts for each of them. An invalid record is given up at once, or counts as
failed, as `on_invalid` says.
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
    RecordFailure,
    RecordsEnded,
    Succeeded,
)
from triggerkit.core.watchdog import BLOCKED_RETRY_SECONDS

FIRST_BACKOFF_SECONDS = 0.5
"""Lambda's early retries are fast: 8 calls in 60 s (F-11); doubling from half a second gives about 7."""
LONGEST_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a batch: `again` replaces it at the front of its lane, in this order.

    A batch of `again` that is marked as given up is discarded, instead of called, when its turn comes.
    """

    done: Batch | None = None
    discarded: Batch | None = None
    reason: DiscardReason = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
    again: tuple[Batch, ...] = ()


def expire(batch: Batch, options: MappingOptions, now: Now) -> Verdict:
    """Drop what is given up, and the leading records that are too old (F-41, F-42); counts go on."""
    if batch.given_up is not None:
        return Verdict(discarded=batch, reason=batch.given_up)
    limit = options.maximum_record_age_in_seconds
    if limit < 0:
        return Verdict(again=(batch,))
    oldest_kept = now.service_seconds - limit
    count = 0
    for record in batch.records:
        if record.at_seconds > oldest_kept or (count and batch.tries):
            break  # with counts of their own, each record has its own failure record
        count += 1
    if not count:
        return Verdict(again=(batch,))
    old, rest = batch.split(count)
    return Verdict(
        discarded=replace(old, attempts=old.tries_of(0)),
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
            fresh = replace(rest, attempts=0, tries=(), last_failure=failure)
            return Verdict(done=done, again=(_later(fresh, 1, None, now),))
        case PartlyFailed(failure=failure):
            return _failed(batch, failure, None, options, now)
        case Failed(failure=failure, retry_after_seconds=wait):
            return _failed(batch, failure, wait, options, now)
        case RecordsEnded(done=(), failed=(), discarded=(), invalid=()):
            return Verdict(again=(_later(batch, batch.attempts + 1, None, now),))
        case RecordsEnded():
            return _one_by_one(batch, outcome, options, now)
        case _:
            assert_never(outcome)


def _one_by_one(batch: Batch, outcome: RecordsEnded, options: MappingOptions, now: Now) -> Verdict:
    leaving = [(each, DiscardReason.DISCARDED_BY_HANDLER) for each in outcome.discarded]
    retried = outcome.failed
    if options.discards_invalid:
        leaving += [(each, DiscardReason.INVALID_RECORD) for each in outcome.invalid]
    else:
        retried = (*retried, *outcome.invalid)
    blocked = frozenset(each.index for each in outcome.invalid)
    staying: dict[int, RecordFailure] = {}
    for each in retried:
        if is_last_try(batch, each.index, options):
            leaving.append((each, DiscardReason.RETRY_ATTEMPTS_EXHAUSTED))
        else:
            staying[each.index] = each
    leaving.sort(key=lambda pair: pair[0].index)
    staying = dict(sorted(staying.items()))
    given_up = tuple(_given_up(batch, each, reason) for each, reason in leaving)
    gone = {*outcome.done, *(each.index for each, _ in leaving)}
    left = [index for index in range(len(batch)) if index not in gone]
    return Verdict(
        done=batch.pick(outcome.done) if outcome.done else None,
        again=(*given_up, _left(batch, left, staying, blocked, now)) if left else given_up,
    )


def is_last_try(batch: Batch, index: int, options: MappingOptions) -> bool:
    """Whether the record at `index` is given up if the call under way fails for it."""
    return 0 <= options.maximum_retry_attempts <= batch.tries_of(index)


def _given_up(batch: Batch, each: RecordFailure, reason: DiscardReason) -> Batch:
    return replace(
        batch.pick((each.index,)),
        attempts=batch.tries_of(each.index) + 1,
        last_failure=each.failure,
        not_before_seconds=0.0,
        given_up=reason,
    )


def _left(
    batch: Batch,
    indexes: list[int],
    failed: dict[int, RecordFailure],
    blocked: frozenset[int],
    now: Now,
) -> Batch:
    """The records to be called again, as one batch: those that failed, and those that had no turn.

    Those that are `blocked` need a person, and are tried rarely when nothing else waits with them.
    """
    tries = tuple(batch.tries_of(index) + (index in failed) for index in indexes)
    idle_seconds = BLOCKED_RETRY_SECONDS if blocked & failed.keys() else 0.0
    waits: list[float] = []
    for index, each in failed.items():
        if index not in blocked:
            wait = each.retry_after_seconds
            own = backoff_seconds(batch.tries_of(index) + 1, batch.pick((index,)))
            waits.append(own if wait is None else wait)
    return replace(
        batch.pick(indexes),
        attempts=max(tries),
        tries=tries,
        last_failure=next((each.failure for each in failed.values()), batch.last_failure),
        not_before_seconds=now.monotonic_seconds + max(waits, default=idle_seconds),
    )


def _failed(
    batch: Batch,
    failure: LastFailure,
    wait_seconds: float | None,
    options: MappingOptions,
    now: Now,
) -> Verdict:
    if batch.tries:
        every = tuple(RecordFailure(index, failure, wait_seconds) for index in range(len(batch)))
        return _one_by_one(batch, RecordsEnded((), every), options, now)
    if options.bisect_batch_on_function_error and len(batch) > 1:
        # F-34, F-35, F-38: at once, both parts with the full allowance
        fresh = replace(batch, attempts=0, last_failure=None)
        return Verdict(again=fresh.split(len(batch) // 2))
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
