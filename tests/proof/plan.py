"""What a world of whole workers is made of. One seed is one plan; one plan is one world.

A calm world has graceful stops, refused calls, lost answers and handlers that fail, but no crash, no freeze and
no worker that stops beating: in such a world no record may come twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel

from triggerkit.core.options import MappingOptions

Kind: TypeAlias = Literal[
    "put",
    "delete",
    "roll",
    "split",
    "trim",
    "days",
    "expire",
    "crash",
    "freeze",
    "stop",
    "mute",
    "stall",
    "lose",
    "refuse",
    "throttle",
    "stale",
    "outage",
    "outdate",
    "repeat",
    "renew",
    "evict",
    "cleanup",
    "minutes",
]
WORKER_KINDS: Final = frozenset(
    {"crash", "freeze", "stop", "mute", "stall", "lose", "refuse", "throttle", "stale"}
)
"""What happens to one worker; all else happens to the stream, or to everybody."""
HandlerShape: TypeAlias = Literal["sync", "async", "each", "async each"]
StoreKind: TypeAlias = Literal["memory", "sqlite"]


@dataclass(frozen=True, slots=True)
class Odds:
    """How likely each single thing is on the way while the world is troubled; all zero once it is healed."""

    write_refused: float = 0.0
    answer_lost: float = 0.0
    read_refused: float = 0.0
    slow: float = 0.0
    throttled: float = 0.0
    unreachable: float = 0.0
    damaged: float = 0.0
    stingy: float = 0.0
    """A page has fewer records than there are, or none at all."""
    undelivered: float = 0.0
    """A failure record is delivered, and nobody hears of it."""


@dataclass(frozen=True, slots=True)
class CallOdds:
    """How likely calls end otherwise than well while the world is troubled."""

    fails: float = 0.0
    asks_again: float = 0.0
    gives_up: float = 0.0
    partly: float = 0.0
    garbles: float = 0.0
    throttled: float = 0.0
    """The call is not made."""
    long: float = 0.0
    poison: float = 0.0
    """Records that always fail."""

    @property
    def can_fail(self) -> bool:
        """Whether any call may end otherwise than well."""
        odds = (self.fails, self.asks_again, self.gives_up, self.partly, self.garbles)
        return any((*odds, self.throttled, self.poison))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at a moment (seconds since the world began).

    `worker` is whom it happens to. `seconds` is how long it lasts: a freeze, an outage, the time until a crashed
    or stopped worker is started again (-1: not before the world heals, -2: never), until a shard is listed, until
    the stream is on again; of outdated listings it is how old they are. `count` is how many: answers lost, calls
    throttled, records read again; for a crash and a freeze the steps that are still taken, by the next life if
    there is none now. `key` is the item of a put or a delete, which open shard is split, how many writes go well
    before answers get lost.
    """

    at_seconds: float
    kind: Kind
    worker: int = 0
    seconds: float = 0.0
    count: int = 0
    key: int = 0


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One place in the fleet: when it is first started, and how its host's clocks are set.

    Its monotonic clock has another zero and another rate than the world's; its wall clock is wrong by an offset.
    """

    start_seconds: float = 0.0
    zero_seconds: float = 0.0
    rate: float = 1.0
    wall_offset_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """One mapping that every worker runs."""

    options: MappingOptions = field(default_factory=lambda: MappingOptions.model_validate({}))
    handler: HandlerShape = "sync"
    has_destination: bool = True
    calls: CallOdds = field(default_factory=CallOdds)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What the stream is like, as long as the world is troubled; `keys` items are written to.

    A shard is listed `lag_seconds` after it was made, and each by another part of `lag_spread_seconds` later; a
    record can be read `visible_after_seconds` behind its write. `quirks` are those of the emulator's dialects.
    """

    shards: int = 1
    keys: int = 4
    lag_seconds: float = 0.0
    lag_spread_seconds: float = 0.0
    visible_after_seconds: float = 0.0
    page_shards: int | None = None
    reordered: bool = False
    most_readers: int | None = None
    quirks: tuple[str, ...] = ()

    @property
    def lists_late(self) -> bool:
        """Whether shards are listed some time after they were made."""
        return self.lag_seconds + self.lag_spread_seconds > 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is drawn before the first event."""

    seed: int = 0
    workers: tuple[WorkerPlan, ...] = (WorkerPlan(),)
    triggers: tuple[TriggerPlan, ...] = (TriggerPlan(),)
    events: tuple[Event, ...] = ()
    odds: Odds = field(default_factory=Odds)
    store: StoreKind = "memory"
    stream: StreamPlan = field(default_factory=StreamPlan)
    same_host: bool = False
    """The store knows at once when a worker's operating system process is gone."""
    fixed_delays: bool = False
    """Every answer takes the same time, so that a world is as short as it can be."""
    audit_seconds: float = 900.0
    idle_seconds: float | None = None
    """How long the healed fleet has nothing to do before it gets a few records and a new shard; None: never."""
    troubled_seconds: float = 5.0

    @property
    def calm(self) -> bool:
        """Whether nothing happens to workers that they could not tell others of."""
        disturbing = {"crash", "freeze", "mute", "stall", "lose", "stale", "evict", "minutes"}
        return (
            not any(event.kind in disturbing for event in self.events)
            and self.odds.slow == self.odds.undelivered == 0.0
            and not any(trigger.calls.long for trigger in self.triggers)
        )

    def most_unsaved(self, trigger: TriggerPlan) -> float:
        """How many records may be done, or under way, and not saved: what a crash may repeat (I6).

        A batch while another is saved, another that this leaves some room for, and both again meanwhile. Lanes that
        wait for nobody and saves that are rare know no such bound.
        """
        options = trigger.options
        if (
            options.parallelization_factor > 1
            or options.checkpoint_interval_seconds
            or self.store != "memory"
        ):
            return float("inf")
        return 4 * options.batch_size - 2

    def never_twice(self, trigger: TriggerPlan) -> bool:
        """Whether no record may come twice to this trigger.

        A stop waits for no retry, so what other lanes, or other records of the batch, did meanwhile comes again.
        """
        in_order = trigger.options.parallelization_factor == 1 and "each" not in trigger.handler
        return self.calm and (in_order or not trigger.calls.can_fail)


def as_text(value: object) -> str:
    """A plan, or a part of it, as the Python expression that makes it; what is at its default is left out."""
    if isinstance(value, BaseModel):
        given = {
            name: getattr(value, name)
            for name, option in type(value).model_fields.items()
            if getattr(value, name) != option.default
        }
    elif is_dataclass(value) and not isinstance(value, type):
        blank = _Blank()
        given = {
            each.name: getattr(value, each.name)
            for each in fields(value)
            if getattr(value, each.name) != blank.of(value, each.name)
        }
        if isinstance(value, Event):
            return _event_text(given)
    elif isinstance(value, tuple):
        inner = ", ".join(as_text(each) for each in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    else:
        return repr(value)
    inner = ", ".join(f"{name}={as_text(each)}" for name, each in given.items())
    return f"{type(value).__name__}({inner})"


class _Blank:
    """Tells the default of a field."""

    def of(self, value: object, name: str) -> object:
        if isinstance(value, Event):
            return getattr(Event(-1.0, "put"), name) if name not in {"at_seconds", "kind"} else None
        return getattr(type(value)(), name)


def _event_text(given: dict[str, object]) -> str:
    at_seconds, kind = given.pop("at_seconds"), given.pop("kind")
    rest = "".join(f", {name}={each!r}" for name, each in given.items())
    return f"Event({at_seconds!r}, {kind!r}{rest})"
