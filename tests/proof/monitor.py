"""Passes what happens to the checkers. The first violation ends the world.

There is one checker for each trigger: it gets the trigger's own rows, calls and failure records, and all
changes of the stream and the sessions. The last events are kept, to be shown with a violation.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from proof.checker import Checker
from proof.facts import TrueShard, WorkerTime, Write
from proof.trace import in_short

from triggerkit.core.model import Record, Session, SessionId

TRACE_LINES = 40


class Witness:
    """Implements `stream.StreamWatch`; `now_seconds` is the world's time."""

    def __init__(self, now_seconds: Callable[[], float]) -> None:
        self.checkers: dict[str, Checker] = {}
        """By the prefix of their lease keys."""
        self.records: dict[str, Record] = {}
        """All that were ever written, by sequence number."""
        self.fault: Exception | None = None
        self.broken = asyncio.Event()
        self._now_seconds = now_seconds
        self._trace: deque[tuple[float, str, object]] = deque(maxlen=TRACE_LINES)
        self._digest = hashlib.sha256()
        self.follows = False
        """Whether `digest` takes in all that happens: that costs as much as the world itself."""

    @property
    def digest(self) -> str:
        """Of all that happened, if it is followed."""
        return self._digest.hexdigest()

    def note(self, who: str, what: object) -> None:
        """Something happened."""
        if not self.broken.is_set():
            self._trace.append((self._now_seconds(), who, what))
            if self.follows:
                self._digest.update(f"{self._now_seconds():.6f} {who} {in_short(what)}".encode())

    def trace(self) -> str:
        """What happened last, a line each."""
        return "\n".join(f"{t:9.3f} {who:8} {in_short(what)}" for t, who, what in self._trace)

    def break_off(self, fault: Exception) -> None:
        """Something is wrong: the world ends."""
        if self.fault is None:
            self.fault = fault
        self.broken.set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """What is raised in here breaks the world off, whatever becomes of it further up."""
        try:
            yield
        except Exception as fault:
            self.break_off(fault)
            raise

    # --- the stream -------------------------------------------------------------------------------

    def put(self, record: Record, shard: TrueShard, created_seconds: float) -> None:
        """See `StreamWatch`. A pin counts whole seconds: what was written within that second may be before it."""
        self.records[record.sequence_number] = record
        with self.watching():
            for checker in self.checkers.values():
                checker.put(record, shard, created_seconds - 1.0)

    def lost(self, records: list[Record]) -> None:
        """See `StreamWatch`."""
        with self.watching():
            for checker in self.checkers.values():
                checker.lost(records)

    # --- state ------------------------------------------------------------------------------------

    def wrote(self, write: Write) -> None:
        """A write of a lease row was applied."""
        row = write.after or write.before
        assert row is not None
        self.note(str(write.by or "anybody"), write)
        with self.watching():
            prefix = next(prefix for prefix in self.checkers if row.key.startswith(prefix))
            self.checkers[prefix].wrote(write)

    def joined(self, session: SessionId, worker: str, clock: WorkerTime) -> None:
        """A worker began a session."""
        with self.watching():
            for checker in self.checkers.values():
                checker.joined(session, worker, clock)

    def beaten(self, session: SessionId, sent_seconds: float) -> None:
        """A worker knows that its beat was confirmed."""
        with self.watching():
            for checker in self.checkers.values():
                checker.beaten(session, sent_seconds)

    def died(self, session: SessionId) -> None:
        """The worker of a session ended, crashed or began another session."""
        with self.watching():
            for checker in self.checkers.values():
                checker.died(session)

    def session_expired(self, session: Session) -> None:
        """A session was declared dead."""
        self.note("store", f"expired {session.id}")
        with self.watching():
            for checker in self.checkers.values():
                checker.session_expired(session)

    # --- the end ----------------------------------------------------------------------------------

    def left(self) -> Mapping[str, object]:
        """What is still to be done, by trigger; empty when all is quiet."""
        found: dict[str, object] = {}
        for prefix, checker in self.checkers.items():
            left = checker.outstanding()[:5], checker.unfinished(), checker.unsaved()
            if any(left):
                found[prefix] = left
        return found
