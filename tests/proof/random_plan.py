"""Draws plans from seeds.

Each feature is dealt from a deck of its own, shuffled anew for every fifty seeds, so any fifty seeds in a row hold
each value in its share. A theme then sets some features, for things that must meet to matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import TypeVar

from proof.plan import (
    CallOdds,
    Event,
    Kind,
    Odds,
    Plan,
    StreamPlan,
    TriggerPlan,
    WorkerPlan,
)

from triggerkit.core.options import MappingOptions

T = TypeVar("T")

DECK = 50
QUIRKS = ("late-null", "shard-filter-ignored", "explicit-nulls", "no-starting-sequence")
"""Of the emulator's dialects, those that leave a stream readable at all."""
NO_AUDIT_SECONDS = 900.0
AUDIT_SECONDS = 30.0
"""A child that is listed late, or that of a trimmed shard, may wait for a listing without another reason."""


class Hand:
    """What the decks deal to one seed."""

    def __init__(self, seed: int) -> None:
        self._deck, self._card = divmod(seed, DECK)
        self.rng = Random(f"plan {seed}")
        """For what need not be spread."""

    def deal(self, feature: str, *values: T) -> T:
        """One of these; a value that is given twice comes twice as often."""
        deck = [values[index % len(values)] for index in range(DECK)]
        Random(f"{feature} {self._deck}").shuffle(deck)
        return deck[self._card]


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    hand = Hand(seed)
    theme = hand.deal("theme", *(name for name, (count, _) in THEMES.items() for _ in range(count)))
    calm = hand.deal("calm", True, False, False, False) and theme not in NEVER_CALM
    troubled_seconds = hand.deal("troubled", 8.0, 15.0, 25.0)
    stream = _stream(hand)
    workers = tuple(
        _worker(hand.rng, first=number == 0)
        for number in range(hand.deal("workers", 1, 2, 2, 3, 3))
    )
    count = hand.deal("triggers", 1, 1, 1, 2)
    plan = Plan(
        seed=seed,
        workers=workers,
        triggers=tuple(_trigger(hand, number, calm=calm) for number in range(count)),
        odds=_odds(hand, calm=calm),
        store=hand.deal("store", "memory", *("memory",) * 6, "sqlite"),
        stream=stream,
        same_host=hand.deal("same host", True, *(False,) * 4),
        troubled_seconds=troubled_seconds,
        idle_seconds=hand.deal("idle", 0.5, 7.0, 20.0),
    )
    plan = replace(plan, events=_events(hand, plan, theme, calm=calm))
    plan = THEMES[theme][1](plan, hand)
    return _possible(plan)


def _possible(plan: Plan) -> Plan:
    """The same plan without what no worker could cope with."""
    kinds = {event.kind for event in plan.events}
    if "cleanup" in kinds:
        # rows that are gone and listings that leave shards out: nothing is left to tell a shard's end from
        events = tuple(event for event in plan.events if event.kind != "outdate")
        plan = replace(plan, events=events)
    late = any(event.kind in {"roll", "split"} and event.seconds for event in plan.events)
    if late or plan.stream.lists_late or "days" in kinds:
        return replace(plan, audit_seconds=AUDIT_SECONDS)
    return plan


# --- features -------------------------------------------------------------------------------------


def _worker(rng: Random, *, first: bool) -> WorkerPlan:
    return WorkerPlan(
        start_seconds=0.0 if first else rng.choice((0.0, 0.0, 0.3, 3.0)),
        zero_seconds=rng.choice((0.0, 5.0e3, 9.0e5)),
        rate=round(rng.uniform(0.995, 1.005), 5),
        wall_offset_seconds=rng.choice((0.0, -86_400.0, 4.0e8)),
    )


def _stream(hand: Hand) -> StreamPlan:
    return StreamPlan(
        shards=hand.deal("shards", 1, 1, 2),
        keys=hand.deal("keys", 1, 4, 12),
        lag_seconds=hand.deal("lag", 0.0, 0.0, 0.0, 1.0, 5.0),
        lag_spread_seconds=hand.deal("lag spread", 0.0, 0.0, 3.0),
        visible_after_seconds=hand.deal("visible after", 0.0, 0.0, 0.0, 0.5, 3.0),
        page_shards=hand.deal("page shards", None, None, 1, 2),
        reordered=hand.deal("reordered", True, *(False,) * 4),
        most_readers=hand.deal("readers", None, None, 2),
        quirks=tuple(quirk for quirk in QUIRKS if hand.rng.random() < 0.1),
    )


