"""Writes events to the log: one line each, and none for those that only checkers look at.

Field names are those of the public log fields; no item contents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

from triggerkit.core import events
from triggerkit.core.model import Batch, Lease, ShardId, shard_name
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    PartlyFailed,
    RecordsEnded,
    Succeeded,
)
from triggerkit.errors import TriggerkitError
from triggerkit.ports import Clock
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.repeated_failures import RepeatedFailures

log = get_logger()

HandlerEvent = events.BatchDone | events.BatchFailed


class EventLog:
    """An observer. `shown_by` gives the command that shows the failure record of a trigger's request."""

    def __init__(
        self, clock: Clock, shown_by: Mapping[str, Callable[[str], str]] | None = None
    ) -> None:
        self._clock = clock
        self._shown_by = shown_by or {}
        self._failures = RepeatedFailures()

    def __call__(self, event: events.Event) -> None:
        """Write the line of one event, if it has one."""
        match event:
            case events.BatchStarted() | events.BatchDone() | events.BatchFailed():
                _log_batch(event)
            case events.RecordsDiscarded():
                self._log_discarded(event)
            case events.CallFailed() | events.MovedAgain() | events.Waiting() | events.Blocked():
                self._log_stall(event)
            case (
                events.ShardTaken()
                | events.ShardFinished()
                | events.ShardReleased()
                | events.LeaseLost()
                | events.GapFound()
                | events.CheckpointSaved()
            ):
                self._log_shard(event)
            case events.SessionLost() | events.Draining() | events.DrainExpired():
                _log_worker(event)
            case (
                events.ReadStarted()
                | events.PageRead()
                | events.DiscardStarted()
                | events.ReleaseStarted()
                | events.Started()
                | events.Stopped()
            ):
                pass  # the command line says the last two in its own words
            case _:
                assert_never(event)

    def _log_discarded(self, event: events.RecordsDiscarded) -> None:
        shown_by = self._shown_by.get(event.mapping.trigger)
        command = shown_by(event.request_id) if shown_by else ""
        log.warning(
            "records_discarded",
            **_of(event.mapping),
            condition=event.condition.value,
            attempt=event.attempts,
            request_id=event.request_id,
            **({"hint": command} if command else {}),
            **_records(event.shard, event.batch),
        )

    def _log_shard(
        self,
        event: events.ShardTaken
        | events.ShardFinished
        | events.ShardReleased
        | events.LeaseLost
        | events.GapFound
        | events.CheckpointSaved,
    ) -> None:
        told = {**_of(event.mapping), "shard": shard_name(event.shard)}
        match event:
            case events.ShardTaken(position=position):
                number = position.sequence_number or position.kind.value
                log.info("lease_taken", **told, position=number)
            case events.ShardFinished(children=children, taken=taken):
                self._failures.forget(event.mapping, event.shard)
                _log_finished(told, children or (), taken)
            case events.ShardReleased():
                self._failures.forget(event.mapping, event.shard)
                log.info("lease_released", **told)
            case events.LeaseLost():
                self._failures.forget(event.mapping, event.shard)
                log.warning("lease_lost", **told)
            case events.GapFound():
                _log_gap(told, event)
            case events.CheckpointSaved(position=position):
                number = position.sequence_number or position.kind.value
                log.debug("checkpoint_saved", **told, position=number)
            case _:
                assert_never(event)

    def _log_stall(
        self, event: events.CallFailed | events.MovedAgain | events.Waiting | events.Blocked
    ) -> None:
        told = _of(event.mapping)
        operation = event.operation.value if event.operation else None
        if operation:
            told["operation"] = operation
        match event:
            case events.CallFailed(shard=shard, error=error):
                key, now_seconds = (event.mapping, operation), self._clock.now().monotonic_seconds
                count = self._failures.failed(key, shard, _code(error), now_seconds)
                if count:
                    about = _about((shard,) if shard else (), count)
                    log.warning("will_retry", **told, **about, **_error(error))
            case events.MovedAgain(shards=shards, after_seconds=after_seconds, reported=reported):
                count = self._failures.moved((event.mapping, operation), shards)
                if count or reported:
                    about = _about(shards, max(count, len(shards)))
                    log.info("recovered", **told, **about, after=after_seconds)
            case events.Waiting():
                _log_waiting(told, event)
            case events.Blocked(shards=shards, cause=cause, fix=fix, error=error):
                code = {"error_type": _code(error)} if error is not None else {}
                about = _about(shards, len(shards))
                log.error("blocked", **told, **about, **code, error_message=cause, hint=fix)
            case _:
                assert_never(event)


def _log_worker(event: events.SessionLost | events.Draining | events.DrainExpired) -> None:
    match event:
        case events.SessionLost(session=session, fresh=fresh):
            log.warning(
                "session_lost",
                session=session,
                fresh_session=fresh,
                message="the other workers took this one for dead: it lets go of its shards"
                " and joins again",
            )
        case events.Draining(timeout_seconds=timeout_seconds):
            log.info("draining", timeout_seconds=timeout_seconds)
        case events.DrainExpired():
            log.warning(
                "drain_expired",
                message="handlers still run, or the state cannot be written:"
                " what is not saved will be delivered again",
            )
        case _:
            assert_never(event)


