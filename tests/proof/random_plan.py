"""Draws plans. Rule: everything comes from the seed, and nothing from how a plan is carried out."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from proof.plan import (
    CallOdds,
    Event,
    HandlerShape,
    Kind,
    Odds,
    Plan,
    StreamPlan,
    TriggerPlan,
    WorkerPlan,
)

from triggerkit.core.options import MappingOptions

CALM = 0.25
"""So many worlds are calm."""
SQLITE = 0.12
"""So many keep their state in a file; the others in memory, which is faster."""


QUIRKS = ("late-null", "shard-filter-ignored", "explicit-nulls", "no-starting-sequence")
"""Of the emulator's dialects, those that leave a stream readable at all."""


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    rng = Random(f"plan {seed}")
    calm = rng.random() < CALM
    workers = tuple(
        _worker(rng, first=number == 0) for number in range(rng.choice((1, 2, 2, 3, 3)))
    )
    troubled_seconds = rng.choice((8.0, 15.0, 25.0))
    odds = _odds(rng, calm=calm)
    stream = _stream(rng)
    plan = Plan(
        seed=seed,
        workers=workers,
        triggers=tuple(_trigger(rng, calm=calm) for _ in range(rng.choice((1, 1, 1, 2)))),
        events=_events(rng, troubled_seconds, (len(workers), stream.keys), calm=calm),
        odds=odds,
        store="sqlite" if rng.random() < SQLITE else "memory",
        stream=stream,
        same_host=rng.random() < 0.2,
        troubled_seconds=troubled_seconds,
    )
    late = any(event.kind in {"roll", "split"} and event.seconds for event in plan.events)
    if late or stream.lists_late or any(event.kind == "days" for event in plan.events):
        # a child that is listed late, or that of a trimmed shard, may wait for an audit
        return replace(plan, audit_seconds=30.0)
    return plan


def _worker(rng: Random, *, first: bool) -> WorkerPlan:
    return WorkerPlan(
        start_seconds=0.0 if first else rng.choice((0.0, 0.0, 0.3, 3.0)),
        zero_seconds=rng.choice((0.0, 5.0e3, 9.0e5)),
        rate=round(rng.uniform(0.995, 1.005), 5),
        wall_offset_seconds=rng.choice((0.0, -86_400.0, 4.0e8)),
    )


def _stream(rng: Random) -> StreamPlan:
    lag_seconds = rng.choice((0.0, 0.0, 0.0, 1.0, 5.0))
    return StreamPlan(
        shards=rng.choice((1, 1, 2)),
        keys=rng.choice((1, 4, 12)),
        lag_seconds=lag_seconds,
        lag_spread_seconds=rng.choice((0.0, 0.0, 3.0)),
        visible_after_seconds=rng.choice((0.0, 0.0, 0.0, 0.5, 3.0)),
        page_shards=rng.choice((None, None, 1, 2)),
        reordered=rng.random() < 0.2,
        most_readers=rng.choice((None, None, 2)),
        quirks=tuple(quirk for quirk in QUIRKS if rng.random() < 0.1),
    )


def _trigger(rng: Random, *, calm: bool) -> TriggerPlan:
    handlers: tuple[HandlerShape, ...] = ("sync", "async", "async", "each", "async each")
    handler = rng.choice(handlers)
    is_async = handler.startswith("async")
    return TriggerPlan(
        MappingOptions.model_validate(
            {
                "batch_size": rng.choice((1, 3, 10, 100)),
                "parallelization_factor": rng.choice((1, 1, 3)),
                "maximum_batching_window_in_seconds": rng.choice((0, 0, 0, 2)),
                "maximum_retry_attempts": rng.choice((-1, 0, 1, 3)),
                "maximum_record_age_in_seconds": rng.choice((-1, -1, 60)),
                "bisect_batch_on_function_error": rng.random() < 0.4,
                "report_batch_item_failures": rng.random() < 0.5,
                "starting_position": rng.choice(("TRIM_HORIZON", "TRIM_HORIZON", "LATEST")),
                "checkpoint_interval_seconds": rng.choice((None, None, 1.0)),
                "timeout": rng.choice((None, None, 2.0)) if is_async else None,
                "maximum_concurrency": rng.choice((None, None, 2)),
            }
        ),
        handler,
        has_destination=rng.random() < 0.7,
        calls=_call_odds(rng, calm=calm),
    )