def _trigger(hand: Hand, number: int, *, calm: bool) -> TriggerPlan:
    def deal(feature: str, *values: T) -> T:
        return hand.deal(f"{feature} of {number}", *values)

    handler = deal("handler", "sync", "async", "async", "each", "async each")
    is_async = handler.startswith("async")
    return TriggerPlan(
        MappingOptions.model_validate(
            {
                "batch_size": deal("size", 1, 3, 10, 100),
                "parallelization_factor": deal("lanes", 1, 1, 3),
                "maximum_batching_window_in_seconds": deal("window", 0, 0, 0, 2),
                "maximum_retry_attempts": deal("retries", -1, 0, 1, 3),
                "maximum_record_age_in_seconds": deal("age", -1, -1, 60),
                "bisect_batch_on_function_error": deal("bisect", True, True, False, False, False),
                "report_batch_item_failures": deal("report", True, False),
                "starting_position": deal("start", "TRIM_HORIZON", "TRIM_HORIZON", "LATEST"),
                "checkpoint_interval_seconds": deal("interval", None, None, 1.0),
                "timeout": deal("timeout", None, None, 2.0) if is_async else None,
                "maximum_concurrency": deal("concurrency", None, None, 2),
            }
        ),
        handler,  # type: ignore[arg-type]
        has_destination=deal("destination", *(True,) * 7, *(False,) * 3),
        calls=_call_odds(deal, calm=calm),
    )


def _call_odds(deal: Callable[..., float], *, calm: bool) -> CallOdds:
    any_fail, wild = deal("any fail", *(1.0,) * 7, *(0.0,) * 3), float(not calm)
    return CallOdds(
        fails=any_fail * deal("fails", 0.0, 0.1, 0.3),
        asks_again=any_fail * deal("asks again", 0.0, 0.15),
        gives_up=any_fail * deal("gives up", 0.0, 0.05),
        partly=any_fail * deal("partly", 0.0, 0.2),
        garbles=any_fail * deal("garbles", 0.0, 0.03),
        throttled=any_fail * deal("throttled calls", 0.0, 0.0, 0.1),
        long=wild * deal("long", 0.0, 0.03, 0.15),
        poison=any_fail * deal("poison", 0.0, 0.0, 0.03),
    )


def _odds(hand: Hand, *, calm: bool) -> Odds:
    wild = float(not calm)
    rare = (0.0, 0.05) if calm else (0.0, 0.05, 0.15)
    return Odds(
        write_refused=hand.deal("write refused", *rare),
        answer_lost=hand.deal("answer lost", *rare),
        read_refused=hand.deal("read refused", 0.0, 0.05),
        slow=wild * hand.deal("slow", 0.0, 0.02, 0.1),
        throttled=hand.deal("throttled", 0.0, 0.1),
        unreachable=hand.deal("unreachable", 0.0, 0.05),
        damaged=hand.deal("damaged", 0.0, 0.05),
        stingy=hand.deal("stingy", 0.0, 0.6),
        undelivered=wild * hand.deal("undelivered", 0.0, 0.2),
    )


# --- events ---------------------------------------------------------------------------------------

LATE_SECONDS = (0.0, 0.0, 1.0, 5.0, 12.0)
ALWAYS: Mapping[Kind, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "roll": ((0, 1, 1, 2), LATE_SECONDS),
    "split": ((0, 0, 1, 2), LATE_SECONDS),
    "expire": ((0, 0, 1), (0.0,)),
    "repeat": ((0, 0, 1), (0.0,)),
    "renew": ((0, 0, 0, 0, 1), (0.5, 3.0)),
    "outdate": ((0, 0, 1), (2.0, 6.0)),
    "stop": ((0, 0, 1, 3), (-1.0, 0.0, 1.0, 4.0)),
    "refuse": ((0, 0, 1), (0.0,)),
    "throttle": ((0, 0, 1), (0.0,)),
    "outage": ((0, 0, 1), (2.0, 8.0)),
}
"""How often each comes, one count of these for each world, and how long it lasts."""
TROUBLES: Mapping[Kind, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "crash": ((0, 1, 1, 3), (-2.0, -1.0, 0.0, 1.0, 4.0)),
    "freeze": ((0, 1, 2, 3), (0.5, 3.0, 4.6, 7.0, 9.0, 15.0)),
    "mute": ((0, 0, 0, 2), (4.6, 7.0, 10.0)),
    "stall": ((0, 0, 1, 2), (0.5, 3.0, 7.0, 12.0)),
    "lose": ((0, 0, 1, 2), (0.0,)),
    "stale": ((0, 0, 1), (2.0, 8.0)),
    "trim": ((0, 0, 0, 1), (0.0,)),
    "days": ((0, 0, 0, 0, 1), (0.0,)),
    "evict": ((0, 0, 0, 1), (0.0,)),
    "cleanup": ((0, 0, 1), (0.0,)),
}
"""The same in worlds that are not calm."""
MORE: Mapping[str, Mapping[Kind, tuple[int, ...]]] = {
    "renew": {"renew": (1, 2), "split": (1, 2)},
    "evict": {"evict": (4, 8), "cleanup": (2,), "crash": (0,), "freeze": (0,), "split": (1, 2)},
    "storm": {"mute": (0, 1), "stop": (2, 3), "refuse": (2, 3), "freeze": (0, 1)},
    "retry": {"crash": (0, 1), "freeze": (0,), "mute": (0,), "stall": (0,), "outage": (0, 1)},
    "loss": {"trim": (3, 6), "days": (0, 0, 1), "crash": (1, 2)},
    "stop": {"stop": (4, 6)},
    "drain": {"stop": (3, 4), "crash": (0,), "freeze": (0,), "mute": (0,), "stall": (0,)},
    "cleanup": {"roll": (3,), "crash": (0, 1), "freeze": (0, 1)},
}
"""What themes have instead of these counts."""


