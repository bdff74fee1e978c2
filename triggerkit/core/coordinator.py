"""What this worker should hold of one mapping. Rule: it never takes an unready shard, nor one whose owner may live.

Absorb a survey or a change of sessions, then derive what should be under way and is not. Every write is
conditional, so two coordinators that decide the same at once are harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

from triggerkit.core.decisions import Create, Decision, Forget, Survey, Take
from triggerkit.core.leases import (
    TOMBSTONE_SECONDS,
    childless,
    forgettable,
    has_unknown_parent,
    held_back,
    missing_leases,
    preferred,
    quota,
    ready_leases,
)
from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import (
    Lease,
    Listing,
    Now,
    Position,
    PositionKind,
    SessionId,
    ShardId,
)
from triggerkit.core.reports import (
    CoordinatorReport,
    Created,
    CreateFailed,
    ForgetFailed,
    Forgotten,
    NotTaken,
    Sessions,
    Surveyed,
    SurveyFailed,
    TakeFailed,
    Taken,
)

NEVER = float("inf")


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


class _Errand(Enum):
    SURVEY = "survey"
    CREATE = "create"


@dataclass(slots=True)
class _Agenda:
    """When the coordinator looks around next (monotonic seconds)."""

    survey_at_seconds: float = 0.0
    listing_at_seconds: float = 0.0
    takes_at_seconds: float = 0.0
    create_at_seconds: float = 0.0
    search_seconds: float = 0.0
    """The present wait between listings while something is missing; 0.0 when nothing is."""
    recheck_at_seconds: float = NEVER
    last_recheck_at_seconds: float = NEVER
    """Behind the last end that is known; the first one does not wait for it."""
    under_way: set[_Errand] = field(default_factory=set)

    def recheck(self, at_seconds: float) -> None:
        """List the shards then, whatever earlier listings find."""
        self.last_recheck_at_seconds = at_seconds
        self.recheck_at_seconds = min(self.recheck_at_seconds, at_seconds)
        self.listing_at_seconds = min(self.listing_at_seconds, at_seconds)

    def listed(self, now_seconds: float, again_at_seconds: float) -> None:
        """They were listed; `again_at_seconds` is when they would be, but for the rechecks."""
        if self.recheck_at_seconds <= now_seconds:
            last = self.last_recheck_at_seconds
            self.recheck_at_seconds = last if last > now_seconds else NEVER
        self.listing_at_seconds = min(again_at_seconds, self.recheck_at_seconds)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A free lease, and since when this worker has seen it free with that counter."""

    counter: int
    since_seconds: float


@dataclass(frozen=True, slots=True)
class _Listed:
    """The last complete listing; `at_seconds` is service time."""

    graph: ShardGraph
    at_seconds: float