def _call_odds(rng: Random, *, calm: bool) -> CallOdds:
    any_fail, wild = float(rng.random() < 0.7), float(not calm)
    return CallOdds(
        fails=any_fail * rng.choice((0.0, 0.1, 0.3)),
        asks_again=any_fail * rng.choice((0.0, 0.05)),
        gives_up=any_fail * rng.choice((0.0, 0.05)),
        partly=any_fail * rng.choice((0.0, 0.2)),
        garbles=any_fail * rng.choice((0.0, 0.03)),
        long=wild * rng.choice((0.0, 0.03, 0.15)),
        poison=any_fail * rng.choice((0.0, 0.0, 0.03)),
    )


def _odds(rng: Random, *, calm: bool) -> Odds:
    wild = float(not calm)
    return Odds(
        write_refused=rng.choice((0.0, 0.05)) if calm else rng.choice((0.0, 0.05, 0.15)),
        answer_lost=rng.choice((0.0, 0.05)) if calm else rng.choice((0.0, 0.05, 0.15)),
        read_refused=rng.choice((0.0, 0.05)),
        slow=wild * rng.choice((0.0, 0.02, 0.1)),
        throttled=rng.choice((0.0, 0.1)),
        unreachable=rng.choice((0.0, 0.05)),
        damaged=rng.choice((0.0, 0.05)),
        stingy=rng.choice((0.0, 0.6)),
        undelivered=wild * rng.choice((0.0, 0.2)),
    )


def _events(
    rng: Random, troubled_seconds: float, of: tuple[int, int], *, calm: bool
) -> tuple[Event, ...]:
    """`of`: how many workers and keys there are."""
    workers, keys = of
    events: list[Event] = []
    at_seconds, pause_seconds = rng.choice((-2.0, 0.0)), rng.choice((0.15, 0.3, 0.6))
    while at_seconds < troubled_seconds:
        kind: Kind = "delete" if rng.random() < 0.1 else "put"
        events.append(Event(round(at_seconds, 3), kind, key=rng.randrange(keys)))
        at_seconds += rng.expovariate(1 / pause_seconds)

    def some(kind: Kind, counts: tuple[int, ...], seconds: tuple[float, ...] = (0.0,)) -> None:
        for _ in range(rng.choice(counts)):
            at_seconds = round(rng.uniform(0.0, troubled_seconds), 3)
            steps = rng.randrange(60) if kind in {"crash", "freeze"} else rng.randint(1, 3)
            what = (rng.randrange(workers), rng.choice(seconds), steps, rng.randrange(8))
            events.append(Event(at_seconds, kind, *what))

    for _ in range(rng.choice((0, 0, 1, 3))):  # resharded before the first worker comes
        kind = rng.choice(("roll", "split"))
        events.append(Event(round(rng.uniform(-2.0, 0.0), 3), kind, key=rng.randrange(8)))
    late = (0.0, 0.0, 1.0, 5.0, 12.0)
    some("roll", (0, 1, 1, 2), late)
    some("split", (0, 0, 1, 2), late)
    some("expire", (0, 0, 1))
    some("repeat", (0, 0, 1))
    some("renew", (0, 0, 0, 0, 1), (0.5, 3.0))
    some("outdate", (0, 0, 1), (2.0, 6.0))
    some("stop", (0, 0, 1, 3), (-1.0, 0.0, 1.0, 4.0))
    some("refuse", (0, 0, 1))
    some("throttle", (0, 0, 1))
    some("outage", (0, 0, 1), (2.0, 8.0))
    if not calm:
        some("crash", (0, 1, 1, 3), (-2.0, -1.0, 0.0, 1.0, 4.0))
        some("freeze", (0, 1, 2, 3), (0.5, 3.0, 4.6, 7.0, 9.0, 15.0))
        some("mute", (0, 0, 0, 2), (4.6, 7.0, 10.0))
        some("stall", (0, 0, 1, 2), (0.5, 3.0, 7.0, 12.0))
        some("lose", (0, 0, 1, 2))
        some("stale", (0, 0, 1), (2.0, 8.0))
        some("trim", (0, 0, 0, 1))
        some("days", (0, 0, 0, 0, 1))
    return tuple(sorted(events, key=lambda event: event.at_seconds))
