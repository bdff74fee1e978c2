"""`Worker` runs triggers in a program of the user's own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from components import dummy_client

from triggerkit import Triggers, Worker, events
from triggerkit.emulator import Emulator, RealClock, Server, serve
from triggerkit.errors import NoTriggersError, SourceNotFoundError, TriggerkitError, UsageError
from triggerkit.worker import WorkerSnapshot, WorkerState

WAIT_SECONDS = 120.0


class Orders:
    """A table with a stream on the embedded endpoint, and triggers that keep what they were called with."""

    def __init__(self, server: Server) -> None:
        self.emulator = server.emulator
        self.endpoint_url = endpoint_url = server.endpoint_url
        self.seen: list[str] = []
        self.changed = threading.Event()
        self.handlers = Triggers("shop")
        self.handlers.on("dynamodb://orders", name="notify")(self._handle)
        self._client = dummy_client("dynamodb", endpoint_url)
        self._client.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )

    def close(self) -> None:
        self._client.close()

    def put(self, name: str) -> None:
        self._client.put_item(TableName="orders", Item={"id": {"S": name}})

    def worker(self, *groups: Triggers[Any], **given: Any) -> Worker:
        given = {"state": "memory:", "endpoint_url": self.endpoint_url, **given}
        return Worker(*(groups or (self.handlers,)), **given)

    def wait_for(self, *names: str) -> None:
        """Hold this thread, and a loop that runs on it, until the handler has seen these."""
        until = time.monotonic() + WAIT_SECONDS
        while not set(names) <= set(self.seen):
            assert self.changed.wait(until - time.monotonic()), f"only {self.seen} came"
            self.changed.clear()

    def _handle(self, event: Any, context: Any) -> None:
        self.seen += [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
        self.changed.set()


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orders]:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with serve(Emulator(clock=RealClock())) as server:
        made = Orders(server)
        yield made
        made.close()


def test_it_goes_on_beside_a_program_that_blocks_its_loop(orders: Orders) -> None:
    async def program() -> None:
        async with orders.worker():
            orders.put("o-1")
            orders.wait_for("o-1")

    asyncio.run(program())
    assert orders.seen == ["o-1"]


def test_leaving_drains_and_releases_so_that_it_can_start_again_at_once(orders: Orders) -> None:
    worker = orders.worker(state="sqlite:///state.db")

    async def program(name: str) -> None:
        async with worker:
            orders.put(name)
            orders.wait_for(name)

    asyncio.run(program("o-1"))
    assert worker.snapshot().state is WorkerState.STOPPED
    asyncio.run(program("o-2"))
    assert orders.seen == ["o-1", "o-2"], "what was done before is not done again"


def test_leaving_waits_for_a_handler_that_runs(orders: Orders) -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    @orders.handlers.on("dynamodb://orders")
    def slow(event: Any, context: Any) -> None:
        began.set()
        assert may_end.wait(WAIT_SECONDS)
        ended.set()

    def let_it_end(event: events.Event) -> None:
        if isinstance(event, events.Draining):
            may_end.set()

    async def program() -> None:
        async with orders.worker(observers=[let_it_end]):
            orders.put("o-1")
            assert began.wait(WAIT_SECONDS)
        assert ended.is_set()

    asyncio.run(program())


def test_a_drain_that_runs_out_of_time_is_an_event(orders: Orders) -> None:
    began, may_end = threading.Event(), threading.Event()
    told: list[str] = []

    @orders.handlers.on("dynamodb://orders")
    def stuck(event: Any, context: Any) -> None:
        began.set()
        may_end.wait(WAIT_SECONDS)

    async def program() -> None:
        observer = lambda event: told.append(type(event).__name__)  # noqa: E731
        async with orders.worker(observers=[observer], drain_timeout=0.1):
            orders.put("o-1")
            assert began.wait(WAIT_SECONDS)

    asyncio.run(program())
    may_end.set()
    assert told.index("Draining") < told.index("DrainExpired") < told.index("Stopped")


def test_what_fails_at_the_start_is_raised_where_it_is_entered(orders: Orders) -> None:
    nowhere = Triggers("nowhere")
    nowhere.on("dynamodb://nowhere", name="lost")(lambda event, context: None)
    worker = orders.worker(nowhere)

    async def program() -> None:
        async with worker:
            pytest.fail("it must not start")

    with pytest.raises(SourceNotFoundError, match="nowhere"):
        asyncio.run(program())
    assert worker.snapshot().state is WorkerState.FAILED
    assert isinstance(worker.snapshot().error, SourceNotFoundError)


def test_a_start_that_is_cancelled_leaves_no_worker_behind(orders: Orders) -> None:
    worker = orders.worker()
    barrier = orders.emulator.faults.barrier("DescribeStream")

    async def program() -> None:
        entering = asyncio.ensure_future(worker.__aenter__())
        await asyncio.to_thread(barrier.wait_reached)
        assert worker.snapshot().state is WorkerState.STARTING
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

    try:
        asyncio.run(program())
    finally:
        barrier.release()
    assert worker.snapshot().state is WorkerState.STOPPED
    for thread in threading.enumerate():
        if thread.name == "triggerkit-worker":
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()


def break_down(worker: Worker) -> None:
    """Let the next step of its engine break an invariant."""
    assert worker._life is not None
    assert worker._life._worker is not None
    assert worker._life._loop is not None
    machine = worker._life._worker._assembly.mappings[0].machine

    def react(*_: object) -> None:
        raise AssertionError("a broken invariant")

    worker._life._loop.call_soon_threadsafe(setattr, machine, "react", react)


async def until_ended(worker: Worker) -> WorkerSnapshot:
    async with asyncio.timeout(WAIT_SECONDS):
        while (seen := worker.snapshot()).state not in {WorkerState.STOPPED, WorkerState.FAILED}:
            await asyncio.sleep(0.01)
        return seen


def test_a_worker_that_breaks_is_seen_and_raised_on_leaving(
    orders: Orders, capsys: pytest.CaptureFixture[str]
) -> None:
    async def program() -> None:
        async with orders.worker() as worker:
            break_down(worker)
            seen = await until_ended(worker)
            assert seen.state is WorkerState.FAILED
            assert str(seen.error) == "a broken invariant"

    with pytest.raises(AssertionError, match="a broken invariant"):
        asyncio.run(program())
    assert "worker_failed" in capsys.readouterr().err


def test_an_exception_of_the_program_is_not_hidden_by_one_of_the_worker(orders: Orders) -> None:
    async def program() -> None:
        async with orders.worker() as worker:
            break_down(worker)
            await until_ended(worker)
            raise KeyError("of the program")

    with pytest.raises(KeyError, match="of the program"):
        asyncio.run(program())


def test_beside_a_program_it_leaves_signals_streams_and_environment_alone(orders: Orders) -> None:
    def process() -> tuple[object, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return (*handlers, sys.stdout, sys.stderr, dict(os.environ))

    async def program() -> None:
        before = process()
        async with orders.worker():
            assert process() == before

    asyncio.run(program())


def test_snapshots_may_be_taken_anywhere(orders: Orders) -> None:
    worker: Worker
    taken: dict[str, WorkerSnapshot] = {}

    @orders.handlers.on("dynamodb://orders")
    def look(event: Any, context: Any) -> None:
        taken["handler"] = worker.snapshot()

    def observe(event: events.Event) -> None:
        taken[type(event).__name__] = worker.snapshot()

    worker = orders.worker(observers=[observe], app="other")
    assert worker.snapshot() == WorkerSnapshot(WorkerState.NEW, "other")

    async def program() -> None:
        async with worker:
            taken["program"] = worker.snapshot()
            orders.put("o-1")
            orders.wait_for("o-1")
            async with asyncio.timeout(WAIT_SECONDS):
                while worker.snapshot().counts.records_done < 2:
                    await asyncio.sleep(0.01)

    asyncio.run(program())
    taken["end"] = worker.snapshot()
    states = {name: seen.state.value for name, seen in taken.items()}
    assert states["program"] == states["handler"] == states["BatchDone"] == "running"
    assert states["Draining"] == "draining"
    assert states["end"] == "stopped"
    notify, _ = taken["program"].mappings
    assert notify.startswith("notify:dynamodb/orders/")
    assert taken["end"].counts.records_done == 2
    assert taken["program"].counts.records_done == 0, "a snapshot does not change"


def test_run_with_burst_reads_to_the_tip_and_returns(orders: Orders) -> None:
    orders.put("o-1")
    worker = orders.worker(burst=True, log_level="error")
    worker.run()
    assert orders.seen == ["o-1"]
    assert worker.snapshot().counts.records_done == 1


def test_run_on_another_thread_ends_with_stop(orders: Orders) -> None:
    worker = orders.worker(log_level="error")
    thread = threading.Thread(target=worker.run)
    thread.start()
    orders.put("o-1")
    orders.wait_for("o-1")
    with pytest.raises(UsageError, match="runs already"):
        worker.run()
    worker.stop()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert worker.snapshot().state is WorkerState.STOPPED


def test_run_raises_what_fails_at_the_start(orders: Orders) -> None:
    nowhere = Triggers("nowhere")
    nowhere.on("dynamodb://nowhere", name="lost")(lambda event, context: None)
    with pytest.raises(SourceNotFoundError):
        orders.worker(nowhere, log_level="critical").run()


def test_run_in_a_running_loop_is_refused_and_names_the_other_way(orders: Orders) -> None:
    async def program() -> None:
        with pytest.raises(UsageError, match="would block") as caught:
            orders.worker().run()
        assert "async with" in caught.value.hint

    asyncio.run(program())


SCRIPT = """
import signal, sys
from triggerkit import Triggers, Worker