def _log_batch(event: events.BatchStarted | HandlerEvent) -> None:
    match event:
        case events.BatchStarted():
            log.debug("batch_invoked", **_of(event.mapping), records=event.records)
        case events.BatchDone():
            _log_done(event)
        case events.BatchFailed():
            _log_failed(event)
        case _:
            assert_never(event)


def _of(mapping: events.MappingId | None) -> dict[str, object]:
    if mapping is None:
        return {}
    return {"trigger": mapping.trigger, "source": mapping.source}


def _about(shards: tuple[ShardId, ...], count: int) -> dict[str, object]:
    """What a call was about: one shard, so many, or none in particular."""
    if not shards:
        return {}
    return {"shards": count} if count > 1 else {"shard": shard_name(shards[0])}


def _records(shard: ShardId, batch: Batch) -> dict[str, object]:
    return {
        "shard": shard_name(shard),
        "records": len(batch),
        "first_sequence_number": batch.records[0].sequence_number,
        "last_sequence_number": batch.records[-1].sequence_number,
    }


def _code(error: Exception) -> str:
    return error.code if isinstance(error, TriggerkitError) else type(error).__name__


def _error(error: Exception) -> dict[str, object]:
    """A fault of an adapter itself is shown with its traceback."""
    known = isinstance(error, TriggerkitError)
    return {
        "error_type": _code(error),
        "error_message": str(error),
        "hint": error.hint if isinstance(error, TriggerkitError) else "",
        "exc_info": None if known else error,
    }


def _log_finished(
    told: dict[str, object], children: tuple[ShardId, ...], taken: tuple[Lease, ...]
) -> None:
    names = [shard_name(child) for child in children]
    log.info("shard_finished", **told, children=names, taken=len(taken))


def _log_gap(told: dict[str, object], event: events.GapFound) -> None:
    gap = event.gap
    known = gap.from_seconds > 0.0 and gap.to_seconds > 0.0
    log.error(
        "records_lost",
        **told,
        last_sequence_number=gap.last_seen or "TRIM_HORIZON",
        first_sequence_number=gap.resumed_at or "SHARD_END",
        gap_seconds=gap.to_seconds - gap.from_seconds if known else None,
        error_message=event.reason,
    )


def _log_waiting(told: dict[str, object], event: events.Waiting) -> None:
    """A handler without a timeout may take its time: that it does is no warning."""
    write = log.info if event.expected else log.warning
    code = {"error_type": _code(event.error)} if event.error is not None else {}
    hint = event.error.hint if isinstance(event.error, TriggerkitError) else ""
    write(
        "waiting",
        **told,
        **_about(event.shards, len(event.shards)),
        waited_seconds=round(event.waited_seconds, 1),
        cause=event.cause.value,
        **code,
        error_message=event.detail,
        ends_when=event.ends_when,
        **({"hint": hint} if hint else {}),
        message=f"nothing has moved for {event.waited_seconds:.0f} s: waits for {event.cause.value}",
    )


def _facts(event: HandlerEvent) -> dict[str, object]:
    return {
        **_of(event.mapping),
        "attempt": event.attempt,
        "duration_seconds": round(event.duration_seconds, 6),
        "iterator_age_seconds": round(event.iterator_age_seconds, 3),
        **_records(event.shard, event.batch),
    }


def _log_done(event: events.BatchDone) -> None:
    match event.outcome:
        case RecordsEnded(done=done) if len(done) < event.records:
            # what was not tried waits for a failed record of its key, or for the next owner
            log.info("batch_partly_done", outcome="stopped", done=len(done), **_facts(event))
        case _:
            log.info("batch_done", outcome="succeeded", **_facts(event))


def _log_failed(event: events.BatchFailed) -> None:
    facts = _facts(event)
    match event.outcome:
        case PartlyFailed(index=index, failure=failure):
            log.warning(
                "batch_partly_failed",
                outcome="partly_failed",
                done=index,
                request_id=failure.request_id,
                error_message=failure.error_message,
                **facts,
            )
        case RecordsEnded(done=done, failed=failed, discarded=discarded, invalid=invalid):
            first = (*failed, *discarded, *invalid)[0].failure
            log.warning(
                "batch_partly_failed",
                outcome="partly_failed",
                done=len(done),
                failed=len(failed),
                discarded=len(discarded),
                invalid=len(invalid),
                request_id=first.request_id,
                error_type=first.error_type,
                error_message=first.error_message,
                **facts,
            )
        case Failed(failure=failure) | GivenUp(failure=failure):
            log.warning(
                "batch_failed",
                outcome="given_up" if isinstance(event.outcome, GivenUp) else "failed",
                request_id=failure.request_id,
                error_type=failure.error_type,
                error_message=failure.error_message,
                **facts,
            )
        case NotInvoked(reason=reason):
            log.warning("batch_not_invoked", outcome="not_invoked", reason=reason, **facts)
        case Succeeded():
            raise AssertionError("a call that succeeded has not failed")
        case _:
            assert_never(event.outcome)
