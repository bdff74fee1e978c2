"""What this worker should hold of one mapping: never an unready shard, nor one whose owner may live.

Absorb a survey or a change of sessions, then derive what should be under way and is not. Every write is
conditional, so two coordinators that decide the same at once are harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
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
    Children,
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
    Forgotten,
    NotTaken,
    Pinned,
    Sessions,
    Surveyed,
    Taken,
)
from triggerkit.core.rows import LeaseRows
from triggerkit.core.shares import EvenShares, Offer, Offers
from triggerkit.core.watchdog import Subject

NEVER = float("inf")


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


class _Pending(Enum):
    SURVEY = "survey"
    PIN = "pin"
    CREATE = "create"


@dataclass(slots=True)
class _Schedule:
    """When the coordinator looks around next (monotonic seconds)."""

    survey_at_seconds: float = 0.0
    """Somebody asked for a survey."""
    routine_at_seconds: float = NEVER
    """The next survey without a reason; it waits for the next listing while there is nothing to find."""
    listing_at_seconds: float = 0.0
    takes_at_seconds: float = 0.0
    create_at_seconds: float = 0.0
    pin_at_seconds: float = 0.0
    search_seconds: float = 0.0
    """The present wait between listings while something is missing; 0.0 when nothing is."""
    recheck_at_seconds: float = NEVER
    last_recheck_at_seconds: float = NEVER
    """Behind the last end that is known; the first one does not wait for it."""
    under_way: set[_Pending] = field(default_factory=set)

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
class _Listed:
    """The last complete listing. `at_seconds` and `trim_seconds` are service time, `seen_at_seconds` monotonic.

    `first_seen_seconds` (monotonic) is when each shard was listed first.
    """

    graph: ShardGraph
    at_seconds: float
    trim_seconds: float
    seen_at_seconds: float
    first_seen_seconds: Mapping[ShardId, float]
    live: bool


@dataclass(frozen=True, slots=True)
class _End:
    """A shard whose end is being written: its children, and those of them that this worker may take with it."""

    children: tuple[Lease, ...] | None
    granted: frozenset[ShardId] | None

    @property
    def births(self) -> int:
        """How many shards will follow it."""
        return len(self.children or ())

    @property
    def grants(self) -> int:
        """How many of them this worker will hold."""
        return self.births if self.granted is None else len(self.granted)


class LeaseCoordinator:
    """Decides surveys, rows, takes and clean-up; knows nothing of records."""

    def __init__(self, prefix: str, start: Position, cadence: Cadence) -> None:
        self._prefix = prefix
        self._start = start
        self._proposed_pin_seconds: float | None = None
        self._pinned_at_seconds: float | None = None
        self._cadence = cadence
        self._schedule = _Schedule()
        self._rows = LeaseRows()
        self._listed: _Listed | None = None
        self._surveyed_at_seconds = NEVER
        self._sessions: Sessions | None = None
        self._missing: tuple[Lease, ...] = ()
        self._held_back: tuple[ShardId, ...] = ()
        self._listing_fault = ""
        self._childless: frozenset[ShardId] = frozenset()
        self._taking: set[ShardId] = set()  # a Take is under way
        self._forgetting: set[ShardId] = set()
        self._take_at_seconds: dict[ShardId, float] = {}  # when a Take that failed is made again
        self._doubtful: set[ShardId] = set()  # rows that are not as surveyed: the next survey tells
        self._ending: dict[ShardId, _End] = {}
        self._births = self._grants = 0  # the sums over those
        self._offers = Offers(cadence.lease_seconds)
        self._must_offer_all = True  # rows or workers have changed as a whole
        self._to_offer: list[ShardId] = []  # rows that have changed since
        self._others: Counter[SessionId] = (
            Counter()
        )  # how many shards each of the other workers holds
        self._has_absent_owner = False  # of a ready lease: a later read of the sessions tells

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
            return NEVER if _Pending.PIN in schedule.under_way else schedule.pin_at_seconds
        if self._sessions is None:
            return NEVER  # nothing may be done before this worker's session is known
        wake_at = schedule.takes_at_seconds
        if _Pending.SURVEY not in schedule.under_way:
            wake_at = min(wake_at, self._survey_at_seconds)
        if self._missing and _Pending.CREATE not in schedule.under_way:
            wake_at = min(wake_at, schedule.create_at_seconds)
        return wake_at

    def absorb_sessions(self, sessions: Sessions, now: Now) -> None:
        """Learn who lives; a change makes the leases worth a look at once."""
        known = self._sessions
        changed = known is None or (known.live, known.dead) != (sessions.live, sessions.dead)
        if changed or self._has_absent_owner or (known and known.known != sessions.known):
            self._must_offer_all = True
        self._sessions = sessions
        self._schedule.takes_at_seconds = now.monotonic_seconds
        if changed:
            self._schedule.survey_at_seconds = now.monotonic_seconds

    def lease_store_is_back(self, now: Now) -> None:
        """Nothing has to wait any longer for a store that had failed."""
        schedule = self._schedule
        schedule.survey_at_seconds = now.monotonic_seconds
        schedule.pin_at_seconds = min(schedule.pin_at_seconds, now.monotonic_seconds)

    def absorb(self, report: CoordinatorReport, now: Now) -> None:
        """Record what a report says."""
        schedule = self._schedule
        schedule.takes_at_seconds = now.monotonic_seconds
        match report:
            case Surveyed(leases=leases, listing=listing):
                self._absorb_survey(leases, listing, now)
            case Pinned(service_seconds=pinned):
                schedule.under_way.discard(_Pending.PIN)
                # what was asked for is what is stored: this worker's start is the mapping's first
                self._pinned_at_seconds = (
                    now.monotonic_seconds if pinned == self._proposed_pin_seconds else -NEVER
                )
                self._start = Position(PositionKind.LATEST, at_seconds=pinned)
                schedule.survey_at_seconds = now.monotonic_seconds
            case Created():
                schedule.under_way.discard(_Pending.CREATE)
                self._missing = ()
                schedule.survey_at_seconds = now.monotonic_seconds
            case Taken(lease=lease):
                self._taking.discard(lease.shard)
                self._put(lease)
            case Forgotten(decision=Forget(lease=lease)):
                self._forgetting.discard(lease.shard)
                self._rows.drop(lease.shard)
            case NotTaken(decision=Take(lease=lease)):
                self._taking.discard(lease.shard)
                self._doubtful.add(lease.shard)
            case _:
                assert_never(report)

    def absorb_not_now(self, decision: CoordinatorDecision, wait_seconds: float, now: Now) -> None:
        """A decision was not carried out; what it was about is looked at again after the wait."""
        schedule = self._schedule
        schedule.takes_at_seconds = now.monotonic_seconds
        at_seconds = now.monotonic_seconds + wait_seconds
        schedule.survey_at_seconds = min(schedule.survey_at_seconds, at_seconds)
        match decision:
            case Survey():
                schedule.under_way.discard(_Pending.SURVEY)
                schedule.survey_at_seconds = at_seconds
            case Pin():
                schedule.under_way.discard(_Pending.PIN)
                schedule.pin_at_seconds = at_seconds
            case Create():
                # others may have created rows meanwhile: what is missing then, the next listing shows
                schedule.under_way.discard(_Pending.CREATE)
                schedule.create_at_seconds = NEVER
                schedule.listing_at_seconds = at_seconds
            case Take(lease=lease):
                self._taking.discard(lease.shard)
                self._doubtful.add(lease.shard)
                self._take_at_seconds[lease.shard] = at_seconds
            case Forget(lease=lease):
                self._forgetting.discard(lease.shard)
            case _:
                assert_never(decision)

    def absorb_end(self, finished: Lease, taken: Iterable[Lease], now: Now) -> tuple[Lease, ...]:
        """A shard held here was finished; those of the children taken with it that may start.

        An answer that took long may be told behind what became of a child: this worker found it as its own,
        and takes it, or has held it since.
        """
        end = self._forget_end(finished.shard)
        self._put(finished)
        fresh = tuple(child for child in taken if not self._has_gone_on(child))
        for child in fresh:
            self._put(child)
        self._recheck_behind(finished.shard, now)
        self._schedule.takes_at_seconds = now.monotonic_seconds
        if not fresh and not (end and end.children):
            self.search_now(now)
        elif end and any(self._is_in_question(child.shard, end) for child in end.children or ()):
            self._schedule.survey_at_seconds = now.monotonic_seconds
        return fresh

    def _is_in_question(self, child: ShardId, end: _End) -> bool:
        """Whether only a survey tells what became of a child at its parent's end."""
        row = self._rows.get(child)
        if row is None:  # it was there already or has another parent, unless it was left to others
            return end.granted is None or child in end.granted
        # another parent may have been finished by another worker meanwhile
        return not self._is_alone and not row.finished and child not in self._rows.ready

    def _has_gone_on(self, lease: Lease) -> bool:
        known = self._rows.get(lease.shard)
        return lease.shard in self._taking or (known is not None and known.counter > lease.counter)

    def _put(self, lease: Lease) -> None:
        self._offers.drop(lease.shard)
        self._to_offer += self._rows.put(lease)

    def let_go(self, shard: ShardId, now: Now) -> None:
        """A shard is not held here any more, or a call of an earlier tenure that blocked it came back."""
        self._forget_end(shard)
        self._to_offer.append(shard)
        self.look_again(now)

    def look_again(self, now: Now) -> None:
        """Something changed that a survey shows."""
        self._schedule.takes_at_seconds = now.monotonic_seconds
        self._schedule.survey_at_seconds = now.monotonic_seconds

    # --- the end of a shard -----------------------------------------------------------------------

    def children_of(self, shard: ShardId) -> Children | None:
        """The children that the last complete listing names; None when it names none.

        A sibling that was listed later is found by the listing that `_recheck_behind` asks for.
        """
        if self._listed is None:
            return None
        graph = self._listed.graph
        children = graph.children(shard)
        return Children(tuple(graph[child] for child in children)) if children else None

    def grant(self, finish: Finish, held: int) -> Finish:
        """The same decision, with the children that this worker may take; the others are left to others.

        Whoever is alone takes all. A child that has a row already is offered like any other lease.
        """
        shard, children = finish.lease.shard, finish.children
        self._forget_end(shard)
        granted: frozenset[ShardId] | None = None
        if self._sessions is not None and not self._is_alone:
            new = [child.shard for child in children or () if child.shard not in self._rows]
            births = self._births + len(children or ()) - len(self._ending) - 1
            shares = self._even_shares(self._sessions, births)
            room = shares.most(self._sessions.me) - (self._mine(held) - 1)
            granted = frozenset(new[: max(0, room)])
        end = self._ending[shard] = _End(children, granted)
        self._births += end.births
        self._grants += end.grants
        return replace(finish, take=granted)

    def _forget_end(self, shard: ShardId) -> _End | None:
        end = self._ending.pop(shard, None)
        if end is not None:
            self._births -= end.births
            self._grants -= end.grants
        return end

    def _mine(self, held: int) -> int:
        """How many shards this worker holds once what is under way is done."""
        return held - len(self._ending) + self._grants + len(self._taking)

    def _even_shares(self, sessions: Sessions, births: int = 0) -> EvenShares:
        shards = len(self._rows.ready) + births
        return EvenShares(self._prefix, shards, sessions.live, self._others)

    @property
    def _is_alone(self) -> bool:
        """No other worker lives, drains or is silent."""
        return self._sessions is not None and len(self._sessions.known) == 1

    # --- deriving ---------------------------------------------------------------------------------

    def derive(self, now: Now, is_blocked: Callable[[ShardId], bool], held: int) -> list[Decision]:
        """What should be under way and is not."""
        schedule = self._schedule
        decisions: list[Decision] = []
        if self._must_pin:
            return self._pin(now)
        if self._sessions is None:
            return decisions
        create_is_due = schedule.create_at_seconds <= now.monotonic_seconds
        if self._missing and create_is_due and _Pending.CREATE not in schedule.under_way:
            schedule.under_way.add(_Pending.CREATE)
            decisions.append(Create(self._missing))
        if schedule.takes_at_seconds <= now.monotonic_seconds:
            schedule.takes_at_seconds = NEVER  # what changes it is a report, or an offer's time
            decisions.extend(self._takes(now, is_blocked, held))
        if (
            _Pending.SURVEY not in schedule.under_way
            and self._survey_at_seconds <= now.monotonic_seconds
        ):
            schedule.under_way.add(_Pending.SURVEY)
            if schedule.survey_at_seconds <= now.monotonic_seconds:
                schedule.survey_at_seconds = (
                    NEVER  # whoever asks meanwhile gets another one behind it
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
        if _Pending.PIN in schedule.under_way or schedule.pin_at_seconds > now.monotonic_seconds:
            return []
        if self._proposed_pin_seconds is None:
            self._proposed_pin_seconds = self._start.at_seconds or now.service_seconds
        schedule.under_way.add(_Pending.PIN)
        return [Pin(self._proposed_pin_seconds)]

    @property
    def _survey_at_seconds(self) -> float:
        schedule = self._schedule
        routine_at = schedule.routine_at_seconds
        if self._is_settled:
            routine_at = max(routine_at, schedule.listing_at_seconds)
        return min(schedule.survey_at_seconds, routine_at)

    @property
    def _is_settled(self) -> bool:
        """Nobody else writes these rows, and each is held here, finished, or waits for one that is."""
        return self._is_alone and not (
            len(self._offers)
            or self._to_offer
            or self._rows.stuck
            or self._doubtful
            or self._take_at_seconds
            or self._missing
            or self._has_absent_owner
        )

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
        schedule.under_way.discard(_Pending.SURVEY)
        schedule.routine_at_seconds = now.monotonic_seconds + self._cadence.lease_seconds
        self._doubtful.clear()
        self._surveyed_at_seconds = now.monotonic_seconds
        ended = {lease.shard for lease in self.rows if lease.finished}
        if listing is not None and listing.complete:
            self._listed = self._take_in(listing, now)
        listed = self._listed
        graph, trim_seconds = (listed.graph, listed.trim_seconds) if listed else (None, 0.0)
        self._rows.replace(leases, graph, trim_seconds)
        self._must_offer_all = True
        known = self._childless
        self._childless = frozenset(lease.shard for lease in childless(leases))
        if listing is not None:
            self._absorb_listing(listing, now)
        elif not self._childless <= known:
            self.search_now(now)  # another worker ended a shard, and may be gone since
        elif not schedule.search_seconds and self._has_unknown_parent():
            self.search_now(now)  # a lease that is younger than the last listing
        for lease in leases:
            if lease.finished and lease.shard not in ended and self._looks_behind(lease.shard):
                self._recheck_behind(lease.shard, now)

    def _looks_behind(self, shard: ShardId) -> bool:
        """Others ended this shard, and may be gone before a child that is listed late appears.

        One of those who live looks again: DescribeStream is limited, so it is not everybody.
        """
        sessions = self._sessions
        return sessions is not None and preferred(shard, sessions.live) == sessions.me

    def _recheck_behind(self, shard: ShardId, now: Now) -> None:
        """List the shards a minute after a child was seen first: its sibling may be listed later.

        A listing that was made so long after its child appeared tells all there is to know.
        """
        wait_seconds, listed = self._cadence.recheck_seconds, self._listed
        children = listed.graph.children(shard) if listed is not None else ()
        recheck_at = now.monotonic_seconds + wait_seconds
        if listed is not None and children:
            recheck_at = wait_seconds + max(listed.first_seen_seconds[each] for each in children)
            created = [listed.graph[child].created_seconds for child in children]
            is_old = all(
                each is not None and listed.at_seconds - each >= wait_seconds for each in created
            )
            if is_old or recheck_at <= listed.seen_at_seconds:
                return
        self._schedule.recheck(max(recheck_at, now.monotonic_seconds))

    def _take_in(self, listing: Listing, now: Now) -> _Listed:
        before = self._listed.first_seen_seconds if self._listed is not None else {}
        seen_at = now.monotonic_seconds
        first_seen = {shard.id: before.get(shard.id, seen_at) for shard in listing.shards}
        graph = ShardGraph(listing.shards)
        return _Listed(
            graph,
            listing.service_seconds,
            listing.trim_seconds,
            seen_at,
            first_seen,
            listing.live,
        )

    def _absorb_listing(self, listing: Listing, now: Now) -> None:
        schedule, cadence = self._schedule, self._cadence
        self._listing_fault = _fault_of(listing)
        if not listing.complete:
            schedule.listing_at_seconds = now.monotonic_seconds + cadence.first_search_seconds
            return
        if _Pending.CREATE not in schedule.under_way:
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
        """A shard ended and its children were not found (a persistent to-do), or a child has no parent."""
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
            (*self.rows, *self._missing), listed.graph, listed.trim_seconds
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
        """What keeps shards from being read as far as the last survey shows, each with what is known of it."""
        found: dict[Subject, str] = {}
        listed = self._listed
        if self._listing_fault:
            found[Subject(None, cause=WaitCause.LISTING)] = self._listing_fault
        if self._missing:
            told = f"the leases of {len(self._missing)} shards are not created yet"
            found[Subject(None, cause=WaitCause.LEASE_STORE)] = told
        elif listed is not None and not listed.live and all(lease.finished for lease in self.rows):
            told = "the stream was turned off or its table deleted, and all of it has been read"
            found[Subject(None, cause=WaitCause.LISTING)] = told
        for shard in self._held_back:
            told = "it is listed, but what comes before it is not"
            found[Subject(None, shard, cause=WaitCause.PARENT)] = told
        if listed is not None and listed.live:
            for shard in self._childless:
                if shard in listed.graph:
                    told = "it has ended, and no shard is listed that follows it"
                    found[Subject(None, shard, cause=WaitCause.LISTING)] = told
        return found | self._stalled_leases(is_held)

    def is_closed(self, shard: ShardId) -> bool:
        """Whether the shard gets no more records, as far as the last complete listing shows."""
        listed = self._listed
        if listed is None or shard not in listed.graph:
            return False
        return listed.graph[shard].closed or bool(listed.graph.children(shard))

    def _stalled_leases(self, is_held: Callable[[ShardId], bool]) -> dict[Subject, str]:
        sessions = self._sessions
        if sessions is None:
            return {}
        found: dict[Subject, str] = {}
        for lease in self.rows:
            if lease.finished or is_held(lease.shard) or not self._is_free(lease, sessions):
                continue
            if lease.shard in self._rows.ready:
                told = "it is free, and no worker has taken it"
                found[Subject(None, lease.shard, cause=WaitCause.OWNER)] = told
                continue
            unknown = [parent for parent in lease.parents if parent not in self._rows]
            if unknown:
                told = f"its parent {unknown[0]} is not listed and was never read"
                found[Subject(None, lease.shard, cause=WaitCause.PARENT)] = told
        return found

    def _takes(self, now: Now, is_blocked: Callable[[ShardId], bool], held: int) -> list[Decision]:
        sessions, schedule = self._sessions, self._schedule
        if sessions is None or sessions.deadline_seconds <= now.monotonic_seconds:
            return []
        if self._must_offer_all or self._to_offer:
            self._offer(sessions, now, is_blocked, held)
        most = self._even_shares(sessions).most(sessions.me)
        takes: list[Decision] = []
        while True:
            within_share = self._is_alone or self._mine(held) < most
            next_at = self._offers.next_at_seconds(within_share=within_share)
            if next_at > now.monotonic_seconds:
                schedule.takes_at_seconds = min(schedule.takes_at_seconds, next_at)
                return takes
            shard = self._offers.pop(within_share=within_share)
            if not is_blocked(shard):
                self._taking.add(shard)
                takes.append(Take(self._rows[shard], sessions.me))

    def _offer(
        self, sessions: Sessions, now: Now, is_blocked: Callable[[ShardId], bool], held: int
    ) -> None:
        """Look for free leases among the rows that changed, and say who is to take which.

        Every worker that sees the same rows says the same.
        """
        if self._must_offer_all:
            self._count_others(sessions)
        for shard, at_seconds in list(self._take_at_seconds.items()):
            if at_seconds <= now.monotonic_seconds or shard not in self._rows.ready:
                del self._take_at_seconds[shard]
        shards = self._rows.ready if self._must_offer_all else self._to_offer
        free = [
            self._rows[shard]
            for shard in shards
            if shard in self._rows.ready
            and shard not in self._taking
            and shard not in self._doubtful
            and shard not in self._take_at_seconds
            and not is_blocked(shard)
            and self._is_free(self._rows[shard], sessions)
        ]
        holds = {**self._others, sessions.me: self._mine(held)}
        shares = EvenShares(self._prefix, len(self._rows.ready), sessions.live, holds)
        heirs = {} if self._is_alone else shares.assign(lease.shard for lease in free)
        offers: dict[ShardId, Offer] = {}
        for lease in free:
            heir = heirs.get(lease.shard, sessions.me)
            since = self._offers.since(lease.shard, lease.counter, now.monotonic_seconds)
            is_ours, names_us = heir == sessions.me, lease.owner == sessions.me
            offers[lease.shard] = Offer(lease.counter, since, is_ours, names_us)
        if self._must_offer_all:
            self._offers.replace(offers)
        else:
            for shard, offer in offers.items():
                self._offers.put(shard, offer)
        self._must_offer_all = False
        self._to_offer.clear()

    def _count_others(self, sessions: Sessions) -> None:
        """How many shards each of the other workers holds, by the rows."""
        owners = Counter(self._rows[shard].owner for shard in self._rows.ready)
        self._others = Counter(
            {
                owner: count
                for owner, count in owners.items()
                if owner is not None and owner in sessions.live and owner != sessions.me
            }
        )
        gone = owners.keys() - sessions.known - sessions.dead - {None, sessions.me}
        self._has_absent_owner = bool(gone)

    def _is_free(self, lease: Lease, sessions: Sessions) -> bool:
        owner: SessionId | None = lease.owner
        if owner is None or owner in sessions.dead or owner == sessions.me:
            return True
        # absent counts only if the sessions were read after the row was: its owner may be newer than they
        return owner not in sessions.known and sessions.read_at_seconds > self._surveyed_at_seconds


def _fault_of(listing: Listing) -> str:
    """Why shards cannot be told from this listing; empty when they can."""
    if not listing.complete:
        return "the listing was cut off"
    if not listing.shards and listing.live:
        return "the stream is on, and no shard is listed"
    return ""