class _Drawing:
    """The events of one plan, as they are drawn."""

    def __init__(self, hand: Hand, plan: Plan, theme: str) -> None:
        self.rng = hand.rng
        self.events: list[Event] = []
        self._workers = len(plan.workers)
        self._theme = theme

    def some(
        self,
        kind: Kind,
        count: int,
        first_seconds: float,
        last_seconds: float,
        lasting_seconds: tuple[float, ...] = (0.0,),
    ) -> None:
        """So many of a kind, within a time."""
        rng = self.rng
        for _ in range(count):
            at_seconds = round(rng.uniform(first_seconds, last_seconds), 3)
            steps = rng.randrange(60) if kind in {"crash", "freeze"} else rng.randint(1, 3)
            if kind == "refuse" and self._theme == "storm":
                steps = 20
            seconds = rng.choice(lasting_seconds)
            worker, key = rng.randrange(self._workers), rng.randrange(8)
            self.events.append(Event(at_seconds, kind, worker, seconds, steps, key))

    def write(
        self, first_seconds: float, last_seconds: float, pause_seconds: float, keys: int
    ) -> None:
        """Puts, and a few deletes."""
        at_seconds = first_seconds
        while at_seconds < last_seconds:
            kind: Kind = "delete" if self.rng.random() < 0.1 else "put"
            self.events.append(Event(round(at_seconds, 3), kind, key=self.rng.randrange(keys)))
            at_seconds += self.rng.expovariate(1 / pause_seconds)


def _events(hand: Hand, plan: Plan, theme: str, *, calm: bool) -> tuple[Event, ...]:
    drawing, last_seconds = _Drawing(hand, plan, theme), plan.troubled_seconds
    pause_seconds = 0.1 if theme == "stop" else hand.deal("pause", 0.15, 0.3, 0.6)
    if theme == "pin":
        drawing.write(-2.9, -1.0, pause_seconds, plan.stream.keys)
        drawing.write(5.0, last_seconds, pause_seconds, plan.stream.keys)
    else:
        first_seconds = hand.deal("first put", -2.0, 0.0)
        drawing.write(first_seconds, last_seconds, pause_seconds, plan.stream.keys)
    for _ in range(hand.deal("resharded before", 0, 0, 1, 3)):  # before the first worker comes
        drawing.some(drawing.rng.choice(("roll", "split")), 1, -2.0, 0.0)
    for kind, (counts, seconds) in {**ALWAYS, **({} if calm else TROUBLES)}.items():
        counts = MORE.get(theme, {}).get(kind, counts)
        drawing.some(kind, hand.deal(kind, *counts), 0.0, last_seconds, seconds)
    _add_those_of_theme(drawing, hand, theme, last_seconds)
    return tuple(sorted(drawing.events, key=_moment))


