"""What a worker tells: one line a decision that matters, and the counts behind it. Rule: no item contents.

Field names are those of the public log fields; the counts feed `--burst`, the exit code and the status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from triggerkit.core.decisions import Decision, Discard, Fetch, Finish, Invoke, Save
from triggerkit.core.model import Batch, Position, ShardId
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordsEnded,
    Succeeded,
)
from triggerkit.core.reports import (
    Discarded,
    Fetched,
    Finished,
    Invoked,
    LeaseLost,
    Released,
    Report,
    Saved,
    ShardGone,
    Taken,
    Trimmed,
)
from triggerkit.ports import Clock, Source
from triggerkit.runtime.logs import get_logger

log = get_logger()

Observer: TypeAlias = Callable[[str, Decision, Report], None]
"""Sees the trigger's name, each decision and its report; must not block."""


def ignore(trigger: str, decision: Decision, report: Report) -> None:
    """The observer that looks away."""


@dataclass(slots=True)
class Counts:
    """Since the worker started. `failed_calls` includes calls that were tried again."""

    calls: int = 0
    failed_calls: int = 0
    records_done: int = 0
    records_discarded: int = 0
    records_lost_times: int = 0
    shards_finished: int = 0


class Journal:
    """Writes the lines of one mapping; `shown_by` gives the command that shows a request's failure record."""

    def __init__(
        self,
        trigger: str,
        source: Source,
        clock: Clock,
        observe: Observer = ignore,
        shown_by: Callable[[str], str] = lambda _: "",
    ) -> None:
        self.counts = Counts()
        self._trigger = trigger
        self._observe = observe
        self._shown_by = shown_by
        self._source = source
        self._clock = clock
        self._log = log.bind(trigger=trigger, source=source.name)
        self._started: dict[int, float] = {}  # identity of a batch under way: since when
        self._trimmed: dict[ShardId, Position] = {}

    def decided(self, decision: Decision) -> None:
        """A decision goes out."""
        if isinstance(decision, Invoke):
            self._started[id(decision.batch)] = self._clock.now().monotonic_seconds
            self._log.debug("batch_invoked", records=len(decision.batch))

    def reported(self, decision: Decision, report: Report) -> None:
        """Its answer came back."""
        self._observe(self._trigger, decision, report)
        match report:
            case Invoked(batch=batch, outcome=outcome):
                self._tell_call(report.shard, batch, outcome)
            case Discarded(shard=shard, batch=batch) if isinstance(decision, Discard):
                self.counts.records_discarded += len(batch)
                request_id = batch.last_failure.request_id if batch.last_failure else ""
                shown_by = self._shown_by(request_id)
                self._log.warning(
                    "records_discarded",
                    condition=decision.reason.value,
                    attempt=batch.attempts,
                    request_id=request_id,
                    **({"hint": shown_by} if shown_by else {}),
                    **self._facts(shard, batch),
                )
            case Trimmed(shard=shard) if isinstance(decision, Fetch):
                self._trimmed[shard] = decision.position
            case Fetched(shard=shard, page=page) if shard in self._trimmed and page.records:
                self._tell_loss(shard, page.records[0].sequence_number, page.records[0].at_seconds)
            case _:
                self._tell_lease(decision, report)

    def _tell_lease(self, decision: Decision, report: Report) -> None:
        match report:
            case Taken(lease=lease):
                position = lease.checkpoint
                self._log.info(
                    "lease_taken",
                    shard=self._shard(lease.shard),
                    position=position.sequence_number or position.kind.value,
                )
            case Finished(shard=shard, taken=taken) if isinstance(decision, Finish):
                self.counts.shards_finished += 1
                children = [self._shard(child.shard) for child in decision.children or ()]
                self._log.info(
                    "shard_finished",
                    shard=self._shard(shard),
                    children=children,
                    taken=len(taken),
                    lost_reason=decision.lease.lost_reason,
                )
            case Saved(shard=shard) if isinstance(decision, Save):
                number = decision.position.sequence_number or decision.position.kind.value
                self._log.debug("checkpoint_saved", shard=self._shard(shard), position=number)
            case LeaseLost(shard=shard):
                self._log.warning("lease_lost", shard=self._shard(shard))
            case Released(shard=shard):
                self._log.info("lease_released", shard=self._shard(shard))
            case ShardGone(shard=shard):
                self._log.error("shard_gone", shard=self._shard(shard))
            case _:
                pass

    def _tell_loss(self, shard: ShardId, resumed_at: str, resumed_seconds: float) -> None:
        last_seen = self._trimmed.pop(shard)
        self.counts.records_lost_times += 1
        self._log.error(
            "records_lost",
            shard=self._shard(shard),
            last_sequence_number=last_seen.sequence_number or last_seen.kind.value,
            first_sequence_number=resumed_at,
            gap_seconds=resumed_seconds - last_seen.at_seconds if last_seen.at_seconds else None,
            error_message="the stream had trimmed records before they were read",
        )

    def _tell_call(self, shard: ShardId, batch: Batch, outcome: Outcome) -> None:
        now = self._clock.now()
        started = self._started.pop(id(batch), now.monotonic_seconds)
        facts = {
            "attempt": batch.attempts + 1,
            "duration_seconds": round(now.monotonic_seconds - started, 6),
            "iterator_age_seconds": round(
                max(0.0, now.service_seconds - batch.records[-1].at_seconds), 3
            ),
            **self._facts(shard, batch),
        }
        self.counts.calls += 1
        match outcome:
            case Succeeded():
                self.counts.records_done += len(batch)
                self._log.info("batch_done", outcome="succeeded", **facts)
            case PartlyFailed(index=index, failure=failure):
                self.counts.failed_calls += 1
                self.counts.records_done += index
                self._log.warning(
                    "batch_partly_failed",
                    outcome="partly_failed",
                    done=index,
                    request_id=failure.request_id,
                    error_message=failure.error_message,
                    **facts,
                )
            case RecordsEnded():
                self._tell_records(outcome, facts)
            case Failed(failure=failure) | GivenUp(failure=failure):
                self.counts.failed_calls += 1
                given_up = isinstance(outcome, GivenUp)
                self._log.warning(
                    "batch_failed",
                    outcome="given_up" if given_up else "failed",
                    request_id=failure.request_id,
                    error_type=failure.error_type,
                    error_message=failure.error_message,
                    **facts,
                )
            case NotInvoked(reason=reason):
                self._log.warning(
                    "batch_not_invoked", outcome="not_invoked", reason=reason, **facts
                )
            case _:
                assert_never(outcome)

    def _tell_records(self, outcome: RecordsEnded, facts: dict[str, object]) -> None:
        """What was not tried waits for a failed record of its key, or for the next owner."""
        self.counts.records_done += len(outcome.done)
        first = next(iter((*outcome.failed, *outcome.discarded, *outcome.invalid)), None)
        if first is None:
            self._log.info("batch_partly_done", outcome="stopped", done=len(outcome.done), **facts)
            return
        self.counts.failed_calls += 1
        self._log.warning(
            "batch_partly_failed",
            outcome="partly_failed",
            done=len(outcome.done),
            failed=len(outcome.failed),
            discarded=len(outcome.discarded),
            invalid=len(outcome.invalid),
            request_id=first.failure.request_id,
            error_type=first.failure.error_type,
            error_message=first.failure.error_message,
            **facts,
        )

    def _facts(self, shard: ShardId, batch: Batch) -> dict[str, object]:
        return {
            "shard": self._shard(shard),
            "records": len(batch),
            "first_sequence_number": batch.records[0].sequence_number,
            "last_sequence_number": batch.records[-1].sequence_number,
        }

    def _shard(self, shard: ShardId) -> str:
        return self._source.shard_name(shard)
