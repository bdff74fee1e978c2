"""Who lives. Rule: a session is buried only when it cannot act any more (I17)."""

from __future__ import annotations

from triggerkit.core.model import Session, SessionId, Tenure
from triggerkit.testing.truth import Beats, WorkerTime, require


class Sessions:
    """The confirmed beats of all sessions."""

    def __init__(self) -> None:
        self.beats: dict[SessionId, Beats] = {}

    def joined(self, session: SessionId, worker: str, clock: WorkerTime) -> None:
        """A worker began a session."""
        self.beats[session] = Beats(worker, clock)

    def buried(self, session: Session) -> None:
        """A session was declared dead."""
        beats = self.beats[session.id]
        told = f"{session.id} was buried while it might act"
        require(not (beats.lives and beats.may_act), "I17", told)

    def acting(self, tenure: Tenure, told: str) -> Beats:
        """The beats of a session that acts now."""
        beats = self.beats[tenure.session]
        require(beats.may_act, "I17", f"{tenure} {told} past its deadline")
        return beats
