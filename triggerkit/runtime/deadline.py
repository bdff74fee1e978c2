"""Until when the calls of a worker may act, as of now rather than as of the start of a call.

Every confirmed beat, one in 1.5 s, moves the self-fence on. So the handlers of a healthy worker have no deadline;
there is one only when beats fail, or when the worker drains. Read on any thread.
"""

from __future__ import annotations

from triggerkit.core.membership import BEAT_SECONDS, MARGIN_SECONDS, SILENCE_SECONDS
from triggerkit.ports import Clock

NEVER = float("inf")
OVERDUE_SECONDS = SILENCE_SECONDS - MARGIN_SECONDS - 2 * BEAT_SECONDS
"""So long before the self-fence two beats in a row have failed to come."""


class ActingDeadline:
    """Shared by the engine, which sets it, and the handlers' contexts, which ask."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fence_seconds = NEVER
        self._drain_seconds = NEVER

    def __call__(self) -> float:
        """The moment (monotonic seconds); infinite while nothing ends it."""
        healthy = self._clock.now().monotonic_seconds < self._fence_seconds - OVERDUE_SECONDS
        return min(NEVER if healthy else self._fence_seconds, self._drain_seconds)

    def beat_confirmed(self, fence_seconds: float) -> None:
        """A beat moved the self-fence to this moment (monotonic)."""
        self._fence_seconds = fence_seconds

    def drain_until(self, at_seconds: float) -> None:
        """The worker stops; its handlers have until then (monotonic)."""
        self._drain_seconds = at_seconds
