"""What a worker has done since it started, counted from its events."""

from __future__ import annotations

from dataclasses import dataclass

from triggerkit.core.events import (
    BatchDone,
    BatchFailed,
    Event,
    GapFound,
    RecordsDiscarded,
    ShardFinished,
)
from triggerkit.core.outcome import NotInvoked, PartlyFailed, RecordsEnded, Succeeded


@dataclass(slots=True)
class Counts:
    """An observer. `failed_calls` includes calls that were tried again; a gap is one loss of unknown size."""

    calls: int = 0
    failed_calls: int = 0
    records_done: int = 0
    records_discarded: int = 0
    gaps: int = 0
    shards_finished: int = 0

    def __call__(self, event: Event) -> None:
        """Count one event."""
        match event:
            case BatchDone():
                self.calls += 1
                self._count_done(event)
            case BatchFailed(outcome=outcome):
                self.calls += 1
                if not isinstance(outcome, NotInvoked):
                    self.failed_calls += 1
                self._count_done(event)
            case RecordsDiscarded(records=records):
                self.records_discarded += records
            case GapFound():
                self.gaps += 1
            case ShardFinished():
                self.shards_finished += 1
            case _:
                pass

    def _count_done(self, event: BatchDone | BatchFailed) -> None:
        match event.outcome:
            case Succeeded():
                self.records_done += event.records
            case PartlyFailed(index=index):
                self.records_done += index
            case RecordsEnded(done=done):
                self.records_done += len(done)
            case _:
                pass
