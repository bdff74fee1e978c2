"""Every fault that stops a worker is reported once, in time, with its cause; no healthy worker says anything.

The rows of `FAULTS` are the faults that last: the findings B1 to B6, the ports, and the verbs of the emulator. A
verb that is new needs a row, or a line in `PASSING_VERBS` that says why it stops nothing.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from runtime.fakes import FakeInvoker
from runtime.healthy_worlds import warnings_of
from runtime.stall_world import SerialInvoker, StallWorld, always_failing

from triggerkit import Triggers
from triggerkit.core.events import (
    Blocked,
    MovedAgain,
    Operation,
    PageRead,
    ShardTaken,
    StreamReplaced,
    WaitCause,
    Waiting,
)
from triggerkit.core.model import LastFailure
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import Failed, NotInvoked, Outcome, Succeeded
from triggerkit.emulator import EmulatorError
from triggerkit.emulator.control import VERBS
from triggerkit.emulator.faults import Damage
from triggerkit.errors import (
    CredentialsError,
    DestinationError,
    DestinationUnusableError,
    EndpointUnreachableError,
    ListingUnusableError,
    OptionError,
    PermissionDeniedError,
    PositionImpossibleError,
    PositionTrimmedError,
    RequestRefusedError,
    StateError,
    StateUnusableError,
    TriggerkitError,
)
from triggerkit.ports import Invocation, Invoker
from triggerkit.runtime.logs import LogSettings, configure_logging
from triggerkit.testing import Simulation

MANY = 10**6
STORE = ("read", "pin", "create", "take", "advance", "finish", "release", "forget", "beat")
UNREACHABLE = EndpointUnreachableError("no answer", hint="start it")
UNUSABLE = StateUnusableError("the file is damaged", hint="restore it")
LOCKED = StateError("the file is locked")
Act = Callable[[StallWorld], object]


FAILURE = LastFailure("request", "ValueError", "no")


class SlowInvoker(FakeInvoker):
    """Each call takes its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def invoke(self, invocation: Invocation) -> Outcome:
        await asyncio.sleep(self._seconds)
        return await super().invoke(invocation)


def failing_once(outcome: Outcome) -> FakeInvoker:
    """Only the first call ends like that."""
    outcomes = [outcome]
    return FakeInvoker(lambda _: outcomes.pop() if outcomes else Succeeded())


def healed(world: StallWorld) -> None:
    world.traps.heal()
    world.emulator.faults.clear()


@dataclass(frozen=True)
class Fault:
    """A fault that lasts. `before` happens before the worker starts, `strike` when it has run for a minute."""

    name: str
    cause: WaitCause
    strike: Act | None = None
    before: Act | None = None
    heal: Act = healed
    operation: Operation | None = None
    shards: int = 0
    """How many are named."""
    options: dict[str, object] = field(default_factory=dict)
    invoker: Callable[[], Invoker] = FakeInvoker
    world_shards: int = 1
    verb: str = ""

    def open(self) -> StallWorld:
        """A world that the fault has just struck."""
        options = MappingOptions.model_validate(self.options)
        with_loop = StallWorld(options, shards=self.world_shards, invoker=self.invoker())
        with_loop.put(3)
        if self.before is not None:
            self.before(with_loop)
        with_loop.start()
        if self.strike is not None:
            with_loop.run(60.0)
            assert not with_loop.stalls()
            self.strike(with_loop)
        return with_loop


def fail(operation: str, error_type: str, status: int = 400) -> Act:
    error = EmulatorError(error_type, "planned", status)
    return lambda world: world.emulator.faults.fail(operation, error, MANY)


def hang(*names: str) -> Act:
    return lambda world: world.traps.hang(*names)


def trap(error: Exception, *names: str) -> Act:
    return lambda world: world.traps.fail(error, *names)


def both(*acts: Act) -> Act:
    def act(world: StallWorld) -> None:
        for each in acts:
            each(world)

    return act


def put(world: StallWorld) -> None:
    world.put()


def roll(world: StallWorld) -> None:
    world.roll()
    world.put()


def hide_all(world: StallWorld) -> None:
    for shard in world.open_shards():
        world.emulator.faults.hide(shard)


def hide_parent(world: StallWorld) -> None:
    (parent,) = world.open_shards()
    roll(world)
    world.emulator.faults.hide(parent)


def hide_children(world: StallWorld) -> None:
    roll(world)
    hide_all(world)


