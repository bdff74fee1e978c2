"""Writes events to the log: one line each, and none for those that only checkers look at.

Field names are those of the public log fields; no item contents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, assert_never

from triggerkit.core import events
from triggerkit.core.events import Operation
from triggerkit.core.model import ShardId, shard_name
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    PartlyFailed,
    RecordsEnded,
    Succeeded,
)
from triggerkit.core.words import counted, in_time, short_name
from triggerkit.errors import TriggerkitError, error_code
from triggerkit.ports import Clock
from triggerkit.runtime.logs import get_logger, is_shown
from triggerkit.runtime.repeated_failures import RepeatedFailures

log = get_logger()

Fields: TypeAlias = dict[str, object]

WORDS: Mapping[Operation | None, str] = {
    None: "go on with",
    Operation.BEAT: "renew this worker's session",
    Operation.CANCEL: "cancel a call of",
    Operation.CREATE: "write down new shards",
    Operation.DISCARD: "send a failure record of",
    Operation.EXPIRE: "expire a silent worker",
    Operation.FETCH: "read",
    Operation.FIND_CHILDREN: "find the children of",
    Operation.FINISH: "finish",
    Operation.FORGET: "forget",
    Operation.INVOKE: "call the handler for",
    Operation.PIN: "store where to start",
    Operation.RELEASE: "release",
    Operation.SAVE: "save the position of",
    Operation.SURVEY: "list shards and leases",
    Operation.TAKE: "take",
}
"""What an operation is for a person, with the preposition before its shards."""


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
            case events.BatchStarted() | events.BatchDone() | events.CheckpointSaved():
                _log_routine(event)
            case events.BatchFailed():
                _log_failed(event)
            case events.RecordsDiscarded():
                self._log_discarded(event)
            case events.CallFailed() | events.MovedAgain():
                self._log_call(event)
            case events.Waiting() | events.Blocked():
                _log_stall(event)
            case (
                events.ShardTaken()
                | events.ShardFinished()
                | events.ShardReleased()
                | events.LeaseLost()
                | events.GapFound()
            ):
                self._log_shard(event)
            case (
                events.StreamReplaced()
                | events.SessionLost()
                | events.Draining()
                | events.DrainExpired()
            ):
                _log_rare(event)
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
        records, attempts = counted(event.records, "record"), counted(event.attempts, "attempt")
        condition = event.condition.value
        log.warning(
            "records_discarded",
            message=f"gave up {records} after {attempts}: {condition}",
            **_of(event.mapping),
            condition=condition,
            attempt=event.attempts,
            request_id=event.request_id,
            **({"show": command} if command else {}),
            **_records(event),
        )

    def _log_shard(
        self,
        event: events.ShardTaken
        | events.ShardFinished
        | events.ShardReleased
        | events.LeaseLost
        | events.GapFound,
    ) -> None:
        fields = {**_of(event.mapping), "shard": shard_name(event.shard)}
        if isinstance(event, events.ShardFinished | events.ShardReleased | events.LeaseLost):
            self._failures.forget(event.mapping, event.shard)
        match event:
            case events.ShardTaken(position=position):
                number = position.sequence_number or position.kind.value
                log.info("lease_taken", **fields, position=number)
            case events.ShardFinished(children=children, taken=taken):
                names = [shard_name(child) for child in children or ()]
                log.info("shard_finished", **fields, children=names, taken=len(taken))
            case events.ShardReleased():
                log.info("lease_released", **fields)
            case events.LeaseLost():
                log.warning("lease_lost", **fields)
            case events.GapFound():
                _log_gap(fields, event)
            case _:
                assert_never(event)

    def _log_call(self, event: events.CallFailed | events.MovedAgain) -> None:
        operation = (event.mapping, event.operation)
        match event:
            case events.CallFailed(shard=shard, error=error):
                now_seconds = self._clock.now().monotonic_seconds
                count = self._failures.failed(operation, shard, error_code(error), now_seconds)
                shards = (shard,) if shard else ()
                if count:
                    log.warning(
                        "will_retry",
                        message=f"cannot {_doing(event, shards, count)}; tries again",
                        **_call(event, shards, count),
                        **_error(error),
                    )
            case events.MovedAgain(shards=shards, after_seconds=after_seconds, reported=reported):
                count = self._failures.moved(operation, shards)
                if count or reported:
                    count = max(count, len(shards))
                    can = f"can {_doing(event, shards, count)}"
                    if event.operation is None:
                        can = f"{_shards(shards, count)} moved" if shards else "moved"
                    log.info(
                        "recovered",
                        message=f"{can} again, after {in_time(after_seconds)}",
                        **_call(event, shards, count),
                        after=after_seconds,
                    )
            case _:
                assert_never(event)


def _log_stall(event: events.Waiting | events.Blocked) -> None:
    shards, error = event.shards, event.error
    fields = _call(event, shards, len(shards))
    code = {"error_type": error_code(error)} if error is not None else {}
    match event:
        case events.Waiting():
            hint = error.hint if isinstance(error, TriggerkitError) else ""
            cause, waited = event.cause.value, in_time(event.waited_seconds)
            # a handler without a timeout may take its time: that it does is no warning
            write = log.info if event.expected else log.warning
            write(
                "waiting",
                message=f"{_not_moved(shards)} for {waited}: waits for {cause}; goes on when {event.ends_when}",
                **fields,
                waited_seconds=round(event.waited_seconds, 1),
                cause=cause,
                **code,
                error_message=event.detail,
                ends_when=event.ends_when,
                **({"hint": hint} if hint else {}),
            )
        case events.Blocked(cause=reason, fix=fix):
            log.error(
                "blocked",
                message=f"cannot {_doing(event, shards, len(shards))}: blocked until somebody acts,"
                " tried again meanwhile",
                **fields,
                **code,
                error_message=reason,
                hint=fix,
            )
        case _:
            assert_never(event)


def _log_rare(
    event: events.StreamReplaced | events.SessionLost | events.Draining | events.DrainExpired,
) -> None:
    match event:
        case events.StreamReplaced(mapping=mapping, stream=stream):
            message = "the stream was made anew: goes on at the beginning of the new one"
            log.info("stream_replaced", message=message, **_of(mapping), stream=stream)
        case events.SessionLost(session=session, fresh=fresh):
            log.warning(
                "session_lost",
                session=session,
                fresh_session=fresh,
                message="the other workers have expired this one's session: it releases its shards"
                " and joins again",
            )
        case events.Draining(timeout_seconds=timeout_seconds):
            log.info(
                "draining",
                message=f"draining: running handlers get up to {in_time(timeout_seconds)}",
                timeout_seconds=timeout_seconds,
            )
        case events.DrainExpired():
            log.warning(
                "drain_expired",
                message="handlers still run, or the state cannot be written:"
                " what is not saved will be delivered again",
            )
        case _:
            assert_never(event)


def _log_gap(fields: Fields, event: events.GapFound) -> None:
    gap = event.gap
    known = gap.from_seconds > 0.0 and gap.to_seconds > 0.0
    log.error(
        "records_lost",
        **fields,
        last_sequence_number=gap.last_seen or "TRIM_HORIZON",
        first_sequence_number=gap.resumed_at or "SHARD_END",
        gap_seconds=gap.to_seconds - gap.from_seconds if known else None,
        error_message=event.reason,
    )


def _log_routine(event: events.BatchStarted | events.BatchDone | events.CheckpointSaved) -> None:
    """What happens for every batch: an entry is made only if it is written."""
    match event:
        case events.BatchStarted(mapping=mapping, records=records):
            if is_shown("batch_invoked", "debug"):
                log.debug("batch_invoked", **_of(mapping), records=records)
        case events.BatchDone():
            if is_shown("batch_done", "info"):
                _log_done(event)
        case events.CheckpointSaved(mapping=mapping, shard=shard, position=position):
            if is_shown("checkpoint_saved", "debug"):
                number = position.sequence_number or position.kind.value
                name = shard_name(shard)
                log.debug("checkpoint_saved", **_of(mapping), shard=name, position=number)
        case _:
            assert_never(event)


def _log_done(event: events.BatchDone) -> None:
    match event.outcome:
        case RecordsEnded(done=done) if len(done) < event.records:
            # what was not tried waits for a failed record of its key, or for the next owner
            log.info("batch_partly_done", outcome="stopped", done=len(done), **_batch(event))
        case _:
            log.info("batch_done", outcome="succeeded", **_batch(event))


def _log_failed(event: events.BatchFailed) -> None:
    match event.outcome:
        case PartlyFailed(index=index, failure=failure):
            name, outcome = "batch_partly_failed", "partly_failed"
            fields: Fields = {"done": index}
        case RecordsEnded(done=done, failed=failed, discarded=discarded, invalid=invalid):
            name, outcome = "batch_partly_failed", "partly_failed"
            failure = (*failed, *discarded, *invalid)[0].failure
            fields = {
                "done": len(done),
                "failed": len(failed),
                "discarded": len(discarded),
                "invalid": len(invalid),
            }
        case Failed(failure=failure):
            name, outcome, fields = "batch_failed", "failed", {}
        case GivenUp(failure=failure):
            name, outcome, fields = "batch_failed", "given_up", {}
        case NotInvoked(reason=reason):
            log.warning("batch_not_invoked", outcome="not_invoked", reason=reason, **_batch(event))
            return
        case Succeeded():
            raise AssertionError("a call that succeeded has not failed")
        case _:
            assert_never(event.outcome)
    done_records, records = fields.get("done"), counted(event.records, "record")
    what = f"{done_records:,} of {records} done" if done_records else f"{records} not done"
    log.warning(
        name,
        message=f"{what}, lag {in_time(event.iterator_age_seconds)},"
        f" shard {short_name(shard_name(event.shard))}",
        outcome=outcome,
        **fields,
        request_id=failure.request_id,
        **({"error_type": failure.error_type} if failure.error_type else {}),
        error_message=failure.error_message,
        **_batch(event),
    )


def _batch(event: events.BatchDone | events.BatchFailed) -> Fields:
    return {
        **_of(event.mapping),
        "attempt": event.attempt,
        "duration_seconds": round(event.duration_seconds, 6),
        "iterator_age_seconds": round(event.iterator_age_seconds, 3),
        **_records(event),
    }


def _records(event: events.BatchDone | events.BatchFailed | events.RecordsDiscarded) -> Fields:
    return {
        "shard": shard_name(event.shard),
        "records": event.records,
        "first_sequence_number": event.first_sequence_number,
        "last_sequence_number": event.last_sequence_number,
    }


def _of(mapping: events.MappingId | None) -> Fields:
    if mapping is None:
        return {}
    return {"trigger": mapping.trigger, "source": mapping.source}


CallEvent: TypeAlias = events.CallFailed | events.MovedAgain | events.Waiting | events.Blocked


def _call(event: CallEvent, shards: tuple[ShardId, ...], count: int) -> Fields:
    """What a call was about: an operation, and one shard, so many, or none in particular."""
    fields = _of(event.mapping)
    if event.operation:
        fields["operation"] = event.operation.value
    if count > 1 and shards:
        return {**fields, "shards": count}
    return {**fields, "shard": shard_name(shards[0])} if shards else fields


def _doing(event: CallEvent, shards: tuple[ShardId, ...], count: int) -> str:
    words = WORDS[event.operation]
    if shards:
        return f"{words} {_shards(shards, count)}"
    return words.removesuffix(" of").removesuffix(" for")


def _not_moved(shards: tuple[ShardId, ...]) -> str:
    if not shards:
        return "nothing has moved"
    return f"{_shards(shards, len(shards))} {'have' if len(shards) > 1 else 'has'} not moved"


def _shards(shards: tuple[ShardId, ...], count: int) -> str:
    return counted(count, "shard") if count > 1 else f"shard {short_name(shard_name(shards[0]))}"


def _error(error: Exception) -> Fields:
    """A fault of an adapter itself is shown with its traceback."""
    known = isinstance(error, TriggerkitError)
    return {
        "error_type": error_code(error),
        "error_message": str(error),
        "hint": error.hint if isinstance(error, TriggerkitError) else "",
        "exc_info": None if known else error,
    }
