"""What a world is made of. One seed is one plan; any fifty seeds in a row hold every feature in its share.

Each feature is dealt from a deck of its own, shuffled for every fifty seeds, so that rare features are surely
there and independent ones stay independent. A theme then raises some of them, for faults that matter only
together.

A calm world has graceful stops and calls that fail, but no crash, no freeze and no worker that stops beating:
in such a world no record may come twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from simulation.schedule import SERVICE_START_SECONDS
from simulation.stream import StreamNature

from triggerkit.core.coordinator import Cadence
from triggerkit.core.model import LATEST, TRIM_HORIZON, Position, PositionKind
from triggerkit.core.options import MappingOptions

Value = TypeVar("Value")
DECK = 50
THEMES = {
    "any": 10,
    "race": 6,  # the first survey, while shards come and go
    "old": 6,  # a stream that was resharded before the first worker came
    "merge": 4,
    "evict": 6,  # a shard comes back to a worker that still calls for its earlier stay
    "storm": 5,  # the lease table answers late or not at all
    "retry": 5,
    "age": 2,
    "loss": 2,
    "stop": 4,
}
"""How many seeds of a deck have which theme."""


@dataclass(frozen=True, slots=True)
class Odds:
    """How likely each single thing is while the world is troubled; all zero once it is healed."""

    write_fails: float = 0.0
    answer_lost: float = 0.0
    answer_late: float = 0.0
    slow_answer: float = 0.0
    fetch_fails: float = 0.0
    stingy_page: float = 0.0
    listing_fails: float = 0.0
    listing_partial: float = 0.0
    listing_late: float = 0.0
    listing_stale: float = 0.0
    listing_hides: float = 0.0
    call_fails: float = 0.0
    call_throttled: float = 0.0
    call_partly: float = 0.0
    call_gives_up: float = 0.0
    call_long: float = 0.0
    destination_down: float = 0.0

    @property
    def calls_fail(self) -> bool:
        """Whether any call may end otherwise than well."""
        return any((self.call_fails, self.call_throttled, self.call_partly, self.call_gives_up))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the world does to the stream or to a worker at a moment."""

    t: float
    kind: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is drawn before the first event."""

    seed: int
    theme: str
    options: MappingOptions
    start: Position
    stream: StreamNature
    workers: int
    late_workers: tuple[float, ...]
    """When a worker starts, one of which is drawn for each."""
    same_host: bool
    calm: bool
    odds: Odds
    poison: float
    cadence: Cadence
    checkpoint_interval_seconds: float
    fetch_limit: int
    troubled_seconds: float
    events: tuple[Event, ...]
    one_by_one: bool
    """Whether calls tell the end of each record."""

    @property
    def never_twice(self) -> bool:
        """Whether no record may come twice.

        A stop waits for no retry, and for no lease table that is throttled, so what other lanes, or other records
        of the batch, did meanwhile comes again.
        """
        in_order = self.options.parallelization_factor == 1 and not self.one_by_one
        throttled = any(event.kind == "throttle" for event in self.events)
        return self.calm and (in_order or not (self.odds.calls_fail or self.poison or throttled))

    @property
    def most_unsaved(self) -> float:
        """A batch while another is saved, another that this leaves some room for, and both again meanwhile.

        Lanes that wait for nobody and saves that are rare know no such bound.
        """
        if self.options.parallelization_factor > 1 or self.checkpoint_interval_seconds:
            return float("inf")
        return 4 * self.options.batch_size - 2


class Hand:
    """What the decks deal to one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.rng = Random(seed)
        """For what need not be spread."""

    def each(self, theme: str, *values: Value) -> Value:
        """One after the other of these, to the seeds of this theme in this deck."""
        first = self._seed - self._seed % DECK
        before = sum(Hand(seed).theme == theme for seed in range(first, self._seed))
        return values[before % len(values)]

    @property
    def theme(self) -> str:
        """What meets in this world."""
        return self.deal("theme", *(theme for theme, count in THEMES.items() for _ in range(count)))

    def deal(self, feature: str, *values: Value) -> Value:
        """One of these; a value that is given twice comes twice as often."""
        deck = [values[index % len(values)] for index in range(DECK)]
        Random(f"{feature} {self._seed // DECK}").shuffle(deck)
        return deck[self._seed % DECK]


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    hand = Hand(seed)
    theme = hand.theme
    calm = hand.deal("calm", *(True,) * 3, *(False,) * 7) and theme not in ("evict", "loss")
    if theme == "stop":
        calm = hand.each(theme, True, True, True, False)
    troubled_seconds = hand.deal("troubled", 15.0, 25.0, 40.0)
    late_siblings = hand.deal("late siblings", *(True,) * 3, *(False,) * 7)
    plan = Plan(
        seed=seed,
        theme=theme,
        options=_options(hand),
        start=_start(hand),
        stream=StreamNature(
            roots=hand.deal("roots", 1, 1, 2, 3),
            keys=hand.deal("keys", 1, 4, 12),
            timed=hand.deal("timed", *(True,) * 7, *(False,) * 3),
            late_listing=hand.deal("late listing", True, False),
            late_siblings=late_siblings,
        ),
        workers=hand.deal("workers", 1, 2, 2, 3),
        late_workers=(0.0, 0.0, 0.3, 5.0),
        same_host=hand.deal("same host", *(True,) * 3, *(False,) * 7),
        calm=calm,
        odds=_odds(hand, calm=calm),
        poison=hand.deal("poison", 0.0, 0.0, 0.0, 0.03),
        cadence=Cadence(audit_seconds=900.0),
        checkpoint_interval_seconds=hand.deal("interval", 0.0, 0.0, 1.0),
        fetch_limit=hand.deal("fetch limit", 5, 50, 1000),
        troubled_seconds=troubled_seconds,
        events=_events(hand, troubled_seconds, theme, calm=calm),
        one_by_one=hand.deal("one by one", True, False, False, False),
    )
    plan = _turn_up(plan, hand)
    if not plan.stream.timed:
        # what a listing leaves out is gone or not there yet: without times nobody can tell it from hidden
        plan = replace(plan, odds=replace(plan.odds, listing_stale=0.0, listing_hides=0.0))
    if plan.start.kind is PositionKind.LATEST:
        # two first surveys of one moment, one of them stale, make rows for both ends of a line: nothing can tell
        plan = replace(plan, odds=replace(plan.odds, listing_stale=0.0))
    kinds = {event.kind for event in plan.events}
    if "cleanup" in kinds:
        # rows that are gone and listings that hide, both at once, leave nothing to tell a shard's end from
        plan = replace(plan, odds=replace(plan.odds, listing_stale=0.0, listing_hides=0.0))
    lonely = late_siblings and kinds & {"stop", "crash", "freeze", "mute", "evict"}
    if "days" in kinds or lonely:
        # the child of a trimmed shard waits for an audit, and a late sibling if who ended their parent is gone
        return replace(plan, cadence=Cadence(audit_seconds=30.0))
    return plan