class LeaseCoordinator:
    """Decides surveys, rows, takes and clean-up; knows nothing of records."""

    def __init__(self, prefix: str, start: Position, cadence: Cadence) -> None:
        self._prefix = prefix
        self._start = start
        self._cadence = cadence
        self._agenda = _Agenda()
        self._rows: dict[ShardId, Lease] = {}
        self._listed: _Listed | None = None
        self._surveyed_at_seconds = NEVER
        self._sessions: Sessions | None = None
        self._offers: dict[ShardId, _Offer] = {}
        self._missing: tuple[Lease, ...] = ()
        self._writing: set[ShardId] = set()  # a Take or a Forget is under way
        self._doubtful: set[ShardId] = set()  # rows that are not as surveyed: the next survey tells

    @property
    def rows(self) -> Collection[Lease]:
        """The leases as last surveyed; those held here are ahead of it."""
        return self._rows.values()

    @property
    def surveyed(self) -> bool:
        """Whether the shards were listed completely at least once, and every row exists."""
        return self._listed is not None and not self._missing

    @property
    def wake_at_seconds(self) -> float:
        """When to be woken at the latest (monotonic)."""
        if self._sessions is None:
            return NEVER  # nothing may be done before this worker's session is known
        agenda = self._agenda
        wake_at = agenda.takes_at_seconds
        if _Errand.SURVEY not in agenda.under_way:
            wake_at = min(wake_at, agenda.survey_at_seconds)
        if self._missing and _Errand.CREATE not in agenda.under_way:
            wake_at = min(wake_at, agenda.create_at_seconds)
        return wake_at

    def absorb_sessions(self, sessions: Sessions, now: Now) -> None:
        """Learn who lives; a change makes the leases worth a look at once."""
        known = self._sessions
        changed = known is None or (known.live, known.dead) != (sessions.live, sessions.dead)
        self._sessions = sessions
        self._agenda.takes_at_seconds = now.monotonic_seconds
        if changed:
            self._agenda.survey_at_seconds = now.monotonic_seconds

    def absorb(self, report: CoordinatorReport, now: Now) -> None:
        """Record what a report says."""
        agenda = self._agenda
        agenda.takes_at_seconds = now.monotonic_seconds
        match report:
            case Surveyed(leases=leases, listing=listing):
                self._absorb_survey(leases, listing, now)
            case SurveyFailed(wait_seconds=wait):
                agenda.under_way.discard(_Errand.SURVEY)
                agenda.survey_at_seconds = now.monotonic_seconds + wait
            case Created():
                agenda.under_way.discard(_Errand.CREATE)
                self._missing = ()
                agenda.survey_at_seconds = now.monotonic_seconds
            case CreateFailed(wait_seconds=wait):
                # others may have created rows meanwhile: what is missing then, the next listing tells
                agenda.under_way.discard(_Errand.CREATE)
                agenda.create_at_seconds = NEVER
                agenda.listing_at_seconds = now.monotonic_seconds + wait
                agenda.survey_at_seconds = now.monotonic_seconds + wait
            case Taken(lease=lease):
                self._writing.discard(lease.shard)
                self._rows[lease.shard] = lease
            case Forgotten(shard=shard):
                self._writing.discard(shard)
                self._rows.pop(shard, None)
            case NotTaken(shard=shard):
                self._writing.discard(shard)
                self._doubtful.add(shard)
            case (
                TakeFailed(shard=shard, wait_seconds=wait)
                | ForgetFailed(shard=shard, wait_seconds=wait)
            ):
                self._writing.discard(shard)
                self._doubtful.add(shard)
                agenda.survey_at_seconds = now.monotonic_seconds + wait
            case _:
                assert_never(report)

    def absorb_end(self, finished: Lease, taken: Iterable[Lease], now: Now) -> tuple[Lease, ...]:
        """A shard held here was finished; those of the children taken with it that may start.

        An answer that took long may be told behind what became of a child: this worker found it as its own,
        and takes it, or has held it since.
        """
        self._rows[finished.shard] = finished
        fresh = tuple(child for child in taken if not self._has_gone_on(child))
        for child in fresh:
            self._rows[child.shard] = child
        self._agenda.recheck(now.monotonic_seconds + self._cadence.recheck_seconds)
        self.look_again(now)
        return fresh

    def _has_gone_on(self, lease: Lease) -> bool:
        known = self._rows.get(lease.shard)
        return lease.shard in self._writing or (known is not None and known.counter > lease.counter)

    def look_again(self, now: Now) -> None:
        """Something changed that a survey shows, or a shard is blocked no more."""
        self._agenda.takes_at_seconds = now.monotonic_seconds
        self._agenda.survey_at_seconds = now.monotonic_seconds

    def derive(self, now: Now, is_blocked: Callable[[ShardId], bool], held: int) -> list[Decision]:
        """What should be under way and is not."""
        agenda = self._agenda
        decisions: list[Decision] = []
        if self._sessions is None:
            return decisions
        create_is_due = agenda.create_at_seconds <= now.monotonic_seconds
        if self._missing and create_is_due and _Errand.CREATE not in agenda.under_way:
            agenda.under_way.add(_Errand.CREATE)
            decisions.append(Create(self._missing))
        if agenda.takes_at_seconds <= now.monotonic_seconds:
            agenda.takes_at_seconds = NEVER  # what changes it is a report, or an offer's time
            decisions.extend(self._takes(now, is_blocked, held))
        if (
            _Errand.SURVEY not in agenda.under_way
            and agenda.survey_at_seconds <= now.monotonic_seconds
        ):
            agenda.under_way.add(_Errand.SURVEY)
            agenda.survey_at_seconds = NEVER  # whoever asks meanwhile gets another one behind it
            decisions.append(Survey(agenda.listing_at_seconds <= now.monotonic_seconds))
        return decisions

    def forgets(self, is_blocked: Callable[[ShardId], bool], listing: Listing) -> list[Decision]:
        """Rows to delete after a complete listing."""
        old = [
            lease
            for lease in forgettable(self.rows, listing)
            if lease.shard not in self._writing and not is_blocked(lease.shard)
        ]
        self._writing.update(lease.shard for lease in old)
        return [Forget(lease) for lease in old]

    def _absorb_survey(self, leases: tuple[Lease, ...], listing: Listing | None, now: Now) -> None:
        agenda = self._agenda
        agenda.under_way.discard(_Errand.SURVEY)
        next_at_seconds = now.monotonic_seconds + self._cadence.lease_seconds
        agenda.survey_at_seconds = min(agenda.survey_at_seconds, next_at_seconds)
        self._doubtful.clear()
        self._surveyed_at_seconds = now.monotonic_seconds
        known = {lease.shard for lease in childless(self.rows)}
        ended = {lease.shard for lease in self.rows if lease.finished}
        self._rows = {lease.shard: lease for lease in leases}
        if listing is not None:
            self._absorb_listing(listing, now)
        elif any(lease.shard not in known for lease in childless(self.rows)):
            self.search_now(now)  # another worker ended a shard, and may be gone since
        elif not agenda.search_seconds and self._has_unknown_parent():
            self.search_now(now)  # a lease that is younger than the last listing
        self._recheck_behind({lease.shard for lease in leases if lease.finished} - ended, now)

    def _recheck_behind(self, ended: Collection[ShardId], now: Now) -> None:
        """Others ended these shards, and may be gone before a child that is listed late appears.

        One of those who live looks again: DescribeStream is limited, so it is not everybody.
        """
        sessions = self._sessions
        if sessions is not None and any(
            preferred(shard, sessions.live) == sessions.me for shard in ended
        ):
            self._agenda.recheck(now.monotonic_seconds + self._cadence.recheck_seconds)

    def _absorb_listing(self, listing: Listing, now: Now) -> None:
        agenda, cadence = self._agenda, self._cadence
        if not listing.complete:
            agenda.listing_at_seconds = now.monotonic_seconds + cadence.first_search_seconds
            return
        self._listed = _Listed(ShardGraph(listing.shards), listing.service_seconds)
        if _Errand.CREATE not in agenda.under_way:
            self._missing = missing_leases(
                listing, self.rows, self._prefix, self._start_at(listing)
            )
            agenda.create_at_seconds = now.monotonic_seconds
        if self._is_something_missing(listing):
            agenda.search_seconds = min(
                max(cadence.first_search_seconds, 2 * agenda.search_seconds),
                cadence.longest_search_seconds,
            )
            agenda.listed(now.monotonic_seconds, now.monotonic_seconds + agenda.search_seconds)
            agenda.survey_at_seconds = min(agenda.survey_at_seconds, agenda.listing_at_seconds)
        else:
            agenda.search_seconds = 0.0
            agenda.listed(now.monotonic_seconds, now.monotonic_seconds + cadence.audit_seconds)

    def _start_at(self, listing: Listing) -> Position:
        if self._start.kind is PositionKind.LATEST:
            return Position(PositionKind.LATEST, at_seconds=listing.service_seconds)
        return self._start

    def _is_something_missing(self, listing: Listing) -> bool:
        """A shard ended and its children were not found (a persistent to-do), or a child has no parent."""
        if not listing.shards and listing.live:
            return True  # a stream that was just switched on has no shards yet, and soon has
        if held_back(listing, (*self.rows, *self._missing)) or self._has_unknown_parent():
            return True
        newly_related = {parent for lease in self._missing for parent in lease.parents}
        return any(
            lease.shard not in newly_related and self._may_have_children(lease, listing)
            for lease in childless(self.rows)
        )

    def _has_unknown_parent(self) -> bool:
        listed = self._listed
        return listed is not None and has_unknown_parent(
            (*self.rows, *self._missing), listed.graph, listed.at_seconds
        )

    def _may_have_children(self, lease: Lease, listing: Listing) -> bool:
        if self._listed is not None and lease.shard in self._listed.graph:
            return True
        if lease.created_seconds is None:
            return False
        return listing.service_seconds - lease.created_seconds <= TOMBSTONE_SECONDS

    def search_now(self, now: Now) -> None:
        """A shard ended without children: list the shards soon, then ever more rarely."""
        agenda = self._agenda
        agenda.search_seconds = 0.0
        soon = now.monotonic_seconds + self._cadence.first_search_seconds
        agenda.listing_at_seconds = min(agenda.listing_at_seconds, soon)
        agenda.survey_at_seconds = min(agenda.survey_at_seconds, soon)

    def _takes(self, now: Now, is_blocked: Callable[[ShardId], bool], held: int) -> list[Decision]:
        sessions, agenda = self._sessions, self._agenda
        if sessions is None or sessions.deadline_seconds <= now.monotonic_seconds:
            return []
        listed = self._listed
        graph, at_seconds = (listed.graph, listed.at_seconds) if listed else (None, 0.0)
        ready = ready_leases(self.rows, graph, at_seconds)
        free = [lease for lease in ready if self._is_free(lease, sessions)]
        self._note_offers(free, now)
        unfinished = sum(1 for lease in self.rows if not lease.finished)
        mine = held + len(self._writing)
        share = quota(unfinished, len(sessions.live))
        takes: list[Decision] = []
        for lease in sorted(free, key=lambda lease: self._named(lease, sessions)):
            if lease.shard in self._writing or lease.shard in self._doubtful:
                continue
            if is_blocked(lease.shard):
                continue
            may_take_at = self._may_take_at(lease, sessions, over=mine >= share)
            if now.monotonic_seconds < may_take_at:
                agenda.takes_at_seconds = min(agenda.takes_at_seconds, may_take_at)
                continue
            mine += 1
            self._writing.add(lease.shard)
            takes.append(Take(lease, sessions.me))
        return takes

    def _named(self, lease: Lease, sessions: Sessions) -> tuple[bool, ShardId]:
        return preferred(lease.shard, sessions.live) != sessions.me, lease.shard

    def _is_free(self, lease: Lease, sessions: Sessions) -> bool:
        owner: SessionId | None = lease.owner
        if owner is None or owner in sessions.dead or owner == sessions.me:
            return True
        # absent counts only if the sessions were read after the row was: its owner may be newer than they
        return owner not in sessions.known and sessions.read_at_seconds > self._surveyed_at_seconds

    def _note_offers(self, free: list[Lease], now: Now) -> None:
        offers: dict[ShardId, _Offer] = {}
        for lease in free:
            seen = self._offers.get(lease.shard)
            if seen is None or seen.counter != lease.counter:
                seen = _Offer(lease.counter, now.monotonic_seconds)
            offers[lease.shard] = seen
        self._offers = offers

    def _may_take_at(self, lease: Lease, sessions: Sessions, *, over: bool) -> float:
        """At once when it falls to this worker; later when others were to take it and did not.

        A row that already names this session was written by a call whose answer may still be on its way.
        """
        wait_seconds = 0.0
        if lease.owner == sessions.me or (over and len(sessions.live) > 1):
            wait_seconds = 3 * self._cadence.lease_seconds
        elif preferred(lease.shard, sessions.live) != sessions.me:
            wait_seconds = self._cadence.lease_seconds
        return self._offers[lease.shard].since_seconds + wait_seconds
