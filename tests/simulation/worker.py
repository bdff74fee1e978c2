"""One worker: a real `Membership` and a real `EventSourceMapping`, driven by virtual time.

Every decision is answered exactly once, unless its worker crashed, and at most one of a kind is running at a
time; both are checked here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, assert_never

from proof.facts import Violation
from simulation.schedule import WorkerClock
from simulation.store import Lost
from simulation.stream import Gone, PositionTrimmed, SimReader

from triggerkit.core.consumer import ConsumerSettings
from triggerkit.core.decisions import (
    Beat,
    Cancel,
    Create,
    Decision,
    Discard,
    Expire,
    Fetch,
    FindChildren,
    Finish,
    Forget,
    Invoke,
    MembershipDecision,
    Pin,
    Release,
    Save,
    Survey,
    Take,
)
from triggerkit.core.events import GapFound
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.membership import Membership
from triggerkit.core.model import Session, ShardId, StopReason
from triggerkit.core.reports import (
    Beaten,
    ChildrenFound,
    Created,
    Expired,
    Fetched,
    Finished,
    Forgotten,
    LeaseLost,
    MembershipReport,
    NotExpired,
    NotNow,
    NotTaken,
    Pinned,
    Released,
    Report,
    Saved,
    SessionLost,
    ShardGone,
    StopAsked,
    Surveyed,
    Taken,
    Trimmed,
    Woke,
)
from triggerkit.sources.dynamodb.service import TRAITS

if TYPE_CHECKING:
    from simulation.world import World

PREFIX = "app@dev:orders:stream:"
WOKEN_A_SECOND = 60
"""More than that and a timer runs in circles."""
DRAIN_SECONDS = 25.0
StoreDecision = Pin | Create | Take | Forget | Save | Finish | Release


def refused(decision: Decision | MembershipDecision, wait_seconds: float) -> NotNow:
    """The world was against it."""
    return NotNow(decision, wait_seconds, ConnectionError("the world is troubled"))


class SimWorker:
    """A process of the fleet."""

    def __init__(self, world: World, name: str, rng: Random) -> None:
        self.world = world
        self.name = name
        self.rng = rng
        self.clock = WorkerClock(
            world.schedule, rng.choice((0.0, 5.0e3, 9.0e5)), rng.uniform(0.995, 1.005)
        )
        self.over = False
        self.stopping = False
        self.frozen_until = 0.0
        self.muted_until = 0.0
        plan = world.plan
        self._session = world.store.fresh_session()
        world.checker.joined(self._session.id, name, self.clock)
        self._membership = Membership(self._session)
        settings = ConsumerSettings(
            PREFIX,
            plan.options,
            plan.checkpoint_interval_seconds,
            replace(TRAITS, page_records=plan.fetch_limit),
        )
        self.mapping = EventSourceMapping(plan.start, settings, plan.cadence)
        self.calls = world.fakes.calls(self)
        self._readers: dict[ShardId, SimReader] = {}
        self._under_way: set[Hashable] = set()
        self._woken: Counter[int] = Counter()
        self._timer_t = float("inf")
        self._told = self._membership.sessions

    # --- life -------------------------------------------------------------------------------------

    @property
    def lives(self) -> bool:
        """Runs, is not asked to stop and is not frozen."""
        return not (self.over or self.stopping or self.frozen_until > self.world.schedule.t)

    @property
    def surveys(self) -> bool:
        """A survey is under way."""
        return not self.over and "survey" in self._under_way

    def start(self) -> None:
        self._beat(Woke())
        self.tell(Woke())

    def crash(self) -> None:
        self.over = True
        self.world.checker.died(self._session.id)
        if self.world.plan.same_host:
            self.world.store.gone.add(self._session.id)

    def freeze(self, seconds: float) -> None:
        self.frozen_until = self.world.schedule.t + seconds

    def mute(self, seconds: float) -> None:
        """Its beats do not arrive; everything else does."""
        self.muted_until = self.world.schedule.t + seconds

    def stop(self) -> None:
        self.stopping = True
        self.world.checker.asked_to_stop(self.name)
        self._stop(StopReason.REQUESTED)
        self.after(DRAIN_SECONDS, self._drain_expired)

    def _drain_expired(self) -> None:
        self.world.drain_expired(self.name)
        self._stop(StopReason.DRAIN_EXPIRED)

    def _stop(self, reason: StopReason) -> None:
        self._beat(StopAsked(reason))
        self.tell(StopAsked(reason))

    def _leave(self) -> None:
        if not self.over:
            self.over = True
            self.world.checker.died(self._session.id)
            self.world.store.leave(self._session.id)
            self.world.note(self.name, "left")

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Later, if the worker still runs; once it is thawed, if it is frozen then."""

        def due() -> None:
            if self.over:
                return
            if self.frozen_until > self.world.schedule.t:
                self.world.schedule.at(self.frozen_until, due)
            else:
                call()

        self.world.schedule.after(seconds, due)

    # --- the machines -----------------------------------------------------------------------------

    def tell(self, report: Report) -> None:
        """One report into the mapping, its decisions out."""
        if self.over:
            return
        self.world.note(self.name, report)
        if isinstance(report, LeaseLost):
            self.world.checker.told_lost(report.decision.lease.shard, report.decision.tenure)
        reaction = self.mapping.react(report, self.clock.now())
        for event in reaction.events:
            if isinstance(event, GapFound):
                self.tell_gap(event)
        for decision in reaction.decisions:
            self.world.note(self.name, decision)
            self._perform(decision)
        self._set_timer()
        if self.mapping.stopped:
            self._leave()

    def tell_gap(self, event: GapFound) -> None:
        """What an operator is told."""
        self.world.checker.gap_told(event.shard, event.tenure, event.gap)

    def _beat(self, report: MembershipReport) -> None:
        if self.over:
            return
        self.world.note(self.name, report)
        for decision in self._membership.react(report, self.clock.now()).decisions:
            self._perform_beat(decision)
        sessions = self._membership.sessions
        if sessions is not None and sessions is not self._told:
            self._told = sessions
            self.tell(sessions)
        self._set_timer()

    def _set_timer(self) -> None:
        wish = min(self.mapping.wake_at_seconds, self._membership.wake_at_seconds)
        if wish == float("inf"):
            return
        # a little late, as a real timer is: the clocks' rounding must not make it early
        t = max(self.clock.t_of(wish), self.world.schedule.t) + 1e-6
        if t >= self._timer_t:
            return
        self._timer_t = t
        self.after(t - self.world.schedule.t, lambda: self._woke(t))

    def _woke(self, t: float) -> None:
        if self._timer_t != t:
            return  # an earlier wish came in between, and was served
        self._timer_t = float("inf")
        second = int(self.world.schedule.t)
        self._woken[second] += 1
        if self._woken[second] > WOKEN_A_SECOND:
            raise Violation(f"W: {self.name} was woken {WOKEN_A_SECOND} times in a second")
        now = self.clock.monotonic_seconds
        if self._membership.wake_at_seconds <= now:
            self._beat(Woke())
        if self.mapping.wake_at_seconds <= now:
            self.tell(Woke())
        self._set_timer()

    def answer(self, key: Hashable, report: Report) -> None:
        """The one answer of the decision behind `key`."""
        self._under_way.remove(key)
        self.tell(report)

    def _begin(self, key: Hashable) -> Hashable:
        if key in self._under_way:
            raise Violation(f"U: {self.name} began {key} twice")
        self._under_way.add(key)
        return key

    # --- performing -------------------------------------------------------------------------------

    def ask(
        self,
        key: Hashable,
        serve: Callable[[], Report],
        decision: Decision,
        fails: float,
        *,
        of: str = "store",
    ) -> None:
        """A call of a service: it may fail, and its answer may get lost though it was applied."""
        odds = self.world.odds
        slow = self.rng.choice((1.0, 2.7, 5.0)) if self.rng.random() < odds.slow_answer / 5 else 0.0
        failing = self.rng.random() < fails
        answer_lost = self.rng.random() < odds.answer_lost
        repeats = self.rng.random() < 0.5
        wait = self.rng.choice((0.1, 0.5, 1.0))

        def serviced() -> None:
            if failing or (of == "store" and self.world.is_within("throttle")):
                report: Report = refused(decision, wait)
            else:
                report = serve()
                if answer_lost:
                    report = serve() if repeats else refused(decision, wait)
            self.after(self.world.lag(of) + slow, lambda: self.answer(key, report))

        sent = self.rng.random() < 0.5  # or the worker dies or freezes with the request in its hand
        later = self.world.schedule.after if sent else self.after
        later(self.world.lag(), serviced)

    def _perform(self, decision: Decision) -> None:
        if self.stopping and not isinstance(decision, Invoke | Discard | Release | Cancel):
            raise Violation(f"S: {self.name} stops and begins {type(decision).__name__}")
        match decision:
            case Survey():
                self._survey(decision)
            case Pin() | Create() | Take() | Forget() | Save() | Finish() | Release():
                self._write(decision)
            case Fetch():
                self._fetch(decision)
            case FindChildren():
                self._find_children(decision)
            case Invoke():
                lane = decision.lease.shard, decision.tenure, decision.batch.lane
                self.calls.invoke(decision, self._begin(("lane", *lane)))
            case Discard():
                lane = decision.lease.shard, decision.tenure, decision.batch.lane
                self.calls.discard(decision, self._begin(("lane", *lane)))
            case Cancel():
                self.calls.cancel(decision)
            case _:
                assert_never(decision)

    def _survey(self, decision: Survey) -> None:
        world, odds = self.world, self.world.odds
        key = self._begin("survey")
        if not decision.list_shards:
            self.ask(
                key, lambda: Surveyed(decision, world.store.read()), decision, odds.write_fails
            )
            return
        if self.rng.random() < odds.listing_fails:
            self.after(world.lag(), lambda: self.answer(key, refused(decision, 1.0)))
            return
        complete = self.rng.random() >= odds.listing_partial
        stale = self.rng.choice((2.0, 6.0)) if self.rng.random() < odds.listing_stale else 0.0
        late = self.rng.choice((1.0, 2.7)) if self.rng.random() < odds.listing_late else 0.0
        hides = self.rng.random() < odds.listing_hides

        def listed() -> None:
            # the shards first: a row that is missing then really is missing
            listing = world.stream.listing(complete=complete, stale_seconds=stale, hides=hides)
            cached_seconds = self.rng.choice((0.0, 0.0, 1.0))

            def read() -> None:
                report: Report = refused(decision, 0.5)
                if not world.is_within("throttle"):
                    report = Surveyed(decision, world.store.read(), listing)
                self.after(world.lag("store"), lambda: self.answer(key, report))

            self.after(cached_seconds + late + world.lag(), read)

        self.after(world.lag(), listed)

    def _write(self, decision: StoreDecision) -> None:
        store, fails = self.world.store, self.world.odds.write_fails
        match decision:
            case Pin(service_seconds=seconds):
                key = self._begin("pin")
                self.ask(key, lambda: Pinned(decision, store.pin(seconds)), decision, fails)
            case Create():
                self._create(decision)
            case Take(lease=lease, session=session):

                def take() -> Report:
                    taken = store.take(lease, session)
                    return Taken(decision, taken) if taken else NotTaken(decision)

                key = self._begin(("row", lease.shard))
                self.ask(key, take, decision, fails)
            case Forget(lease=lease):

                def forget() -> Report:
                    store.forget(lease)
                    return Forgotten(decision)

                key = self._begin(("row", lease.shard))
                self.ask(key, forget, decision, fails)
            case Save() | Finish():
                self._write_held(decision, fails)
            case Release():
                self.world.checker.release_decided(decision.lease.shard, decision.tenure)
                self._write_held(decision, fails)
            case _:
                assert_never(decision)

    def _write_held(self, decision: Save | Finish | Release, fails: float) -> None:
        store, lease, tenure = self.world.store, decision.lease, decision.tenure
        shard = lease.shard

        def serve() -> Report:
            try:
                match decision:
                    case Save(position=position):
                        return Saved(decision, store.advance(lease, position))
                    case Finish(children=children, take=take):
                        taken = store.finish(lease, children, tenure.session, take)
                        return Finished(decision, taken)
                    case Release(position=position):
                        store.release(lease, position)
                        return Released(decision)
            except Lost:
                self.world.checker.lost_lease(shard, tenure)
                return LeaseLost(decision)

        self.ask(self._begin(("write", shard, tenure)), serve, decision, fails)

    def _create(self, decision: Create) -> None:
        leases = decision.leases
        key, world = self._begin("create"), self.world

        def go_on(index: int) -> None:
            if index == len(leases):
                self.answer(key, Created(decision))
            elif self.rng.random() < world.odds.write_fails or world.is_within("throttle"):
                self.answer(key, refused(decision, 0.5))
            else:
                world.store.create(leases[index])
                self.after(world.lag(), lambda: go_on(index + 1))

        self.after(world.lag(), lambda: go_on(0))

    def _fetch(self, decision: Fetch) -> None:
        world, shard, tenure = self.world, decision.lease.shard, decision.tenure
        world.checker.read_decided(shard, tenure, decision.position)
        if shard not in self._readers:
            self._readers[shard] = world.stream.open(shard, self.rng)
        reader = self._readers[shard]
        stingy = self.rng.random() < world.odds.stingy_page

        def read() -> Report:
            try:
                page = reader.fetch(decision.position, decision.limit, stingy=stingy)
            except PositionTrimmed:
                return Trimmed(decision)
            except Gone:
                world.checker.gone_told(shard, tenure)
                return ShardGone(decision)
            return Fetched(decision, page)

        key = self._begin(("fetch", shard, tenure))
        fails = world.odds.fetch_fails
        self.ask(key, read, decision, fails, of="stream")

    def _find_children(self, decision: FindChildren) -> None:
        world, shard, tenure = self.world, decision.lease.shard, decision.tenure
        key = self._begin(("children", shard, tenure))
        self.ask(
            key,
            lambda: ChildrenFound(decision, world.stream.children(shard)),
            decision,
            world.odds.listing_fails,
            of="stream",
        )

    def _perform_beat(self, decision: MembershipDecision) -> None:
        match decision:
            case Beat():
                self._send_beat(decision)
            case Expire(session=session):
                key = self._begin(("expire", session.id))

                def expire() -> None:
                    fails = self.rng.random() < self.world.odds.write_fails
                    fails = fails or self.world.is_within("throttle")
                    dead = not fails and self.world.store.expire(session)
                    report = Expired(decision) if dead else NotExpired(decision)
                    self.after(self.world.lag(), lambda: self._answer_beat(key, report))

                self.after(self.world.lag(), expire)
            case _:
                assert_never(decision)

    def _send_beat(self, decision: Beat) -> None:
        world, store = self.world, self.world.store
        key, sent = self._begin("beat"), self.clock.monotonic_seconds
        slow = (
            self.rng.choice((1.0, 2.7, 5.0)) if self.rng.random() < world.odds.slow_answer else 0.0
        )
        muted = self.muted_until > world.schedule.t
        fails = self.rng.random() < world.odds.write_fails or muted
        answer_lost = self.rng.random() < world.odds.answer_lost

        def sent_off() -> None:
            fails_now = fails or world.is_within("throttle")
            confirmed = None if fails_now else store.beat(decision.session)
            if fails_now or answer_lost:
                self.after(world.lag(), lambda: self._answer_beat(key, refused(decision, 0.5)))
            elif confirmed is None:
                fresh = store.fresh_session()
                self.after(
                    world.lag(), lambda: self._lost_session(key, SessionLost(decision, fresh))
                )
            else:
                self.after(world.lag("store") + slow, lambda: read(confirmed))

        def read(confirmed: Session) -> None:
            report = Beaten(decision, confirmed, store.read_sessions(), sent)
            self.after(world.lag("store"), lambda: self._confirmed(key, report))

        self.world.schedule.after(world.lag(), sent_off)

    def _confirmed(self, key: Hashable, report: Beaten) -> None:
        self.world.checker.beaten(report.session.id, report.sent_at_seconds)
        self._answer_beat(key, report)

    def _lost_session(self, key: Hashable, report: SessionLost) -> None:
        self.world.checker.died(self._session.id)
        self._session = report.fresh
        self.world.checker.joined(report.fresh.id, self.name, self.clock)
        self.world.lost_session(self.name)
        self._answer_beat(key, report)

    def _answer_beat(self, key: Hashable, report: MembershipReport) -> None:
        self._under_way.remove(key)
        self._beat(report)
