"""Finds the shards of one mapping: reads leases, lists shards, creates missing rows and deletes old ones.

Absorb a survey or a change of sessions, then derive what should be under way and is not. Which leases this worker
takes is decided by `Takes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from triggerkit.core.decisions import (
    CoordinatorDecision,
    Create,
    Decision,
    Finish,
    Forget,
    Pin,
    Survey,
    Take,
)
from triggerkit.core.events import WaitCause
from triggerkit.core.leases import (
    childless,
    forgettable,
    has_unknown_parent,
    held_back,
    is_past_retention,
    missing_leases,
    preferred,
)
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import (
    NEVER,
    Children,
    Lease,
    Listing,
    Now,
    Position,
    PositionKind,
    ShardId,
)
from triggerkit.core.reports import (
    CoordinatorReport,
    Created,
    Forgotten,
    NotTaken,
    Pinned,
    Sessions,
    Surveyed,
    Taken,
)
from triggerkit.core.takes import Takes
from triggerkit.core.watchdog import Subject, condition

OPENING_SECONDS = 5.0
"""How long after the pin of a start at LATEST a shard may be opened at its tip instead."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often a mapping looks around, in seconds.

    `lease_seconds` is the observer interval; a complete listing of shards costs one DescribeStream a
    hundred shards, so it comes rarely unless something is known to be missing (leases.md 6.6 rule 8).
    """

    lease_seconds: float = 1.5
    audit_seconds: float = 900.0
    recheck_seconds: float = 60.0
    """After a shard ended: a second child of a split may be listed later than the first."""
    first_search_seconds: float = 1.0
    longest_search_seconds: float = 30.0


@dataclass(slots=True)
class _Schedule:
    """What is under way, and when the coordinator looks around next (monotonic seconds)."""

    pinning: bool = False
    creating: bool = False
    surveying: bool = False
    survey_at_seconds: float = 0.0
    """The next survey that there is a reason for."""
    routine_at_seconds: float = NEVER
    """The next survey without a reason; it waits for the next listing while there is nothing to find."""
    listing_at_seconds: float = 0.0
    create_at_seconds: float = 0.0
    pin_at_seconds: float = 0.0
    search_seconds: float = 0.0
    """The present wait between two listings while something is missing; 0.0 when nothing is."""
    recheck_at_seconds: float = NEVER
    last_recheck_at_seconds: float = NEVER
    """The recheck after the last shard end that is known."""

    def recheck(self, at_seconds: float) -> None:
        """List the shards then, whatever earlier listings find."""
        self.last_recheck_at_seconds = at_seconds
        self.recheck_at_seconds = min(self.recheck_at_seconds, at_seconds)
        self.listing_at_seconds = min(self.listing_at_seconds, at_seconds)

    def listed(self, now_seconds: float, again_at_seconds: float) -> None:
        """They were listed; without rechecks they are listed again at `again_at_seconds`."""
        if self.recheck_at_seconds <= now_seconds:
            last = self.last_recheck_at_seconds
            self.recheck_at_seconds = last if last > now_seconds else NEVER
        self.listing_at_seconds = min(again_at_seconds, self.recheck_at_seconds)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The last complete listing, and when (monotonic) it was made and each shard was listed first."""

    listing: Listing
    graph: ShardGraph
    seen_at_seconds: float
    first_seen_seconds: Mapping[ShardId, float]


