"""Sessions: one is expired only when its worker cannot act any more (I17)."""

from __future__ import annotations

from proof.facts import Beats, WorkerTime, require

from triggerkit.core.model import Session, SessionId, ShardId, Tenure


class Sessions:
    """The confirmed beats of all sessions, and who was asked to stop."""

    def __init__(self) -> None:
        self.beats: dict[SessionId, Beats] = {}
        self.stopping: set[str] = set()
        """Workers that were asked to stop."""
        self.expired: set[str] = set()
        """Those of them whose time for it is over."""
        self._lost: set[tuple[ShardId, Tenure]] = set()
        self._let_go: set[tuple[ShardId, Tenure]] = set()

    def joined(self, session: SessionId, worker: str, clock: WorkerTime) -> None:
        """A worker began a session."""
        self.beats[session] = Beats(worker, clock)

    def session_expired(self, session: Session) -> None:
        """A session was declared dead."""
        beats = self.beats[session.id]
        told = f"{session.id} was expired while it might act"
        require(not (beats.lives and beats.may_act), "I17", told)
        beats.expired_seconds = min(beats.expired_seconds, beats.clock.monotonic_seconds)

    def beaten(self, session: SessionId, sent_seconds: float) -> None:
        """A worker knows that its beat was confirmed."""
        beats = self.beats[session]
        told = f"{session} was dead already when it beat"
        require(sent_seconds <= beats.expired_seconds, "I17", told)
        beats.sent_seconds = sent_seconds

    def told_lost(self, shard: ShardId, tenure: Tenure) -> None:
        """A worker knows that its lease is lost."""
        self._lost.add((shard, tenure))

    def release_decided(self, shard: ShardId, tenure: Tenure) -> None:
        """A worker decides to let a shard go: the write may be applied whatever its answer says."""
        self._let_go.add((shard, tenure))

    def acting(self, shard: ShardId, tenure: Tenure) -> Beats:
        """The beats of a session whose worker decides something for this shard now."""
        beats = self.beats[tenure.session]
        require(beats.lives, "I17", f"{tenure} goes on with {shard} behind its session's end")
        known = (shard, tenure) in self._lost
        require(not known, "I2", f"{tenure} goes on with {shard} though it knows of its loss")
        over = (shard, tenure) in self._let_go
        require(not over, "S", f"{tenure} goes on with {shard} behind its release")
        require(beats.may_act, "I17", f"{tenure} goes on with {shard} past its deadline")
        return beats