def _options(hand: Hand) -> MappingOptions:
    return MappingOptions(
        batch_size=hand.deal("batch size", 1, 3, 10),
        parallelization_factor=hand.deal("lanes", 1, 1, 3),
        maximum_batching_window_in_seconds=hand.deal("window", 0, 0, 2),
        maximum_retry_attempts=hand.deal("retries", -1, 0, 1, 3),
        maximum_record_age_in_seconds=hand.deal("age", -1, -1, 60),
        bisect_batch_on_function_error=hand.deal("bisect", True, True, False, False, False),
        report_batch_item_failures=hand.deal("report", True, True, False, False, False),
    )


def _start(hand: Hand) -> Position:
    later = Position(PositionKind.AT_TIMESTAMP, at_seconds=SERVICE_START_SECONDS + 3.0)
    at_once = Position(PositionKind.AT_TIMESTAMP, at_seconds=SERVICE_START_SECONDS)
    many = (*(TRIM_HORIZON,) * 13, *(LATEST,) * 5)
    return hand.deal("start", *many, at_once, later)


def _odds(hand: Hand, *, calm: bool) -> Odds:
    calls_fail = hand.deal("calls fail", *(1.0,) * 7, *(0.0,) * 3)

    def troubled(feature: str, *values: float) -> float:
        return hand.deal(feature, *(value for value in values if value <= 0.05 or not calm))

    return Odds(
        write_fails=troubled("write fails", 0.0, 0.05, 0.15),
        answer_lost=troubled("answer lost", 0.0, 0.05, 0.15),
        slow_answer=0.0 if calm else hand.deal("slow answer", 0.0, 0.05, 0.3),
        fetch_fails=hand.deal("fetch fails", 0.0, 0.1),
        stingy_page=hand.deal("stingy page", 0.0, 0.7),
        listing_fails=hand.deal("listing fails", 0.0, 0.1),
        listing_partial=hand.deal("listing partial", 0.0, 0.2),
        listing_late=hand.deal("listing late", 0.0, 0.0, 0.2),
        listing_stale=hand.deal("listing stale", 0.0, 0.0, 0.2),
        listing_hides=hand.deal("listing hides", 0.0, 0.0, 0.2),
        call_fails=calls_fail * hand.deal("call fails", 0.0, 0.1, 0.4),
        call_throttled=calls_fail * hand.deal("call throttled", 0.0, 0.1),
        call_partly=calls_fail * hand.deal("call partly", 0.0, 0.2),
        call_gives_up=calls_fail * hand.deal("call gives up", 0.0, 0.05),
        call_long=0.0 if calm else hand.deal("call long", 0.0, 0.02),
        destination_down=hand.deal("destination down", 0.0, 0.3),
    )