FAULTS = [
    # --- the service does not answer, or refuses ---
    Fault(
        "b1 GetRecords hangs", WaitCause.REPLY, hang("fetch"), operation=Operation.FETCH, shards=1
    ),
    Fault(
        "b1 DescribeStream hangs",
        WaitCause.REPLY,
        before=hang("list_shards"),
        operation=Operation.SURVEY,
    ),
    Fault(
        "b1 the search for children hangs",
        WaitCause.REPLY,
        both(hang("children"), roll),
        operation=Operation.FIND_CHILDREN,
        shards=1,
    ),
    Fault(
        "b1 everything of four shards hangs",
        WaitCause.REPLY,
        hang("fetch", "list_shards", "children"),
        operation=Operation.FETCH,
        shards=4,
        world_shards=4,
    ),
    Fault(
        "the endpoint is away",
        WaitCause.ERROR,
        trap(UNREACHABLE, "fetch", "list_shards", "children"),
        operation=Operation.FETCH,
        shards=4,
        world_shards=4,
    ),
    Fault(
        "the endpoint is away at the start",
        WaitCause.ERROR,
        before=trap(UNREACHABLE, "fetch", "list_shards", "children"),
        operation=Operation.SURVEY,
    ),
    Fault(
        "GetShardIterator fails",
        WaitCause.ERROR,
        both(
            fail("GetShardIterator", "InternalServerError", 500),
            lambda world: world.emulator.expire_iterators(),
        ),
        operation=Operation.FETCH,
        shards=1,
    ),
    Fault(
        "credentials are refused",
        WaitCause.CREDENTIALS,
        trap(CredentialsError("expired"), "fetch"),
        operation=Operation.FETCH,
        shards=1,
    ),
    Fault(
        "b5 trimmed also at the trim horizon",
        WaitCause.ERROR,
        trap(PositionTrimmedError("trimmed"), "fetch"),
        operation=Operation.FETCH,
        shards=1,
    ),
    # --- listings ---
    Fault(
        "b3 a listing contradicts itself",
        WaitCause.LISTING,
        before=trap(ListingUnusableError("a cycle"), "list_shards"),
        operation=Operation.SURVEY,
    ),
    Fault(
        "b3 a listing is never complete",
        WaitCause.LISTING,
        before=lambda world: world.traps.answer(
            "list_shards", lambda listing: replace(listing, complete=False)
        ),
    ),
    Fault("no shard is listed", WaitCause.LISTING, before=hide_all),
    Fault("b4 a parent is never listed", WaitCause.PARENT, before=hide_parent, shards=1),
    Fault("b2 the table is deleted", WaitCause.LISTING, StallWorld.delete, heal=StallWorld.create),
    Fault("no child is listed", WaitCause.LISTING, hide_children, shards=1),
    # --- the lease store ---
    Fault(
        "the session cannot be renewed",
        WaitCause.LEASE_STORE,
        trap(LOCKED, "beat"),
        operation=Operation.BEAT,
    ),
    Fault(
        "the lease store hangs",
        WaitCause.LEASE_STORE,
        both(hang(*STORE, "read_sessions"), put),
        operation=Operation.BEAT,
    ),
    Fault(
        "the lease store fails",
        WaitCause.LEASE_STORE,
        both(trap(LOCKED, *STORE, "read_sessions"), put),
        operation=Operation.BEAT,
    ),
    Fault(
        "the lease store is away at the start",
        WaitCause.LEASE_STORE,
        before=trap(LOCKED, *STORE, "read_sessions"),
        operation=Operation.BEAT,
    ),
    Fault(
        "positions cannot be saved",
        WaitCause.LEASE_STORE,
        both(trap(LOCKED, "advance"), put),
        operation=Operation.SAVE,
        shards=1,
    ),
    Fault(
        "the end of a shard cannot be saved",
        WaitCause.LEASE_STORE,
        both(trap(LOCKED, "finish"), roll),
        operation=Operation.FINISH,
        shards=1,
    ),
    Fault("leases cannot be created", WaitCause.LEASE_STORE, before=trap(LOCKED, "create")),
    Fault(
        "leases cannot be taken",
        WaitCause.LEASE_STORE,
        before=trap(LOCKED, "take"),
        shards=1,
    ),
    Fault(
        "a free lease is taken by nobody",
        WaitCause.OWNER,
        before=lambda world: world.traps.refuse("take"),
        shards=1,
    ),
    Fault(
        "leases cannot be read",
        WaitCause.LEASE_STORE,
        before=trap(LOCKED, "read"),
        operation=Operation.SURVEY,
    ),
    # --- the rest ---
    Fault(
        "the destination is away",
        WaitCause.DESTINATION,
        both(trap(DestinationError("away"), "send"), put),
        options={"maximum_retry_attempts": 0},
        invoker=always_failing,
        operation=Operation.DISCARD,
        shards=1,
    ),
    Fault(
        "the destination hangs",
        WaitCause.DESTINATION,
        both(hang("send"), put),
        options={"maximum_retry_attempts": 0},
        invoker=always_failing,
        operation=Operation.DISCARD,
        shards=1,
    ),
    # --- verbs of the emulator ---
    Fault(
        "verb throttle",
        WaitCause.ERROR,
        lambda world: world.emulator.faults.throttle("GetRecords", MANY),
        operation=Operation.FETCH,
        shards=1,
        verb="throttle",
    ),
    Fault(
        "verb throttle per second",
        WaitCause.ERROR,
        lambda world: world.emulator.faults.throttle_above("GetRecords", 0.0),
        operation=Operation.FETCH,
        shards=1,
        verb="throttle",
    ),
    Fault(
        "verb limits",
        WaitCause.ERROR,
        lambda world: world.emulator.faults.limit_readers(0),
        operation=Operation.FETCH,
        shards=1,
        verb="limits",
    ),
    Fault(
        "verb fail",
        WaitCause.ERROR,
        fail("GetRecords", "InternalServerError", 500),
        operation=Operation.FETCH,
        shards=1,
        verb="fail",
    ),
    Fault(
        "verb damage",
        WaitCause.ERROR,
        lambda world: world.emulator.faults.damage("GetRecords", Damage.TRUNCATED, MANY),
        operation=Operation.FETCH,
        shards=1,
        verb="damage",
    ),
    Fault(
        "verb latency",
        WaitCause.REPLY,
        lambda world: world.emulator.faults.latency("GetRecords", 100.0),
        operation=Operation.FETCH,
        shards=1,
        verb="latency",
    ),
    Fault(
        "verb empty, on a shard that is closed",
        WaitCause.SHARD_END,
        before=both(lambda world: world.emulator.faults.empty_pages(MANY), roll),
        shards=1,
        verb="empty",
    ),
    Fault(
        "verb delay, on a shard that is closed",
        WaitCause.SHARD_END,
        before=both(lambda world: world.emulator.faults.visibility_delay(1e6), roll),
        shards=1,
        verb="delay",
    ),
    Fault(
        "verb lag",
        WaitCause.LISTING,
        both(lambda world: world.emulator.faults.describe_lag(1e6), roll),
        verb="lag",
    ),
    Fault(
        "verb stale",
        WaitCause.LISTING,
        both(lambda world: world.emulator.faults.stale_listings(MANY, 1e6), roll),
        verb="stale",
    ),
]
BY_NAME = {fault.name: fault for fault in FAULTS}
LATE_TO_HEAL = {"verb latency"}
"""The call that is under way goes on to hang."""