def _add_those_of_theme(drawing: _Drawing, hand: Hand, theme: str, last_seconds: float) -> None:
    """What must happen at its moment."""
    some = drawing.some
    match theme:
        case "pin":
            some("expire", 1, 1.0, 4.0)
            some("crash", 1, 0.5, 3.0, (0.0, 1.0))
        case "race":
            some("put", 40, 0.0, 4.0)
            some("roll", hand.deal("race rolls", 0, 1), -1.0, 1.5, LATE_SECONDS)
            some("split", hand.deal("race splits", 1, 2), -1.0, 1.5, LATE_SECONDS)
            some("outdate", 2, 0.0, 3.0, (2.0, 6.0))
        case "old":
            some("roll", hand.deal("old rolls", 1, 2), -2.9, -0.1)
            some("split", hand.deal("old splits", 1, 2), -2.9, -0.1)
            some("trim", hand.deal("old trims", 0, 1, 3), -2.5, -0.1)
            some("cleanup", hand.deal("old cleanups", 0, 1, 2), 0.0, last_seconds)
        case "storm":  # the remaining worker cannot expire the dead one at first
            some("crash", 1, 0.5, 2.0, (-2.0,))
            some("refuse", 1, 4.0, 8.0)
        case "cleanup":
            some("cleanup", 3, 0.3 * last_seconds, last_seconds)
        case "stop":  # a shard ends while its worker is asked to stop
            for stop in [event for event in drawing.events if event.kind == "stop"]:
                last = max(0.0, stop.at_seconds)
                some(drawing.rng.choice(("roll", "split")), 1, max(0.0, last - 0.7), last)
        case _:
            pass


def _moment(event: Event) -> float:
    return event.at_seconds


# --- themes ---------------------------------------------------------------------------------------


def _with_options(trigger: TriggerPlan, **options: object) -> TriggerPlan:
    """The same with other options."""
    values = {**trigger.options.model_dump(), **options}
    return replace(trigger, options=MappingOptions.model_validate(values))


def _any(plan: Plan, hand: Hand) -> Plan:
    del hand
    return plan


def _race(plan: Plan, hand: Hand) -> Plan:
    """The first survey, while shards come and go, listed late and stale, under several workers."""
    stream = replace(
        plan.stream,
        lag_seconds=hand.deal("race lag", 0.0, 0.0, 1.0, 3.0),
        lag_spread_seconds=hand.deal("race spread", 0.0, 3.0),
    )
    starts = hand.deal("race starts", (0.0,), (0.0, 0.3), (0.0, 0.3, 1.0), (0.0, 1.0, 2.0))
    workers = tuple(
        replace(_worker(hand.rng, first=False), start_seconds=hand.rng.choice(starts))
        for _ in range(hand.deal("race workers", 2, 3))
    )
    start = hand.deal("race start", "LATEST", "LATEST", "TRIM_HORIZON")
    triggers = tuple(_with_options(each, starting_position=start) for each in plan.triggers)
    return replace(plan, stream=stream, workers=workers, triggers=triggers)


def _old(plan: Plan, hand: Hand) -> Plan:
    """A stream that was resharded before the first worker came."""
    start = hand.deal("old start", "TRIM_HORIZON", "TRIM_HORIZON", "LATEST")
    triggers = tuple(_with_options(each, starting_position=start) for each in plan.triggers)
    stream = replace(plan.stream, page_shards=hand.deal("old page", 1, 2, None))
    return replace(plan, triggers=triggers, stream=stream)


def _evict(plan: Plan, hand: Hand) -> Plan:
    """A shard comes back to a worker that still calls for its earlier stay."""
    lanes, interval = hand.deal("evict", (1, 1.0), (3, None), (3, 1.0))
    triggers = tuple(
        replace(
            _with_options(each, parallelization_factor=lanes, checkpoint_interval_seconds=interval),
            calls=replace(each.calls, long=0.2),
        )
        for each in plan.triggers
    )
    workers = plan.workers[: hand.deal("evict workers", 1, 1, 1, 2)]
    return replace(plan, triggers=triggers, workers=workers)


def _storm(plan: Plan, hand: Hand) -> Plan:
    """The lease table answers late or not at all."""
    wild = float(not plan.calm)
    odds = replace(plan.odds, slow=0.15 * wild, write_refused=0.1, read_refused=0.1)
    workers = tuple(
        _worker(hand.rng, first=number == 0) for number in range(hand.deal("storm workers", 2, 3))
    )
    return replace(plan, odds=odds, workers=workers)


def _retry(plan: Plan, hand: Hand) -> Plan:
    """Calls fail in every way; `.each` and partial responses, with and without bisecting."""
    handler, report, bisect = hand.deal(
        "retry way",
        ("async", True, False),
        ("async", False, True),
        ("sync", True, True),
        ("async", True, False),
        ("each", False, False),
        ("sync", False, False),
    )
    options = {
        "maximum_retry_attempts": hand.deal("retry attempts", 1, 3, 1, 3, 0),
        "bisect_batch_on_function_error": bisect,
        "report_batch_item_failures": report,
        "batch_size": hand.deal("retry size", 3, 10),
        "timeout": None,
    }
    calls = CallOdds(fails=0.2, asks_again=0.15, partly=0.4, throttled=0.1, poison=0.05)
    triggers = tuple(
        replace(_with_options(each, **options), handler=handler, calls=calls)  # type: ignore[arg-type]
        for each in plan.triggers
    )
    return replace(plan, triggers=triggers)