# --- events -----------------------------------------------------------------------------------------

TROUBLES: Mapping[str, tuple[int, ...]] = {
    "crash": (0, 1, 3),
    "freeze": (0, 0, 1, 3),
    "mute": (0, 0, 1, 3),
    "trim": (0, 0, 0, 2),
    "days": (0, 0, 0, 0, 1),
    "slow": (0, 0, 1),
    "evict": (0, 0, 0, 1),
    "cleanup": (0, 0, 1),
}
"""How often each comes, in worlds that are not calm."""
ALWAYS: Mapping[str, tuple[int, ...]] = {
    "reshard": (0, 1, 2, 4),
    "stop": (0, 1, 3),
    "throttle": (0, 0, 1),
    "outage": (0, 0, 1),
    "minutes": (0, 0, 0, 1),
}
MORE: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "merge": {"reshard": (3, 5)},
    "evict": {"evict": (4, 8), "cleanup": (2,), "crash": (0,), "freeze": (0,), "reshard": (2, 4)},
    "storm": {"slow": (2, 3), "throttle": (0, 1), "mute": (0, 1), "stop": (2, 3)},
    "retry": {"crash": (0, 1), "freeze": (0,), "mute": (0,), "outage": (0, 1)},
    "age": {"minutes": (1, 3), "outage": (1,)},
    "loss": {"trim": (3, 6), "days": (0, 0, 1), "crash": (1, 2)},
    "stop": {"stop": (4, 6)},
}
"""What the themes have instead."""


def _events(hand: Hand, troubled_seconds: float, theme: str, *, calm: bool) -> tuple[Event, ...]:
    rng = hand.rng
    events: list[Event] = []
    pause = 0.05 if theme == "stop" else hand.deal("pause", 0.1, 0.2, 0.5)
    t = -3.0 if theme == "old" else hand.deal("first put", -3.0, 0.0)  # before the first worker
    while t < troubled_seconds:
        events.append(Event(t, "put"))
        t += rng.expovariate(1 / pause)

    def some(kind: str, counts: Sequence[int], first: float, last: float) -> None:
        count = hand.deal(f"{kind} at {first}", *counts)
        events.extend(Event(rng.uniform(first, last), kind) for _ in range(count))

    for kind, counts in {**ALWAYS, **TROUBLES, **MORE.get(theme, {})}.items():
        if kind in ALWAYS or not calm:
            some(kind, counts, 0.0, troubled_seconds)
    if theme == "race":
        some("reshard", (1, 2, 3), -1.0, 1.5)
    if theme == "old":
        some("reshard", (2, 3, 5), -2.9, -0.1)
        some("trim", (0, 1, 3), -2.5, -0.1)
        some("days", (0, 0, 1), -1.5, -0.1)
        some("cleanup", (0, 1, 2), 0.0, troubled_seconds)
    return tuple(sorted(events, key=lambda event: event.t))


# --- themes -----------------------------------------------------------------------------------------

RETRY_WAYS = (
    (True, False, False),
    (False, False, True),
    (False, True, False),
    (True, True, False),
    (False, False, False),
)
"""Whether calls report, bisect, or end one by one."""


def _turn_up(plan: Plan, hand: Hand) -> Plan:
    """What must meet, for the theme."""
    match plan.theme:
        case "race" | "old" | "merge":
            return _turn_up_lineage(plan, hand)
        case "retry" | "age" | "loss":
            return _turn_up_failures(plan, hand)
        case _:
            return _turn_up_workers(plan, hand)