VERBS_ELSEWHERE = {
    "hide": "the rows of listings hide shards",
    "barrier": "a call that is held is a call that hangs: the rows b1",
}
PASSING_VERBS = {
    "advance": "time passes",
    "barriers": "a look",
    "clear": "ends faults",
    "drop": "a shard is gone: what is lost is told by GapFound",
    "duplicate": "records come again, and are left out",
    "expire": "a new iterator is asked for",
    "log": "a look",
    "merge": "shards go on",
    "pages": "smaller pages",
    "ping": "a look",
    "release": "ends a barrier",
    "reorder": "another order of listings",
    "roll": "shards go on",
    "show": "ends hide",
    "split": "shards go on",
    "trim": "what is lost is told by GapFound",
    "ttl": "a write",
}


def test_every_verb_of_the_emulator_has_a_row_or_stops_nothing() -> None:
    covered = {fault.verb for fault in FAULTS} - {""}
    assert covered | VERBS_ELSEWHERE.keys() | PASSING_VERBS.keys() == VERBS.keys()
    assert not covered & PASSING_VERBS.keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_b_a_fault_that_lasts_is_reported_once_in_time_with_its_cause(name: str) -> None:
    fault = BY_NAME[name]
    with fault.open() as world:
        struck = world.clock.monotonic_seconds
        world.run(29.9)
        assert not world.said(Waiting)
        world.run(5.1)
        ((seconds, event),) = world.said(Waiting)
        assert 30.0 <= seconds - struck <= 35.0
        assert (event.cause, event.operation) == (fault.cause, fault.operation)
        assert len(event.shards) == fault.shards
        assert event.detail
        assert event.ends_when
        assert not event.expected
        world.run(35.0)
        assert len(world.said(Waiting)) == 2, "a repeat"
        assert not world.said(Blocked)
        fault.heal(world)
        world.put()
        world.run(60.0)
        ((_, moved),) = [told for told in world.said(MovedAgain) if told[1].reported]
        assert set(event.shards) <= set(moved.shards)
        count = len(world.said(Waiting))
        world.run(600.0)
        assert len(world.said(Waiting)) == count, "it is over"


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - LATE_TO_HEAL))
def test_b_a_fault_that_heals_after_twenty_seconds_is_not_reported(name: str) -> None:
    fault = BY_NAME[name]
    with fault.open() as world:
        world.run(20.0)
        fault.heal(world)
        world.put()
        world.run(200.0)
        assert not world.stalls()


