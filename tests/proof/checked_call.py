"""One call as the checkers see it: it begins when user code is entered, and never before."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from proof.checker import Checker
from proof.facts import CallEnding
from proof.monitor import Witness

from triggerkit.core.model import Record, ShardId, Tenure
from triggerkit.core.outcome import Failed, Outcome, RecordsEnded

CALL: ContextVar[TrueCall | None] = ContextVar("call", default=None)
"""What user code is called for."""


@dataclass(slots=True)
class TrueCall:
    """One call, as the handler sees it. Records are named by their sequence numbers."""

    checker: Checker
    witness: Witness
    shard: ShardId
    tenure: Tenure
    records: Sequence[Record]
    one_by_one: bool
    """Whether the handler ends each record by itself (`.each`)."""
    begun: bool = False
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    waits_seconds: list[float] = field(default_factory=list)
    """How long each failure asked to be left alone."""

    def enter(self) -> None:
        """User code begins; for `.each` that is its first record."""
        if not self.begun:
            self.begun = True
            with self.witness.watching():
                self.checker.call_started(self.shard, self.tenure, self.records)

    def end(self, ending: CallEnding) -> None:
        """The invoker has its outcome."""
        with self.witness.watching():
            self.checker.call_ended(self.shard, self.tenure, self.records, ending)

    def ending(self, outcome: Outcome) -> CallEnding:
        """How it ended; `outcome` tells only whether what was interrupted counts as a failure: a timeout does."""
        failed = set(self.failed)
        told = {*self.done, *failed, *self.given_up}
        wait_seconds = min(self.waits_seconds, default=0.0)
        match outcome:
            case Failed() if not told:
                failed = {record.sequence_number for record in self.records}
            case RecordsEnded(failed=failures):
                interrupted = {self.records[each.index].sequence_number for each in failures} - told
                failed |= interrupted
                wait_seconds = 0.0 if interrupted else wait_seconds
            case _:
                pass
        return CallEnding(
            self._indexes(self.done),
            self._indexes(failed | self.given_up),
            self._indexes(self.given_up),
            one_by_one=self.one_by_one,
            wait_seconds=wait_seconds,
        )

    def _indexes(self, numbers: set[str]) -> list[int]:
        return [i for i, record in enumerate(self.records) if record.sequence_number in numbers]