def _turn_up_lineage(plan: Plan, hand: Hand) -> Plan:
    odds, stream = plan.odds, plan.stream
    match plan.theme:
        case "race":
            stream = replace(stream, late_listing=True)
            odds = replace(odds, listing_hides=0.3, listing_stale=0.3, listing_late=0.3)
            late = hand.deal("race late", (0.0,), (0.0, 0.3), (0.0, 0.3, 1.0))
            start = hand.deal("race start", LATEST, LATEST, TRIM_HORIZON)
            workers = hand.deal("race workers", 2, 3)
            plan = replace(plan, late_workers=late, start=start, workers=workers)
        case "old":
            hides, partial = hand.each("old", (0.3, 0.0), (0.0, 0.4), (0.3, 0.4))
            odds = replace(odds, listing_hides=hides, listing_partial=partial)
            stream = replace(stream, timed=bool(hides))
            start = hand.each("old", TRIM_HORIZON, TRIM_HORIZON, LATEST, LATEST, TRIM_HORIZON)
            plan = replace(plan, start=start)
        case "merge":
            kinds = ("merge", "merge", "split", "roll")
            roots = hand.deal("merge roots", 2, 3)
            stream = replace(stream, reshards=kinds, roots=roots, late_listing=True)
            odds = replace(odds, listing_late=0.3)
            plan = replace(plan, start=hand.deal("merge start", TRIM_HORIZON, TRIM_HORIZON, LATEST))
    return replace(plan, odds=odds, stream=stream)


def _turn_up_workers(plan: Plan, hand: Hand) -> Plan:
    odds, stream, options = plan.odds, plan.stream, plan.options
    match plan.theme:
        case "evict":
            odds = replace(odds, call_long=0.2, answer_late=0.2)
            interval, lanes = hand.each("evict", (1.0, 1), (0.0, 3), (1.0, 3))
            options = options.model_copy(update={"parallelization_factor": lanes})
            workers = hand.each("evict", 1, 1, 1, 2)
            plan = replace(plan, workers=workers, checkpoint_interval_seconds=interval)
        case "storm":
            slow = 0.0 if plan.calm else 0.3
            odds = replace(odds, call_long=slow / 6, slow_answer=slow)
            plan = replace(plan, workers=hand.deal("storm workers", 2, 3))
        case "stop":
            lanes, clean = hand.each("stop", (3, True), (1, False), (3, True), (3, False))
            size = hand.each("stop", 1, 3, 3, 1)
            options = options.model_copy(
                update={"parallelization_factor": lanes, "batch_size": size}
            )
            if clean:  # nothing may come twice
                odds = replace(odds, call_fails=0.0, call_throttled=0.0, call_partly=0.0)
                odds = replace(odds, call_gives_up=0.0, write_fails=0.05, answer_lost=0.05)
                events = tuple(event for event in plan.events if event.kind != "throttle")
                plan = replace(plan, poison=0.0, events=events, one_by_one=False)
            else:
                odds = replace(odds, write_fails=0.4, answer_lost=0.3, call_fails=0.4)
            stream = replace(stream, keys=12)
            plan = replace(plan, workers=2)
        case _:
            pass
    return replace(plan, odds=odds, stream=stream, options=options)


def _turn_up_failures(plan: Plan, hand: Hand) -> Plan:
    odds, options = plan.odds, plan.options
    match plan.theme:
        case "retry":
            odds = replace(odds, call_fails=0.3, call_partly=0.3, call_throttled=0.1)
            reports, bisects, alone = hand.each("retry", *RETRY_WAYS)
            options = options.model_copy(
                update={
                    "maximum_retry_attempts": hand.each("retry", 1, 3, 1, 3, 0),
                    "bisect_batch_on_function_error": bisects,
                    "report_batch_item_failures": reports,
                    "batch_size": hand.deal("retry size", 3, 10),
                }
            )
            plan = replace(plan, poison=0.05, one_by_one=alone)
        case "age":
            odds = replace(odds, call_fails=0.3, destination_down=0.3)
            options = options.model_copy(update={"maximum_record_age_in_seconds": 60})
        case "loss":
            odds = replace(odds, call_long=0.05, call_fails=0.1)
            plan = replace(plan, start=TRIM_HORIZON)
    return replace(plan, odds=odds, options=options)