# --- what differs from the table -----------------------------------------------------------------


def test_an_adapter_that_breaks_is_reported_like_any_other_fault() -> None:
    with StallWorld() as world:
        world.traps.fail(KeyError("Records"), "fetch")
        world.start()
        world.run(35.0)
        ((_, event),) = world.said(Waiting)
        assert event.cause is WaitCause.ERROR


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionDeniedError("not allowed", hint="allow it"), Blocked),
        (UNREACHABLE, Waiting),
    ],
    ids=["denied", "unreachable"],
)
def test_d2_a_worker_whose_every_shard_is_refused_says_so_and_reads_nothing(
    error: TriggerkitError, kind: type[Blocked | Waiting]
) -> None:
    with StallWorld(shards=4) as world:
        world.put(10)
        world.traps.fail(error, "fetch")
        world.start()
        world.run(35.0)
        told = [event for _, event in world.said(kind)]
        assert len(told[-1].shards) == 4
        assert len(told) <= 2, "the first at once, and all of them together"
        assert not world.said(PageRead)


def test_b5_a_trim_horizon_that_is_refused_is_not_asked_for_all_the_time() -> None:
    with StallWorld() as world:
        world.traps.fail(PositionTrimmedError("trimmed"), "fetch")
        world.start()
        world.run(600.0)
        assert world.traps.calls["fetch"] <= 80


@pytest.mark.parametrize(
    "error",
    [
        RequestRefusedError("ValidationException: the iterator", hint="check the endpoint"),
        PositionImpossibleError("the number is not of this shard", hint="reset the position"),
        PermissionDeniedError("AccessDeniedException", hint="allow it"),
        OptionError("the option is wrong", hint="write another value"),
        UNUSABLE,
    ],
    ids=["refused", "impossible", "denied", "usage", "state"],
)
@pytest.mark.parametrize("method", ["fetch", "list_shards", "create", "take", "read"])
def test_b6_an_error_that_cannot_pass_is_blocked_at_once_and_rarely_tried(
    method: str, error: TriggerkitError
) -> None:
    with StallWorld() as world:
        world.put()
        world.traps.fail(error, method)
        world.start()
        world.run(2.0)
        ((_, event),) = world.said(Blocked)
        assert (event.cause, event.fix) == (str(error), error.hint)
        before = world.traps.calls[method]
        world.run(1500.0)
        most = 150 if isinstance(error, StateError) else 5
        assert world.traps.calls[method] - before <= most, "once in five minutes, a state in 10 s"
        assert [round(seconds, -1) for seconds, _ in world.said(Blocked)] == [0, 300, 900]
        assert not world.said(Waiting), "one word for one thing"
        world.traps.heal()
        world.run(310.0)
        assert [moved.reported for _, moved in world.said(MovedAgain)] == [True]