def _age(plan: Plan, hand: Hand) -> Plan:
    """Records grow too old while calls fail and the destination is away."""
    triggers = tuple(
        replace(
            _with_options(each, maximum_record_age_in_seconds=60, maximum_retry_attempts=-1),
            calls=replace(each.calls, fails=0.3),
        )
        for each in plan.triggers
    )
    minutes = tuple(
        Event(round(hand.rng.uniform(2.0, plan.troubled_seconds), 3), "minutes", seconds=seconds)
        for seconds in (30.0, 61.0)
    )
    events = sorted((*plan.events, *minutes), key=_moment)
    return replace(plan, triggers=triggers, events=tuple(events))


def _loss(plan: Plan, hand: Hand) -> Plan:
    """Retention takes records that were not read yet."""
    del hand
    triggers = tuple(
        replace(
            _with_options(each, starting_position="TRIM_HORIZON"),
            calls=replace(each.calls, long=0.05, fails=0.1),
        )
        for each in plan.triggers
    )
    return replace(plan, triggers=triggers)


def _lanes(plan: Plan, hand: Hand) -> Plan:
    """Lanes that pass one another, with batches out of several short pages."""
    triggers = tuple(
        replace(
            _with_options(
                each,
                parallelization_factor=3,
                batch_size=10,
                maximum_batching_window_in_seconds=hand.deal("lanes window", 2, 2, 0),
                checkpoint_interval_seconds=None,
                timeout=None,
            ),
            handler=hand.deal("lanes handler", "async", "sync"),
            calls=replace(each.calls, fails=0.3, long=0.1 * (not plan.calm)),
        )
        for each in plan.triggers
    )
    odds = replace(plan.odds, stingy=0.6)
    return replace(plan, triggers=triggers, odds=odds, stream=replace(plan.stream, keys=12))


def _pin(plan: Plan, hand: Hand) -> Plan:
    """A start at LATEST behind old records; its iterator is made anew before the first new one."""
    del hand
    triggers = tuple(_with_options(each, starting_position="LATEST") for each in plan.triggers)
    stream = replace(plan.stream, visible_after_seconds=0.0)
    events = tuple(event for event in plan.events if event.kind != "repeat")
    return replace(plan, triggers=triggers, stream=stream, events=events)


def _cleanup(plan: Plan, hand: Hand) -> Plan:
    """Rows of several generations are gone, and the shards are listed again and again."""
    del hand
    return replace(plan, audit_seconds=5.0)


def _drain(plan: Plan, hand: Hand) -> Plan:
    """Workers that stop while their calls are long, beside others that wait for their shards."""
    triggers = tuple(
        replace(
            _with_options(
                each, timeout=None, parallelization_factor=hand.deal("drain lanes", 1, 3)
            ),
            calls=replace(each.calls, long=0.3),
        )
        for each in (plan.triggers * 2)[:2]
    )
    workers = tuple(_worker(hand.rng, first=number == 0) for number in range(2))
    return replace(plan, triggers=triggers, workers=workers)


def _stop(plan: Plan, hand: Hand) -> Plan:
    """Many stops, with nothing else that may give a record twice, or with much of it."""
    lanes, size, fails = hand.deal("stop", (3, 1, 0.0), (1, 3, 0.4), (3, 3, 0.0), (3, 1, 0.4))
    triggers = tuple(
        replace(
            _with_options(each, parallelization_factor=lanes, batch_size=size),
            calls=CallOdds(fails=fails),
        )
        for each in plan.triggers
    )
    return replace(plan, triggers=triggers, stream=replace(plan.stream, keys=12))


THEMES: Mapping[str, tuple[int, Callable[[Plan, Hand], Plan]]] = {
    "any": (7, _any),
    "race": (7, _race),
    "old": (4, _old),
    "renew": (2, _any),
    "evict": (4, _evict),
    "storm": (4, _storm),
    "retry": (5, _retry),
    "age": (1, _age),
    "loss": (1, _loss),
    "stop": (4, _stop),
    "drain": (4, _drain),
    "lanes": (3, _lanes),
    "pin": (2, _pin),
    "cleanup": (2, _cleanup),
}
"""How many seeds of a deck have which theme, and what it sets."""
NEVER_CALM = frozenset({"evict", "loss", "age", "storm", "drain", "pin", "cleanup"})
