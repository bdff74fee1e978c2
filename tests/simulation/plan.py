"""What a world is made of. Rule: one seed, one plan.

A calm world has graceful stops and calls that fail, but no crash, no freeze and no worker that falls silent: in
such a world no record may come twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from simulation.schedule import SERVICE_START_SECONDS
from simulation.stream import StreamNature

from triggerkit.core.coordinator import Cadence
from triggerkit.core.model import LATEST, TRIM_HORIZON, Position, PositionKind
from triggerkit.core.options import MappingOptions


@dataclass(frozen=True, slots=True)
class Odds:
    """How likely each single thing is while the world is troubled; all zero once it is healed."""

    write_fails: float = 0.0
    answer_lost: float = 0.0
    slow_answer: float = 0.0
    fetch_fails: float = 0.0
    stingy_page: float = 0.0
    listing_fails: float = 0.0
    listing_partial: float = 0.0
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
    options: MappingOptions
    start: Position
    stream: StreamNature
    workers: int
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

        A stop waits for no retry, so what other lanes, or other records of the batch, did meanwhile comes again.
        """
        in_order = self.options.parallelization_factor == 1 and not self.one_by_one
        return self.calm and (in_order or not (self.odds.calls_fail or self.poison))


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    rng = Random(seed)
    calm = rng.random() < 0.3
    troubled_seconds = rng.choice((15.0, 25.0, 40.0))
    timed = rng.random() < 0.7
    late_siblings = rng.random() < 0.3
    plan = Plan(
        seed=seed,
        options=_options(rng),
        start=_start(rng),
        stream=StreamNature(
            roots=rng.choice((1, 1, 2, 3)),
            keys=rng.choice((1, 4, 12)),
            timed=timed,
            late_listing=rng.random() < 0.5,
            late_siblings=late_siblings,
        ),
        workers=rng.choice((1, 2, 2, 3)),
        same_host=rng.random() < 0.3,
        calm=calm,
        odds=_odds(rng, calm=calm),
        poison=rng.choice((0.0, 0.0, 0.0, 0.03)),
        cadence=Cadence(audit_seconds=900.0),
        checkpoint_interval_seconds=rng.choice((0.0, 0.0, 1.0)),
        fetch_limit=rng.choice((5, 50, 1000)),
        troubled_seconds=troubled_seconds,
        events=_events(rng, troubled_seconds, calm=calm),
        one_by_one=rng.random() < 0.25,
    )
    if late_siblings or any(event.kind == "days" for event in plan.events):
        # a sibling listed behind its parent's end, or the child of a trimmed shard, waits for an audit
        return replace(plan, cadence=Cadence(audit_seconds=30.0))
    return plan


def _options(rng: Random) -> MappingOptions:
    return MappingOptions(
        batch_size=rng.choice((1, 3, 10)),
        parallelization_factor=rng.choice((1, 1, 3)),
        maximum_batching_window_in_seconds=rng.choice((0, 0, 2)),
        maximum_retry_attempts=rng.choice((-1, 0, 1, 3)),
        maximum_record_age_in_seconds=rng.choice((-1, -1, 60)),
        bisect_batch_on_function_error=rng.random() < 0.4,
        report_batch_item_failures=rng.random() < 0.4,
    )


def _start(rng: Random) -> Position:
    draw = rng.random()
    if draw < 0.65:
        return TRIM_HORIZON
    if draw < 0.9:
        return LATEST
    at_seconds = SERVICE_START_SECONDS + rng.choice((0.0, 3.0))
    return Position(PositionKind.AT_TIMESTAMP, at_seconds=at_seconds)


def _odds(rng: Random, *, calm: bool) -> Odds:
    calls_fail = rng.random() < 0.7
    return Odds(
        write_fails=rng.choice((0.0, 0.05)) if calm else rng.choice((0.0, 0.05, 0.15)),
        answer_lost=rng.choice((0.0, 0.05)) if calm else rng.choice((0.0, 0.05, 0.15)),
        slow_answer=0.0 if calm else rng.choice((0.0, 0.05, 0.3)),
        fetch_fails=rng.choice((0.0, 0.1)),
        stingy_page=rng.choice((0.0, 0.7)),
        listing_fails=rng.choice((0.0, 0.1)),
        listing_partial=rng.choice((0.0, 0.2)),
        call_fails=calls_fail * rng.choice((0.0, 0.1, 0.4)),
        call_throttled=calls_fail * rng.choice((0.0, 0.1)),
        call_partly=calls_fail * rng.choice((0.0, 0.2)),
        call_gives_up=calls_fail * rng.choice((0.0, 0.05)),
        call_long=0.0 if calm else rng.choice((0.0, 0.02)),
        destination_down=rng.choice((0.0, 0.3)),
    )


def _events(rng: Random, troubled_seconds: float, *, calm: bool) -> tuple[Event, ...]:
    events: list[Event] = []
    pause = rng.choice((0.1, 0.2, 0.5))
    t = rng.choice((-3.0, 0.0))  # some records are older than the first worker
    while t < troubled_seconds:
        events.append(Event(t, "put"))
        t += rng.expovariate(1 / pause)

    def some(kind: str, counts: tuple[int, ...]) -> None:
        times = [rng.uniform(0.0, troubled_seconds) for _ in range(rng.choice(counts))]
        events.extend(Event(t, kind) for t in times)

    some("reshard", (0, 1, 2, 4))
    some("stop", (0, 1, 3))
    if not calm:
        some("crash", (0, 1, 3))
        some("freeze", (0, 0, 1, 3))
        some("mute", (0, 0, 1, 3))
        some("trim", (0, 0, 0, 2))
        some("days", (0, 0, 0, 0, 1))
    return tuple(sorted(events, key=lambda event: event.t))
