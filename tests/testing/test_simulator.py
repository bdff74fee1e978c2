"""A simulation from the user's side: what is written comes through, whatever is done to the world."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from triggerkit import Batch, Change, Context, Discard, Modified, Removed, Triggers
from triggerkit.errors import LocatorError, SimulationError, UsageError
from triggerkit.testing import Simulation

handlers = Triggers("orders")


@handlers.on("dynamodb://orders", batch_size=10)
def notify(event: Any, context: Any) -> None:
    assert event["Records"]
    assert context.get_remaining_time_in_millis() > 0


def test_the_snippet_of_the_documentation() -> None:
    with Simulation(handlers, seed=7) as sim:
        sim.table("orders").put(id="1", status="paid")
        sim.roll("orders")
        sim.fail_next(notify, times=2)
        sim.run_until_idle()
        assert sim.calls(notify).keys == ["1"]
        assert not sim.lost
        assert not sim.out_of_order


def test_each_write_comes_once_in_the_order_of_its_item() -> None:
    with Simulation(handlers) as sim:
        orders = sim.table("orders")
        for number in range(25):
            orders.put(id=str(number % 3), n=number)
            if number % 8 == 7:
                sim.split("orders")
        orders.update(id="0", note="more")
        orders.delete(id="1")
        orders.delete(id="missing")
        sim.run_until_idle()
        records = [record for call in sim.calls("notify") for record in call.records]
        of_zero = [r["dynamodb"] for r in records if r["dynamodb"]["Keys"] == {"id": {"S": "0"}}]
        assert [change["NewImage"]["n"] for change in of_zero] == [
            *({"N": str(number)} for number in range(0, 25, 3)),
            {"N": "24"},
        ]
        assert len(records) == 27
        assert not sim.duplicates
        assert orders.get(id="0") == {"id": "0", "n": 24, "note": "more"}
        assert orders.get(id="1") is None


def test_a_handler_that_fails_is_called_again_with_the_same_records() -> None:
    flaky = Triggers("flaky")
    seen: list[str] = []

    @flaky.on("dynamodb://orders")
    async def second_time(event: Any, context: Any) -> None:
        seen.append(context.aws_request_id)
        await asyncio.sleep(30)
        if len(seen) == 1:
            raise ValueError("not yet")

    with Simulation(flaky) as sim:
        sim.table("orders").put(id="1")
        sim.run_until_idle()
        calls = sim.calls(second_time)
        assert calls.keys == ["1", "1"]
        assert [str(call.error) for call in calls.failed] == ["not yet"]
        assert calls[1].returned
        assert calls[1].at_seconds - calls[0].at_seconds >= 30
        assert not sim.duplicates


def test_typed_handlers_see_their_changes() -> None:
    typed = Triggers("typed")

    @typed.each("dynamodb://orders")
    def changed(change: Modified[dict[str, Any]], context: Context[None]) -> None:
        assert context.trigger == "changed"

    @typed.each("dynamodb://orders")
    def gone(change: Removed[dict[str, Any]]) -> None:
        pass

    @typed.batch("dynamodb://orders", batch_size=2)
    def all_of_them(batch: Batch[Change[dict[str, Any]]]) -> None:
        pass

    with Simulation(typed) as sim:
        orders = sim.table("orders")
        orders.put(id="1", n=1)
        orders.update(id="1", n=2)
        orders.expire(id="1")
        sim.run_until_idle()
        (seen,) = sim.calls(changed).events
        assert (seen.old, seen.new) == ({"id": "1", "n": 1}, {"id": "1", "n": 2})
        (removed,) = sim.calls(gone).events
        assert removed.expired
        assert [len(batch) for batch in sim.calls(all_of_them).events] == [2, 1]
        assert sim.calls(all_of_them).keys == ["1"] * 3


def test_what_is_given_up_is_no_loss_and_its_document_can_be_read() -> None:
    strict = Triggers("strict")

    @strict.each("dynamodb://orders", on_failure="file:failures.jsonl")
    def refuse(change: Change[dict[str, Any]]) -> None:
        if change.keys == {"id": "2"}:
            raise Discard("never")

    with Simulation(strict) as sim:
        for name in ("1", "2", "3"):
            sim.table("orders").put(id=name)
        sim.run_until_idle()
        assert [delivery.key for delivery in sim.discarded] == ["2"]
        assert not sim.lost
        (failure,) = sim.failures
        assert failure.trigger == "refuse"
        assert failure.document["requestContext"]["condition"] == "DiscardedByHandler"
        assert failure.event["Records"][0]["dynamodb"]["Keys"] == {"id": {"S": "2"}}


def test_a_crash_behind_the_work_gives_the_record_again_and_loses_nothing() -> None:
    with Simulation(handlers, workers=2, seed=3) as sim:
        sim.table("orders").put(id="1")
        while not len(sim.calls(notify)):
            sim.advance(0.0005)
        sim.crash(0)
        sim.crash(1, restart_after_seconds=20.0)
        sim.run_until_idle()
        assert set(sim.calls(notify).keys) == {"1"}
        assert not sim.lost
        sim.check()


def test_nothing_is_written_by_a_worker_that_crashed() -> None:
    slow = Triggers("slow")
    ended: list[str] = []

    @slow.on("dynamodb://orders")
    async def wait(event: Any, context: Any) -> None:
        await asyncio.sleep(10)
        ended.append("ended")

    with Simulation(slow) as sim:
        sim.table("orders").put(id="1")
        sim.advance(5)
        sim.crash(restart_after_seconds=None)
        sim.advance(60)
        assert not ended
        assert [delivery.key for delivery in sim.lost] == ["1"]
        with pytest.raises(SimulationError, match="no worker is alive"):
            sim.run_until_idle()
        sim.restart()
        sim.run_until_idle()
        assert ended == ["ended"]


def test_a_silent_worker_s_shards_go_to_another_and_back_to_none() -> None:
    with Simulation(handlers, workers=3) as sim:
        sim.split("orders")
        sim.split("orders")
        sim.run_until_idle()
        sim.crash(0, restart_after_seconds=None)
        sim.table("orders").put(id="1")
        sim.run_until_idle()
        assert sim.calls(notify).keys == ["1"]


def test_a_lifespan_is_entered_by_each_worker_and_left_in_the_end() -> None:
    told: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[list[str]]:
        told.append("enter")
        yield told
        told.append("leave")

    @contextmanager
    def plain() -> Iterator[str]:
        told.append("enter")
        yield "plain"
        told.append("leave")

    for life in (lifespan, plain):
        told.clear()
        group: Triggers[Any] = Triggers("pools", lifespan=life)

        @group.each("dynamodb://orders")
        async def use(change: Change[dict[str, Any]], context: Context[Any]) -> None:
            assert context.resources in (told, "plain")

        with Simulation(group, workers=2) as sim:
            sim.table("orders").put(id="1")
            sim.run_until_idle()
            assert len(sim.calls(use)) == 1
            sim.crash(0)
            sim.advance(1)
        assert told.count("enter") == told.count("leave") == 3


def test_latest_takes_only_what_comes_later() -> None:
    late = Triggers("late", starting_position="LATEST")

    @late.on("dynamodb://orders")
    def tail(event: Any, context: Any) -> None:
        pass

    with Simulation(late) as sim:
        sim.table("orders").put(id="before")
        sim.run_until_idle()
        assert not sim.lost
        sim.advance(2)
        sim.table("orders").put(id="after")
        sim.run_until_idle()
        assert sim.calls(tail).keys == ["after"]


def test_a_long_time_passes_at_once_and_iterators_expire_in_it() -> None:
    with Simulation(handlers) as sim:
        sim.table("orders").put(id="1")
        sim.run_until_idle()
        before = sim.now_seconds
        sim.advance(23 * 3600)
        assert sim.now_seconds - before == pytest.approx(23 * 3600)
        sim.table("orders").put(id="2")
        sim.run_until_idle()
        assert sim.calls(notify).keys == ["1", "2"]


def test_records_older_than_a_day_that_nobody_read_are_told_as_lost() -> None:
    with Simulation(handlers) as sim:
        sim.table("orders").put(id="1")
        sim.run_until_idle()
        sim.crash(restart_after_seconds=None)
        sim.table("orders").put(id="2")
        sim.advance(25 * 3600)
        sim.table("orders").put(id="3")
        sim.restart()
        sim.run_until_idle(limit_seconds=120)
        assert [delivery.key for delivery in sim.lost] == ["2"]
        with pytest.raises(SimulationError, match="seed 0: 1 records are lost"):
            sim.check()


def test_a_handler_that_always_fails_ends_with_its_error() -> None:
    bad = Triggers("bad")

    @bad.on("dynamodb://orders")
    def broken(event: Any, context: Any) -> None:
        raise KeyError("statsu")

    with Simulation(bad) as sim:
        sim.table("orders").put(id="1")
        with pytest.raises(SimulationError, match="broken raised KeyError: 'statsu'"):
            sim.run_until_idle(limit_seconds=60)


def test_a_table_has_the_key_that_the_test_names() -> None:
    with Simulation(handlers) as sim:
        table = sim.table("orders", key="pk:S,sk:N")
        table.put(pk="a", sk=2, tags={"x", "y"}, blob=b"\x00", deep={"list": [1, None, True]})
        sim.run_until_idle()
        assert sim.calls(notify).keys == [("a", 2)]
        assert repr(table) == "SimulatedTable('orders', key='pk:S,sk:N')"
        with pytest.raises(UsageError, match="is there with the key pk:S,sk:N"):
            sim.table("orders", key="id:S")
        with pytest.raises(UsageError, match="PutItem on table 'orders'"):
            table.put(id="1")
        with pytest.raises(UsageError, match="has no item"):
            table.expire(pk="b", sk=1)


def test_tables_are_those_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "triggerkit.toml").write_text(
        'vars = { PREFIX = "dev-" }\n[dev.tables."${PREFIX}orders"]\nkey = "number:N"\n'
        "[triggers.notify]\nbatch_size = 2\n[triggers.other]\nbatch_size = 3\n"
    )
    (tmp_path / "orders_app.py").write_text(
        "from triggerkit import Triggers\n"
        'handlers = Triggers("orders")\n'
        '@handlers.on("dynamodb://${PREFIX}orders")\n'
        "def notify(event, context): pass\n"
        '@handlers.on("dynamodb://${PREFIX}orders")\n'
        "def other(event, context): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with Simulation("orders_app:handlers") as sim:
        for number in range(4):
            sim.table("dev-orders").put(number=number)
        sim.run_until_idle()
        assert [len(call.records) for call in sim.calls("notify")] == [2, 2]
        assert [len(call.records) for call in sim.calls("other")] == [3, 1]
    mine = Triggers("mine")

    @mine.on("dynamodb://${NAME}")
    def notify(event: Any, context: Any) -> None:
        pass

    with Simulation(mine, variables={"NAME": "some-table"}) as sim:
        sim.table("some-table").put(id="1")
        sim.run_until_idle()
        assert sim.calls(notify).keys == ["1"]


def test_misuse_is_refused_with_the_way_out() -> None:
    with Simulation(handlers) as sim:
        with pytest.raises(UsageError, match="no trigger of this simulation"):
            sim.calls("notfy")
        with pytest.raises(UsageError, match="there is no worker 3"):
            sim.crash(3)

        async def inside_a_loop() -> None:
            sim.run_until_idle()

        with pytest.raises(UsageError, match="a loop runs here already"):
            asyncio.run(inside_a_loop())
    with pytest.raises(UsageError, match="it is closed"):
        sim.advance(1)
    with pytest.raises(UsageError, match="there is no fault 'splt'"):
        Simulation(handlers, faults="splt")
    with pytest.raises(UsageError, match="workers=0"):
        Simulation(handlers, workers=0)
    kinesis = Triggers("kinesis")
    kinesis.on("kinesis://clicks", name="clicks")(notify)
    with pytest.raises(LocatorError, match="cannot be simulated"):
        Simulation(kinesis)


def test_boto3_is_never_imported_and_the_package_itself_loads_nothing() -> None:
    look = (
        "import sys; import triggerkit.testing; light = 'asyncio' in sys.modules\n"
        "from triggerkit import Triggers\nfrom triggerkit.testing import Simulation\n"
        "h = Triggers('a'); h.on('dynamodb://t')(lambda event, context: None) if 0 else None\n"
        "@h.on('dynamodb://orders')\ndef f(event, context): pass\n"
        "with Simulation(h) as sim:\n"
        "    sim.table('orders').put(id='1'); sim.run_until_idle(); assert sim.calls(f).keys == ['1']\n"
        "print(light, sorted({'boto3', 'botocore', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", look], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("False []\n", "")


def test_c3_sync_handlers_may_run_a_loop_of_their_own_and_async_ones_run_in_virtual_time() -> None:
    group = Triggers("loops")
    seen: list[object] = []

    async def answer(text: str) -> str:
        await asyncio.sleep(0)
        return text

    @group.on("dynamodb://orders")
    def running(event: Any, context: Any) -> None:
        seen.append(asyncio.run(answer("run")))

    @group.each("dynamodb://orders")
    def getting(change: Change[dict[str, Any]]) -> None:
        seen.append(asyncio.get_event_loop().run_until_complete(answer("get")))

    @group.batch("dynamodb://orders")
    async def waiting(batch: Batch[Change[dict[str, Any]]]) -> None:
        await asyncio.sleep(500)
        seen.append("virtual")

    with Simulation(group, workers=2) as sim:
        sim.table("orders").put(id="1")
        sim.run_until_idle()
        sim.table("orders").put(id="2")
        sim.crash()
        sim.run_until_idle()
        assert not sim.lost
    assert sorted(map(str, seen)) == ["get"] * 2 + ["run"] * 2 + ["virtual"] * 2


def test_c3_a_sync_handler_s_loop_is_one_for_all_its_calls_in_a_simulation() -> None:
    group = Triggers("loops")
    connected: dict[str, Any] = {}

    async def connect() -> asyncio.Event:
        return asyncio.Event()

    @group.on("dynamodb://orders", batch_size=1)
    def keeping(event: Any, context: Any) -> None:
        loop = asyncio.get_event_loop()
        if not connected:
            connected.update(loop=loop, client=loop.run_until_complete(connect()))
        assert loop is connected["loop"]

    with Simulation(group) as sim:
        for number in range(3):
            sim.table("orders").put(id=str(number))
        sim.run_until_idle()
        assert not sim.calls(keeping).failed
    assert connected["loop"].is_closed()


def test_c6_a_simulation_has_lambda_s_variables_until_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "mine")
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    group = Triggers("shop")
    seen: list[tuple[str, str]] = []

    @group.on("dynamodb://orders")
    def reading(event: Any, context: Any) -> None:
        names = ("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION")
        seen.append((os.environ[names[0]], os.environ[names[1]]))

    before = dict(os.environ)
    with Simulation(group) as sim:
        sim.table("orders").put(id="1")
        sim.run_until_idle()
    assert seen == [("reading", "mine")]
    assert dict(os.environ) == before