def test_b6_a_state_that_has_to_be_repaired_is_one_line_and_beats_keep_their_pace() -> None:
    with StallWorld(shards=4) as world:
        world.start()
        world.run(60.0)
        world.put(40)
        struck = world.clock.monotonic_seconds
        world.traps.fail(UNUSABLE, *STORE, "read_sessions")
        beats = world.traps.calls["beat"]
        world.run(35.0)
        assert world.traps.calls["beat"] - beats >= 30, "its deadline does not wait"
        told = [event for _, event in world.said(Blocked)]
        assert {event.operation for event in told} == {Operation.BEAT, Operation.SAVE}
        assert {(event.cause, event.fix) for event in told} == {(str(UNUSABLE), UNUSABLE.hint)}
        world.run(1000.0)
        times = [
            round(seconds - struck, -1)
            for seconds, event in world.said(Blocked)
            if event.operation is Operation.BEAT
        ]
        assert times == [0, 300, 900]
        assert not world.said(Waiting)
        count = len(world.said(Blocked))
        world.traps.heal()
        world.run(5.0)
        over = [moved.operation for _, moved in world.said(MovedAgain) if moved.reported]
        assert Counter(over) == {Operation.BEAT: 1, Operation.SAVE: 1}
        world.put()
        world.run(2000.0)
        assert len(world.said(Blocked)) == count, "it is over"


@pytest.mark.parametrize("outage_seconds", [3.0, 12.0])
def test_positions_are_saved_soon_after_a_state_that_could_not_be_used(
    outage_seconds: float,
) -> None:
    invoker = FakeInvoker()
    with StallWorld(MappingOptions(batch_size=1), invoker=invoker) as world:
        world.start()
        world.run(60.0)
        world.put(40)
        world.traps.fail(UNUSABLE, *STORE, "read_sessions")
        world.run(outage_seconds)
        world.traps.heal()
        before = world.traps.calls["advance"]
        world.run(10.0)
        assert world.traps.calls["advance"] > before
        assert len(invoker.calls) == 40


def test_b6_a_destination_that_has_to_be_repaired_holds_the_lane_and_says_so_at_once() -> None:
    error = DestinationUnusableError("it is a folder", hint="name a file")
    with StallWorld(MappingOptions(maximum_retry_attempts=0), invoker=always_failing()) as world:
        world.traps.fail(error, "send")
        world.put()
        world.start()
        world.run(5.0)
        ((_, event),) = world.said(Blocked)
        assert (event.operation, event.cause, event.fix) == (
            Operation.DISCARD,
            "it is a folder",
            "name a file",
        )
        world.traps.heal()
        world.run(310.0)
        assert [moved.reported for _, moved in world.said(MovedAgain)] == [True]


def test_b6_forty_shards_that_are_refused_alike_are_one_line_and_their_number() -> None:
    with StallWorld(shards=40) as world:
        world.traps.fail(RequestRefusedError("no"), "fetch")
        world.start()
        world.run(200.0)
        assert [len(event.shards) for _, event in world.said(Blocked)] == [1, 40]


def test_b_forty_shards_that_stop_and_move_are_five_lines_in_the_log() -> None:
    stream = io.StringIO()
    restore = configure_logging(LogSettings("json", "info"), stream)
    try:
        with StallWorld(shards=40) as world:
            world.start()
            world.run(60.0)
            world.traps.fail(UNREACHABLE, "fetch", "list_shards", "children")
            world.run(75.0)
            world.traps.heal()
            world.run(60.0)
    finally:
        restore()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [(line["event"], line.get("shards", 1)) for line in lines]
    assert [each for each in told if each[0] != "lease_taken"] == [
        ("will_retry", 1),
        ("will_retry", 40),
        ("waiting", 40),
        ("waiting", 40),
        ("recovered", 40),
    ]


# --- tables that are made anew -------------------------------------------------------------------


@pytest.mark.parametrize("act", [StallWorld.make_anew, StallWorld.wipe], ids=["table", "endpoint"])
def test_b2_a_table_that_is_made_anew_is_followed_within_fifteen_seconds_without_a_warning(
    act: Act,
) -> None:
    with StallWorld(shards=2) as world:
        world.put(10)
        world.start()
        world.run(60.0)
        act(world)
        world.put(10)
        read = sum(page.records for _, page in world.said(PageRead))
        world.run(15.0)
        assert sum(page.records for _, page in world.said(PageRead)) - read == 10
        world.run(600.0)
        assert not world.stalls()


