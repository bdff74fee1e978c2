"""What must hold in every world. It knows the stream, the writes and the calls, and nothing of the machines.

The numbers are the invariants of the lease protocol: I1 one writer's chain, I2 fencing, I3 monotone
checkpoints, I4 a checkpoint tells the truth, I5 at least once, I6 bounded duplicates, I7 parent first, I8 order
of a key, I9 no replay of a finished shard, I10 no orphan, and rows of parents first, I11 no early delete, I14 an
ambiguous write never costs a lease and is never applied twice, I17 nothing starts past the deadline, I18 LATEST
skips nothing behind its pin and is for the first survey alone. The letters are rules of other pages: B batches,
F failures, quotas and ages (lambda-contract.md), G a loss is told (decision 8), S a stop begins nothing new.

The methods of what is decided and what is lost are for worlds that see more than a lease table and a handler do; a
world that does not call them is held by the other rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proof.facts import CallEnding, Number, TrueShard, TrueStream, WorkerTime, Write
from proof.invariants.deliveries import Deliveries
from proof.invariants.losses import Losses
from proof.invariants.rows import Rows
from proof.invariants.sessions import Sessions
from proof.invariants.tenures import Tenures
from proof.invariants.written import Start, Written

from triggerkit.core.model import (
    DiscardReason,
    Gap,
    Position,
    Record,
    Session,
    SessionId,
    ShardId,
    Tenure,
)
from triggerkit.core.options import MappingOptions


class Checker:
    """Told of everything that happens outside the machines. Each method may raise a Violation."""

    def __init__(
        self,
        stream: TrueStream,
        start: Position,
        options: MappingOptions,
        *,
        never_twice: bool,
        service_seconds: Callable[[], float] | None = None,
        most_unsaved: float = float("inf"),
    ) -> None:
        """Begin a world.

        Args:
            stream: as it is, whatever is listed.
            start: the start rule of the mapping.
            options: of the mapping; the quotas and limits that are held.
            never_twice: no record may be called twice, unless its call failed.
            service_seconds: the services' clock, if this world has one that can be asked.
            most_unsaved: how many records may be done or under way and not behind the checkpoint.
        """
        began = Start(start)
        self._written = Written(began)
        self._tenures = Tenures()
        self._sessions = Sessions()
        self._losses = Losses(stream, self._written, self._tenures)
        self._rows = Rows(
            stream, began, self._written, self._tenures, self._losses, service_seconds
        )
        self._deliveries = Deliveries(
            options, self._written, self._rows, self._tenures, self._sessions
        )
        self._deliveries.most_unsaved = most_unsaved
        self.never_twice = never_twice

    @property
    def never_twice(self) -> bool:
        """Whether no record may come twice in this world."""
        return self._deliveries.never_twice

    @never_twice.setter
    def never_twice(self, holds: bool) -> None:
        self._deliveries.never_twice = holds

    @property
    def duplicates(self) -> int:
        """Records that were called again though they had been accounted for."""
        return self._deliveries.duplicates

    @property
    def calls(self) -> int:
        """Calls that began."""
        return self._deliveries.calls

    # --- the stream -------------------------------------------------------------------------------

    def put(self, record: Record, shard: TrueShard, created_seconds: float) -> None:
        """A record was written."""
        self._written.put(record, shard, created_seconds)

    def lost(self, records: Sequence[Record]) -> None:
        """Retention took these records."""
        self._written.lost(records)

    def is_excused(self, number: Number) -> bool:
        """Whether this record need not reach the handler: trimmed, or before the start."""
        return self._written.is_excused(number)

    # --- the lease table --------------------------------------------------------------------------

    def wrote(self, write: Write) -> None:
        """A write was applied."""
        before = write.before
        if write.verb == "release" and before is not None and before.owner is not None:
            tenure = self._tenures.held.get(before.shard)
            if tenure is not None:
                self._deliveries.released(before.shard, tenure)
        self._rows.wrote(write)

    def lost_lease(self, shard: ShardId, tenure: Tenure) -> None:
        """A worker was told that its lease is lost."""
        self._rows.lost_lease(shard, tenure)

    def starts_at_pin(self) -> None:
        """Nothing from before a start at LATEST can be read here: no record is visible late or comes again."""
        self._deliveries.starts_at_pin = True

    def tells_whole_seconds(self) -> None:
        """In this world services tell the time in whole seconds, as the `Date` header does."""
        self._rows.whole_seconds = True

    # --- sessions ---------------------------------------------------------------------------------

    def joined(self, session: SessionId, worker: str, clock: WorkerTime) -> None:
        """A worker began a session."""
        self._sessions.joined(session, worker, clock)

    def beaten(self, session: SessionId, sent_seconds: float) -> None:
        """A worker knows that its beat was confirmed."""
        self._sessions.beaten(session, sent_seconds)

    def died(self, session: SessionId) -> None:
        """The worker of a session ended or crashed."""
        self._sessions.beats[session].lives = False

    def session_expired(self, session: Session) -> None:
        """A session was declared dead."""
        self._sessions.session_expired(session)

    # --- calls and failure records ----------------------------------------------------------------

    def call_started(self, shard: ShardId, tenure: Tenure, records: Sequence[Record]) -> None:
        """A call begins, on the worker of that tenure."""
        self._deliveries.call_started(shard, tenure, records)

    def call_ended(
        self, shard: ShardId, tenure: Tenure, records: Sequence[Record], ending: CallEnding
    ) -> None:
        """A call came to its end, whatever its worker hears of it."""
        self._deliveries.call_ended(shard, tenure, records, ending)

    def discarded(
        self,
        shard: ShardId,
        tenure: Tenure,
        records: Sequence[Record],
        reason: DiscardReason,
        service_seconds: float,
        calls: int | None = None,
    ) -> None:
        """A failure record was delivered, which tells so many calls."""
        self._deliveries.discarded(shard, tenure, records, reason, service_seconds, calls)

    # --- what workers decide, before anything begins ----------------------------------------------

    def call_decided(
        self, shard: ShardId, tenure: Tenure, records: Sequence[Record], service_seconds: float
    ) -> None:
        """A worker decides to call its handler; the call may begin later, or never."""
        self._deliveries.call_decided(shard, tenure, records, service_seconds)

    def read_decided(self, shard: ShardId, tenure: Tenure, position: Position) -> None:
        """A worker decides to read on from here."""
        self._rows.read_decided(shard, tenure, position)

    def release_decided(self, shard: ShardId, tenure: Tenure) -> None:
        """A worker decides to let a shard go: nothing of it may begin any more."""
        self._sessions.release_decided(shard, tenure)

    def discard_decided(self, shard: ShardId, tenure: Tenure) -> None:
        """A worker decides to deliver a failure record."""
        self._deliveries.discard_decided(shard, tenure)

    def told_lost(self, shard: ShardId, tenure: Tenure) -> None:
        """A worker knows that its lease is lost."""
        self._sessions.told_lost(shard, tenure)

    def asked_to_stop(self, worker: str) -> None:
        """A worker is to finish what runs and to let everything go."""
        self._sessions.stopping.add(worker)

    def left(self, worker: str) -> None:
        """A worker that was asked to stop ended by itself."""
        self._deliveries.left(worker)

    def drain_expired(self, worker: str) -> None:
        """A worker that stops is to wait no longer."""
        self._sessions.expired.add(worker)
        self.never_twice = False

    # --- losses -----------------------------------------------------------------------------------

    def tells_losses(self) -> None:
        """In this world gaps are told, so that a loss without one is a violation."""
        self._losses.is_told = True

    def gap_told(self, shard: ShardId, tenure: Tenure, gap: Gap) -> None:
        """A worker says that it met a gap."""
        self._losses.gap_told(shard, tenure, gap)

    def gone_told(self, shard: ShardId, tenure: Tenure) -> None:
        """The service told a worker that its shard is there no more."""
        self._losses.gone_told(shard, tenure)

    # --- the end ----------------------------------------------------------------------------------

    def outstanding(self) -> list[Number]:
        """I5: records that must still reach the handler or the destination."""
        return self._written.outstanding()

    def unfinished(self) -> list[ShardId]:
        """Closed shards without SHARD_END, and I10: open ones without a row."""
        return self._rows.unfinished()

    def unsaved(self) -> list[ShardId]:
        """Shards whose last record is accounted for and not covered by a checkpoint."""
        return self._rows.unsaved()

    def owned(self) -> list[ShardId]:
        """Shards that a session owns which still seems to live."""
        beats = self._sessions.beats
        return [
            shard
            for shard, row in self._rows.rows.items()
            if row.owner is not None and beats[row.owner].lives
        ]