handlers = Triggers("shop")

@handlers.on("dynamodb://orders")
def notify(event, context):
    print("seen", event["Records"][0]["dynamodb"]["Keys"]["id"]["S"])

def mine(number, frame):
    pass

signal.signal(signal.SIGTERM, mine)
Worker(handlers, state="memory:", log_format="json").run()
assert signal.getsignal(signal.SIGTERM) is mine
print("over", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_a_script(orders: Orders, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    orders.put("o-1")
    environ = {**os.environ, "AWS_ENDPOINT_URL": orders.endpoint_url}
    with subprocess.Popen(
        [sys.executable, "script.py"], env=environ, stdout=-1, stderr=-1, text=True
    ) as script:
        assert script.stderr is not None
        lines = []
        for line in script.stderr:
            lines.append(line)
            if "checkpoint" in line or '"batch_done"' in line:
                script.send_signal(number)
        out = script.communicate(timeout=WAIT_SECONDS)[0]
    log = "".join(lines)
    assert script.returncode == 0, log
    assert out == "over\n", "what handlers print is in the log"
    assert '"handler_printed"' in log
    assert '"stopped"' in log
    assert '"app":"shop"' in log.replace(" ", "")


STUCK = """
import threading
from triggerkit import Triggers, Worker

handlers = Triggers("shop")

@handlers.on("dynamodb://orders")
def stuck(event, context):
    print("stuck")
    threading.Event().wait()

Worker(handlers, state="memory:", log_format="json").run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_script_at_once(
    orders: Orders, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "script.py").write_text(STUCK)
    orders.put("o-1")
    environ = {**os.environ, "AWS_ENDPOINT_URL": orders.endpoint_url}
    with subprocess.Popen(
        [sys.executable, "script.py"], env=environ, stdout=-1, stderr=-1, text=True
    ) as script:
        assert script.stderr is not None
        for line in script.stderr:
            if '"handler_printed"' in line or '"draining"' in line:
                script.send_signal(number)
        script.wait(WAIT_SECONDS)
    assert script.returncode == -number


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"drain_timeout": -1}, "drain_timeout: seconds"),
        ({"drain_timeout": "25"}, "drain_timeout: seconds"),
        ({"drain_timeout": float("nan")}, "drain_timeout: seconds"),
        ({"burst": "yes"}, "burst: True"),
        ({"accept_orphaned": "notify"}, "accept_orphaned: a list"),
        ({"log_level": "loud"}, "debug, info"),
        ({"log_records": True}, "none, keys or full"),
        ({"region": 7}, "region: the AWS Region"),
        ({"endpoint_url": ""}, "endpoint_url: another endpoint"),
        ({"config": 3}, "config: the path"),
        ({"drain_timout": 3}, "drain_timeout"),
        ({"batch_size": 3}, "option of triggers"),
        ({"state": None}, "quotes"),
        ({"observers": [3]}, "function of one event"),
    ],
)
def test_a_flag_that_cannot_be_used_is_refused_and_named(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        Worker(Triggers("shop"), **given)
    assert next(iter(given)) in caught.value.message
    assert told in caught.value.hint


def test_access_flags_that_are_none_are_as_if_they_were_left_out(
    orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", orders.endpoint_url)

    async def program() -> None:
        async with orders.worker(profile=None, region=None, endpoint_url=None):
            orders.put("o-1")
            orders.wait_for("o-1")

    asyncio.run(program())
    assert orders.seen == ["o-1"]


def test_what_are_no_triggers_are_refused() -> None:
    with pytest.raises(UsageError, match="not a Triggers"):
        Worker("app:handlers")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("groups", "given", "error"),
    [
        ((), {}, NoTriggersError),
        ((Triggers("empty"),), {}, NoTriggersError),
        (("a", "b"), {}, UsageError),
        (("a",), {"state": "nowhere://x"}, TriggerkitError),
        (("a",), {"endpoint_url": "no url"}, TriggerkitError),
        (("a",), {"config": "missing.toml"}, UsageError),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_touched(
    groups: tuple[Any, ...],
    given: dict[str, Any],
    error: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    def group(name: Any) -> Triggers[Any]:
        if isinstance(name, Triggers):
            return name
        made: Triggers[None] = Triggers(name)
        made.on("dynamodb://orders", name=f"of-{name}")(lambda event, context: None)
        return made

    with pytest.raises(error):
        Worker(*map(group, groups), log_level="critical", **given).run()
    assert list(tmp_path.iterdir()) == []


def test_several_groups_run_together_under_one_name(orders: Orders) -> None:
    seen = threading.Event()
    other: Triggers[None] = Triggers()
    other.on("dynamodb://orders", name="second")(lambda event, context: seen.set())

    async def program() -> None:
        async with orders.worker(orders.handlers, other) as worker:
            assert worker.snapshot().app == "shop"
            orders.put("o-1")
            orders.wait_for("o-1")
            assert seen.wait(WAIT_SECONDS)

    asyncio.run(program())


def test_burst_beside_a_program_is_refused(orders: Orders) -> None:
    async def program() -> None:
        async with orders.worker(burst=True):
            pytest.fail("it must not start")

    with pytest.raises(UsageError, match="ends by itself"):
        asyncio.run(program())


def test_a_configuration_is_read_only_where_it_is_named(orders: Orders, tmp_path: Path) -> None:
    (tmp_path / "triggerkit.toml").write_text('app = "configured"\n')

    async def program(**given: Any) -> str:
        async with orders.worker(**given) as worker:
            return worker.snapshot().app

    assert asyncio.run(program()) == "shop"
    assert asyncio.run(program(config="triggerkit.toml")) == "configured"
    assert asyncio.run(program(config=tmp_path / "triggerkit.toml", app="said")) == "said"