def test_a_table_that_is_made_anew_under_a_worker_is_one_event_and_one_line() -> None:
    stream = io.StringIO()
    restore = configure_logging(LogSettings("json", "info"), stream)
    try:
        with StallWorld(shards=2) as world:
            world.start()
            world.run(60.0)
            assert not world.said(StreamReplaced)
            world.make_anew()
            world.run(60.0)
            ((_, event),) = world.said(StreamReplaced)
            shards = [taken.shard for _, taken in world.said(ShardTaken)]
            assert shards[-1].startswith(f"{event.stream}:")
            assert not shards[0].startswith(f"{event.stream}:")
    finally:
        restore()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "stream_replaced"]
    assert (line["level"], line["trigger"], line["stream"]) == ("info", "notify", event.stream)


# --- handlers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [FakeInvoker, SerialInvoker], ids=["async", "sync"])
def test_b9_a_handler_that_blocks_is_one_line_that_names_the_call(
    make: Callable[[], FakeInvoker],
) -> None:
    invoker = make()
    with StallWorld(shards=4, invoker=invoker) as world:
        world.start()
        world.run(60.0)
        invoker.gate = asyncio.Event()
        world.put(40)
        struck = world.clock.monotonic_seconds
        world.run(299.0)
        assert not world.said(Waiting)
        world.run(6.0)
        ((seconds, event),) = world.said(Waiting)
        assert 300.0 <= seconds - struck <= 305.0
        assert event.cause is WaitCause.HANDLER
        assert event.expected, "information, and no warning"
        assert len(event.shards) == 4
        first = invoker.calls[0]
        assert event.detail == (
            f"call {first.request_id} of {len(first.batch)} records has not returned"
        )
        world.run(300.0)
        assert len(world.said(Waiting)) == 2, "nothing else is said of shards that wait for it"
        invoker.gate.set()
        world.run(600.0)
        assert [moved.reported for _, moved in world.said(MovedAgain)] == [True]
        assert len({call.request_id for call in invoker.calls}) == len(invoker.calls)


def test_b9_a_handler_that_outlives_its_timeout_is_a_warning_after_thirty_seconds_more() -> None:
    invoker = FakeInvoker()
    with StallWorld(MappingOptions(timeout=60), invoker=invoker) as world:
        invoker.gate = asyncio.Event()
        world.put()
        world.start()
        world.run(89.0)
        assert not world.said(Waiting)
        world.run(6.0)
        ((_, event),) = world.said(Waiting)
        assert event.cause is WaitCause.HANDLER
        assert not event.expected


# --- what is expected ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "invoker"),
    [
        ({"maximum_batching_window_in_seconds": 300, "batch_size": 100}, FakeInvoker),
        ({}, lambda: failing_once(Failed(FAILURE, retry_after_seconds=250.0))),
        ({}, lambda: failing_once(NotInvoked("throttled", 250.0))),
        ({}, always_failing),
        ({}, lambda: SlowInvoker(250.0)),
        ({"timeout": 400}, lambda: SlowInvoker(380.0)),
    ],
    ids=["window", "retry after", "announced backoff", "failures", "slow", "within its timeout"],
)
def test_b_what_is_expected_to_last_is_never_reported(
    options: dict[str, object], invoker: Callable[[], Invoker]
) -> None:
    with StallWorld(MappingOptions.model_validate(options), invoker=invoker()) as world:
        world.put(3)
        world.start()
        for _ in range(6):
            world.run(100.0)
            world.put()
        world.run(600.0)
        assert not world.stalls()


def test_b_a_trigger_that_is_disabled_is_never_reported() -> None:
    handlers: Triggers[None] = Triggers("shop")
    handlers.on("dynamodb://orders", name="on")(nothing)
    handlers.on("dynamodb://users", name="off", enabled=False)(nothing)
    stream = io.StringIO()
    restore = configure_logging(LogSettings("json", "info"), stream)
    try:
        with Simulation(handlers) as sim:
            for table in ("orders", "users"):
                sim.table(table).put(id="1")
            sim.advance(600.0)
            sim.roll("users")
            sim.advance(600.0)
            assert sim.calls("on").keys == ["1"]
    finally:
        restore()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {line.get("trigger") for line in lines} == {"on"}
    assert {line["level"] for line in lines} == {"info"}


def nothing(event: object, context: object) -> None:
    """A handler."""


def test_b_a_stream_without_records_is_never_reported() -> None:
    with StallWorld(shards=4) as world:
        world.start()
        world.run(4000.0)
        assert not world.stalls()


@pytest.mark.parametrize("seed", range(50))
def test_b_a_healthy_world_has_no_warning(seed: int) -> None:
    assert not warnings_of(seed), f"seed {seed}"