class LeaseCoordinator:
    """Decides surveys, rows to create and to delete, and takes; knows nothing of records."""

    def __init__(self, prefix: str, start: Position, cadence: Cadence) -> None:
        self._prefix = prefix
        self._start = start
        self._proposed_pin_seconds: float | None = None
        self._pinned_at_seconds: float | None = None
        self._cadence = cadence
        self._schedule = _Schedule()
        self._takes = Takes(prefix, cadence.lease_seconds)
        self._rows = self._takes.rows  # `Takes` alone changes them
        self._listed: _Listed | None = None
        self._missing: tuple[Lease, ...] = ()
        self._held_back: tuple[ShardId, ...] = ()
        self._listing_fault = ""
        self._childless: frozenset[ShardId] = frozenset()
        self._forgetting: set[ShardId] = set()

    @property
    def rows(self) -> Collection[Lease]:
        """The leases as last surveyed; those held here are ahead of it."""
        return self._rows.all

    def has_finished(self, shards: Iterable[ShardId]) -> bool:
        """Whether this mapping has read one of these to its end."""
        rows = (self._rows.get(shard) for shard in shards)
        return any(row is not None and row.finished for row in rows)

    @property
    def surveyed(self) -> bool:
        """Whether the shards were listed completely at least once, and every row exists."""
        return self._listed is not None and not self._missing

    def is_opening(self, now: Now) -> bool:
        """Whether the mapping starts at LATEST for the first time, a moment ago."""
        pinned_at = self._pinned_at_seconds
        if self._start.kind is not PositionKind.LATEST:
            return False
        return pinned_at is None or now.monotonic_seconds - pinned_at <= OPENING_SECONDS

    @property
    def wake_at_seconds(self) -> float:
        """When to be woken at the latest (monotonic)."""
        schedule = self._schedule
        if self._must_pin:
            return NEVER if schedule.pinning else schedule.pin_at_seconds
        if self._takes.sessions is None:
            return NEVER  # nothing may be done before this worker's session is known
        wake_at = self._takes.look_at_seconds
        if not schedule.surveying:
            wake_at = min(wake_at, self._survey_at_seconds)
        if self._missing and not schedule.creating:
            wake_at = min(wake_at, schedule.create_at_seconds)
        return wake_at

    def absorb_sessions(self, sessions: Sessions, now: Now) -> None:
        """Learn which workers live; a change makes the leases worth a look at once."""
        self._takes.look_at_seconds = now.monotonic_seconds
        if self._takes.absorb_sessions(sessions):
            self._schedule.survey_at_seconds = now.monotonic_seconds

    def lease_store_is_back(self, now: Now) -> None:
        """Nothing has to wait any longer for a store that had failed."""
        schedule = self._schedule
        schedule.survey_at_seconds = now.monotonic_seconds
        schedule.pin_at_seconds = min(schedule.pin_at_seconds, now.monotonic_seconds)

    def absorb(self, report: CoordinatorReport, now: Now) -> None:
        """Record what a report says."""
        schedule = self._schedule
        self._takes.look_at_seconds = now.monotonic_seconds
        match report:
            case Surveyed(leases=leases, listing=listing):
                self._absorb_survey(leases, listing, now)
            case Pinned(service_seconds=pinned):
                schedule.pinning = False
                # what was asked for is what is stored: this worker's start is the mapping's first
                self._pinned_at_seconds = (
                    now.monotonic_seconds if pinned == self._proposed_pin_seconds else -NEVER
                )
                self._start = Position(PositionKind.LATEST, at_seconds=pinned)
                schedule.survey_at_seconds = now.monotonic_seconds
            case Created():
                schedule.creating = False
                self._missing = ()
                schedule.survey_at_seconds = now.monotonic_seconds
            case Taken(lease=lease):
                self._takes.taken(lease)
            case Forgotten(decision=Forget(lease=lease)):
                self._forgetting.discard(lease.shard)
                self._takes.forgotten(lease.shard)
            case NotTaken(decision=Take(lease=lease)):
                self._takes.not_taken(lease.shard)
            case _:
                assert_never(report)

    def absorb_not_now(self, decision: CoordinatorDecision, wait_seconds: float, now: Now) -> None:
        """A decision was not carried out; what it was about is looked at again after the wait."""
        schedule = self._schedule
        self._takes.look_at_seconds = now.monotonic_seconds
        at_seconds = now.monotonic_seconds + wait_seconds
        schedule.survey_at_seconds = min(schedule.survey_at_seconds, at_seconds)
        match decision:
            case Survey():
                schedule.surveying = False
                schedule.survey_at_seconds = at_seconds
            case Pin():
                schedule.pinning = False
                schedule.pin_at_seconds = at_seconds
            case Create():
                # others may have created rows meanwhile: what is missing then, the next listing shows
                schedule.creating = False
                schedule.create_at_seconds = NEVER
                schedule.listing_at_seconds = at_seconds
            case Take(lease=lease):
                self._takes.not_taken(lease.shard, at_seconds)
            case Forget(lease=lease):
                self._forgetting.discard(lease.shard)
            case _:
                assert_never(decision)

    def absorb_end(self, finished: Lease, taken: Iterable[Lease], now: Now) -> tuple[Lease, ...]:
        """A shard held here was finished; those of the children taken with it that may start."""
        end, fresh = self._takes.finished(finished, taken)
        self._recheck_after_end(finished.shard, now)
        self._takes.look_at_seconds = now.monotonic_seconds
        if not fresh and not end.children:
            self.search_now(now)
        elif self._takes.needs_survey(end):
            self._schedule.survey_at_seconds = now.monotonic_seconds
        return fresh

    def let_go(self, shard: ShardId, now: Now) -> None:
        """A shard is not held here any more, or a call of an earlier tenure that blocked it came back."""
        self._takes.let_go(shard)
        self.look_again(now)

    def look_again(self, now: Now) -> None:
        """Something changed that a survey shows."""
        self._takes.look_at_seconds = now.monotonic_seconds
        self._schedule.survey_at_seconds = now.monotonic_seconds

    # --- the end of a shard -----------------------------------------------------------------------

    def children_of(self, shard: ShardId) -> Children | None:
        """The children that the last complete listing names; None when it names none.

        A sibling that was listed later is found by the listing that `_recheck_after_end` asks for.
        """
        if self._listed is None:
            return None
        graph = self._listed.graph
        children = graph.children(shard)
        return Children(tuple(graph[child] for child in children)) if children else None

    def grant(self, finish: Finish, held: int) -> Finish:
        """The same decision, with the children that this worker may take."""
        return self._takes.grant(finish, held)

    # --- deriving ---------------------------------------------------------------------------------

    def derive(self, now: Now, is_blocked: Callable[[ShardId], bool], held: int) -> list[Decision]:
        """What should be under way and is not."""
        schedule = self._schedule
        if self._must_pin:
            return self._pin(now)
        if self._takes.sessions is None:
            return []
        decisions: list[Decision] = []
        create_is_due = schedule.create_at_seconds <= now.monotonic_seconds
        if self._missing and create_is_due and not schedule.creating:
            schedule.creating = True
            decisions.append(Create(self._missing))
        if self._takes.look_at_seconds <= now.monotonic_seconds:
            decisions.extend(self._takes.derive(now, is_blocked, held))
        if not schedule.surveying and self._survey_at_seconds <= now.monotonic_seconds:
            schedule.surveying = True
            if schedule.survey_at_seconds <= now.monotonic_seconds:
                schedule.survey_at_seconds = (
                    NEVER  # a reason that comes up meanwhile asks for another
                )
            schedule.routine_at_seconds = NEVER
            decisions.append(Survey(schedule.listing_at_seconds <= now.monotonic_seconds))
        return decisions

    @property
    def _must_pin(self) -> bool:
        return self._start.kind is PositionKind.LATEST and self._pinned_at_seconds is None

    def _pin(self, now: Now) -> list[Decision]:
        """LATEST is a moment: it is stored before any row, so that a restart does not move it (decision 7)."""
        schedule = self._schedule
        if schedule.pinning or schedule.pin_at_seconds > now.monotonic_seconds:
            return []
        if self._proposed_pin_seconds is None:
            self._proposed_pin_seconds = self._start.at_seconds or now.service_seconds
        schedule.pinning = True
        return [Pin(self._proposed_pin_seconds)]

    @property
    def _survey_at_seconds(self) -> float:
        schedule = self._schedule
        routine_at = schedule.routine_at_seconds
        if self._takes.is_settled and not self._missing:
            routine_at = max(routine_at, schedule.listing_at_seconds)  # nothing to find till then
        return min(schedule.survey_at_seconds, routine_at)

    def forgets(self, is_blocked: Callable[[ShardId], bool], listing: Listing) -> list[Decision]:
        """Rows to delete after a complete listing."""
        old = [
            lease
            for lease in forgettable(self.rows, listing)
            if lease.shard not in self._forgetting and not is_blocked(lease.shard)
        ]
        self._forgetting.update(lease.shard for lease in old)
        return [Forget(lease) for lease in old]

    def _absorb_survey(self, leases: tuple[Lease, ...], listing: Listing | None, now: Now) -> None:
        schedule = self._schedule
        schedule.surveying = False
        schedule.routine_at_seconds = now.monotonic_seconds + self._cadence.lease_seconds
        ended = {lease.shard for lease in self.rows if lease.finished}
        if listing is not None and listing.complete:
            self._listed = self._as_listed(listing, now)
        listed = self._listed
        graph, trim_seconds = (listed.graph, listed.listing.trim_seconds) if listed else (None, 0.0)
        self._takes.surveyed(leases, graph, trim_seconds, now)
        known = self._childless
        self._childless = frozenset(lease.shard for lease in childless(leases))
        if listing is not None:
            self._absorb_listing(listing, now)
        elif not self._childless <= known:
            self.search_now(now)  # another worker ended a shard, and may be gone since
        elif not schedule.search_seconds and self._has_unknown_parent():
            self.search_now(now)  # a lease that is younger than the last listing
        for lease in leases:
            if lease.finished and lease.shard not in ended and self._looks_after_end(lease.shard):
                self._recheck_after_end(lease.shard, now)

    def _looks_after_end(self, shard: ShardId) -> bool:
        """Whether this worker lists the shards again after another worker finished this one.

        That worker may be gone before a child appears that is listed late. Only one of the others looks, since
        DescribeStream is limited.
        """
        sessions = self._takes.sessions
        return sessions is not None and preferred(shard, sessions.live) == sessions.me

    def _recheck_after_end(self, shard: ShardId, now: Now) -> None:
        """List the shards a minute after a child was seen first: its sibling may be listed later.

        A listing that was made so long after its child appeared is taken for complete.
        """
        wait_seconds, listed = self._cadence.recheck_seconds, self._listed
        children = listed.graph.children(shard) if listed is not None else ()
        recheck_at = now.monotonic_seconds + wait_seconds
        if listed is not None and children:
            recheck_at = wait_seconds + max(listed.first_seen_seconds[each] for each in children)
            created = [listed.graph[child].created_seconds for child in children]
            is_old = all(
                each is not None and listed.listing.service_seconds - each >= wait_seconds
                for each in created
            )
            if is_old or recheck_at <= listed.seen_at_seconds:
                return
        self._schedule.recheck(max(recheck_at, now.monotonic_seconds))

    def _as_listed(self, listing: Listing, now: Now) -> _Listed:
        before = self._listed.first_seen_seconds if self._listed is not None else {}
        seen_at = now.monotonic_seconds
        first_seen = {shard.id: before.get(shard.id, seen_at) for shard in listing.shards}
        return _Listed(listing, ShardGraph(listing.shards), seen_at, first_seen)

    def _absorb_listing(self, listing: Listing, now: Now) -> None:
        schedule, cadence = self._schedule, self._cadence
        self._listing_fault = _fault_of(listing)
        if not listing.complete:
            schedule.listing_at_seconds = now.monotonic_seconds + cadence.first_search_seconds
            return
        if not schedule.creating:
            self._missing = missing_leases(listing, self.rows, self._prefix, self._start)
            schedule.create_at_seconds = now.monotonic_seconds
        if self._is_something_missing(listing):
            schedule.search_seconds = min(
                max(cadence.first_search_seconds, 2 * schedule.search_seconds),
                cadence.longest_search_seconds,
            )
            schedule.listed(now.monotonic_seconds, now.monotonic_seconds + schedule.search_seconds)
            schedule.survey_at_seconds = min(
                schedule.survey_at_seconds, schedule.listing_at_seconds
            )
        else:
            schedule.search_seconds = 0.0
            schedule.listed(now.monotonic_seconds, now.monotonic_seconds + cadence.audit_seconds)

    def _is_something_missing(self, listing: Listing) -> bool:
        """Whether a shard ended and its children were not found, or a parent of a shard is unknown."""
        if not listing.shards and listing.live:
            return True  # a stream that was just switched on has no shards yet, and soon has
        self._held_back = held_back(listing, (*self.rows, *self._missing))
        if self._held_back or self._has_unknown_parent():
            return True
        newly_related = {parent for lease in self._missing for parent in lease.parents}
        return any(
            shard not in newly_related and self._may_have_children(self._rows[shard], listing)
            for shard in self._childless
        )

    def _has_unknown_parent(self) -> bool:
        listed = self._listed
        return listed is not None and has_unknown_parent(
            (*self.rows, *self._missing), listed.graph, listed.listing.trim_seconds
        )

    def _may_have_children(self, lease: Lease, listing: Listing) -> bool:
        if self._listed is not None and lease.shard in self._listed.graph:
            return True
        return lease.created_seconds is not None and not is_past_retention(lease, listing)

    def search_now(self, now: Now) -> None:
        """A shard ended without children: list the shards soon, then ever more rarely."""
        schedule = self._schedule
        schedule.search_seconds = 0.0
        soon = now.monotonic_seconds + self._cadence.first_search_seconds
        schedule.listing_at_seconds = min(schedule.listing_at_seconds, soon)
        schedule.survey_at_seconds = min(schedule.survey_at_seconds, soon)

    # --- what does not move -----------------------------------------------------------------------

    def stalls(self, is_held: Callable[[ShardId], bool]) -> dict[Subject, str]:
        """What keeps shards from being read, as far as the last survey shows, each with its details."""
        found: dict[Subject, str] = {}
        listed = self._listed
        if self._listing_fault:
            found[condition(WaitCause.LISTING)] = self._listing_fault
        if self._missing:
            found[condition(WaitCause.LEASE_STORE)] = (
                f"the leases of {len(self._missing)} shards are not created yet"
            )
        elif (
            listed is not None
            and not listed.listing.live
            and all(lease.finished for lease in self.rows)
        ):
            found[condition(WaitCause.LISTING)] = (
                "the stream was turned off or its table deleted, and all of it has been read"
            )
        for shard in self._held_back:
            found[condition(WaitCause.PARENT, shard)] = (
                "it is listed, but what comes before it is not"
            )
        if listed is not None and listed.listing.live:
            for shard in self._childless:
                if shard in listed.graph:
                    found[condition(WaitCause.LISTING, shard)] = (
                        "it has ended, and no shard is listed that follows it"
                    )
        return found | self._stalled_leases(is_held)

    def is_closed(self, shard: ShardId) -> bool:
        """Whether the shard gets no more records, as far as the last complete listing shows."""
        listed = self._listed
        if listed is None or shard not in listed.graph:
            return False
        return listed.graph[shard].closed or bool(listed.graph.children(shard))

    def _stalled_leases(self, is_held: Callable[[ShardId], bool]) -> dict[Subject, str]:
        sessions = self._takes.sessions
        if sessions is None:
            return {}
        found: dict[Subject, str] = {}
        for lease in self.rows:
            if lease.finished or is_held(lease.shard) or not self._takes.is_free(lease, sessions):
                continue
            unknown = [parent for parent in lease.parents if parent not in self._rows]
            if lease.shard in self._rows.ready:
                subject = condition(WaitCause.OWNER, lease.shard)
                found[subject] = "it is free, and no worker has taken it"
            elif unknown:
                subject = condition(WaitCause.PARENT, lease.shard)
                found[subject] = f"its parent {unknown[0]} is not listed and was never read"
        return found


def _fault_of(listing: Listing) -> str:
    """Why this listing cannot be used; empty when it can."""
    if not listing.complete:
        return "the listing was cut off"
    if not listing.shards and listing.live:
        return "the stream is on, and no shard is listed"
    return ""
