"""Real workers under faults that real machines have: nothing is lost, order holds, duplicates are bounded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from components import (
    DynamoDBLocal,
    Microburst,
    running_dynamodb_local,
    running_microburst,
)
from e2e.fault_world import FaultWorld, tails, wait_seconds
from e2e.harness import Running

from triggerkit.core.membership import MARGIN_SECONDS, SILENCE_SECONDS

pytestmark = [pytest.mark.real, pytest.mark.slow]

WRITES = 1000
TAKE_OVER_SECONDS = SILENCE_SECONDS - 1.0
"""Below two on an idle machine; from a worker that says nothing it would take longer than its silence."""
MEMBERSHIP_DEADLINE_SECONDS = SILENCE_SECONDS - MARGIN_SECONDS
SAVES_UNDER_WAY = 2
"""Batches that a worker may lose the account of: the one that runs, and the one that is being saved."""


@contextmanager
def pair(world: FaultWorld) -> Iterator[tuple[Running, Running]]:
    """Two workers on one state file: the one that has the only shard, and the one that waits."""
    with world.running() as first:
        first.until_logged("lease_taken")
        with world.running() as second:
            wait_seconds(
                lambda: "LIVE" in world.sessions().get(second.process.pid, []),
                lambda: tails(second),
            )
            yield first, second


def stop(*workers: Running) -> None:
    for worker in workers:
        worker.signal(signal.SIGTERM)
    for worker in workers:
        done = worker.wait()
        assert done.code == 0, done.stderr[-3000:]


def taken(worker: Running) -> int:
    return len(worker.logged("lease_taken"))


def test_sigterm_of_a_busy_worker_hands_over_before_its_silence_would_and_without_duplicates(
    dynamodb_local: DynamoDBLocal, tmp_path: Path
) -> None:
    world = FaultWorld(tmp_path, dynamodb_local.endpoint_url, "handed", pace_seconds=0.02)
    world.create_table()
    with pair(world) as (first, second):
        writer = world.write(WRITES)
        world.until_delivered(first, second, all_of=200)
        asked_at = time.monotonic()
        first.signal(signal.SIGTERM)
        wait_seconds(lambda: taken(second) == 1, lambda: tails(first, second))
        took = time.monotonic() - asked_at
        assert first.wait().code == 0
        writer.join()
        world.until_delivered(first, second)
        last_of_first = max(each.noted for each in world.by(first))
        gap = min(each.begun for each in world.by(second)) - last_of_first
        print(
            f"SIGTERM: the other has the lease after {took:.2f} s, calls again after {gap:.2f} s;"
            f" {len(world.by(first))} and {len(world.by(second))} records"
        )
        stop(second)
    assert world.check() == 0
    assert took <= TAKE_OVER_SECONDS


def freeze(world: FaultWorld, worker: Running) -> None:
    """SIGSTOP, but not within a transaction: that would stop everybody, and expire nobody."""
    while True:
        worker.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, worker.process.pid, os.WSTOPPED)  # until its last thread stands still
        if world.write_lock_is_free():
            return
        worker.signal(signal.SIGCONT)


def test_a_frozen_worker_that_comes_back_starts_no_call_and_joins_anew(
    dynamodb_local: DynamoDBLocal, tmp_path: Path
) -> None:
    world = FaultWorld(tmp_path, dynamodb_local.endpoint_url, "frozen", pace_seconds=0.05)
    world.create_table()
    with pair(world) as (first, second):
        writer = world.write(WRITES)
        world.until_delivered(first, second, all_of=200)
        freeze(world, first)
        frozen_at = time.monotonic()
        took = wait_seconds(lambda: taken(second) == 1, lambda: tails(first, second))
        wait_seconds(lambda: time.monotonic() > frozen_at + 10, lambda: "ten seconds")
        thawed_at = time.monotonic()
        first.signal(signal.SIGCONT)
        back = wait_seconds(
            lambda: world.sessions()[first.process.pid] == ["DEAD", "LIVE"],
            lambda: f"{world.sessions()}\n{tails(first, second)}",
        )
        writer.join()
        world.until_delivered(first, second)
        late = [each for each in world.by(first) if each.noted >= thawed_at]
        assert not [each for each in late if each.begun > frozen_at], "a call past the deadline"
        assert len(late) <= world.batch_size
        first.until_logged("session_lost")
        stop(second)
        world.write(100).join()
        world.until_delivered(first)  # under its new session it is as good as any
        stop(first)
        assert len(first.logged("session_lost")) == 1
    duplicates = world.check()
    print(
        f"SIGSTOP: taken over after {took:.1f} s, back {back:.2f} s after SIGCONT,"
        f" {len(late)} late records, {duplicates} duplicates"
    )
    assert duplicates <= SAVES_UNDER_WAY * world.batch_size


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount(8) here")
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a small disk needs the right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room; the file to remove."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as stream:
        while stream.write(b"x" * 4096):
            pass
    return filler


def test_a_full_disk_pauses_the_worker_which_says_so_once_and_goes_on_when_there_is_room(
    dynamodb_local: DynamoDBLocal, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        world = FaultWorld(
            tmp_path, dynamodb_local.endpoint_url, "full", pace_seconds=0.1, state=disk / "state.db"
        )
        world.create_table()
        with world.running() as worker:
            writer = world.write(WRITES)
            world.until_delivered(worker, all_of=200)
            filler = fill(disk)
            full_at = time.monotonic()
            worker.until_logged("will_retry", operation="Beat")
            wait_seconds(
                lambda: time.monotonic() > world.deliveries()[-1].noted + 2, lambda: "a pause"
            )
            acted = world.deliveries()[-1].noted - full_at
            seen = world.distinct
            assert seen < WRITES, "the pause came too late to show anything"
            filler.unlink()
            back = wait_seconds(lambda: world.distinct > seen, lambda: tails(worker))
            writer.join()
            world.until_delivered(worker)
            told = [
                (entry["event"], entry.get("operation"))
                for entry in worker.logs
                if entry["level"] != "info" or entry["event"] == "recovered"
            ]
            hints = [entry["hint"] for entry in worker.logged("will_retry", operation="Beat")]
            stop(worker)
    print(
        f"disk full: calls for {acted:.1f} s more, again {back:.2f} s after there is room; {told}"
    )
    assert sorted(told) == [
        ("recovered", "Beat"),
        ("recovered", "Save"),
        ("will_retry", "Beat"),
        ("will_retry", "Save"),
    ]
    assert hints == ["free some space on that disk"]
    assert acted <= MEMBERSHIP_DEADLINE_SECONDS + 1  # the last call began before the deadline
    assert world.check() == 0


def test_an_endpoint_that_is_killed_and_comes_back_is_read_on_where_it_was(tmp_path: Path) -> None:
    with running_dynamodb_local(tmp_path) as server:
        world = FaultWorld(tmp_path, server.endpoint_url, "restarted", pace_seconds=0.02)
        world.create_table()
        with world.running() as worker:
            world.write(300).join()
            world.until_delivered(worker, all_of=200)
            server.kill()
            killed_at = time.monotonic()
            worker.until_logged("will_retry", operation="Fetch")
            wait_seconds(lambda: time.monotonic() > killed_at + 10, lambda: "ten seconds")
            server.start()
            started_at = time.monotonic()
            writer = world.write(150)
            worker.until_logged("recovered", operation="Fetch")
            back = time.monotonic() - started_at
            writer.join()
            world.until_delivered(worker)
            told = [(e["event"], e.get("operation")) for e in worker.logs if "operation" in e]
            stop(worker)
    print(
        f"endpoint: away for {started_at - killed_at:.1f} s, read again after {back:.1f} s; {told}"
    )
    assert told == [("will_retry", "Fetch"), ("recovered", "Fetch")]
    assert world.check() == 0


FAULTS: dict[str, dict[str, Any]] = {
    "error:LimitExceededException": {"error": {"code": "LimitExceededException"}},
    "response:truncate": {"response": {"truncate_frac": 0.5}},
    "reset": {"reset": True},
    "error:ThrottlingException": {"error": {"code": "ThrottlingException", "status": 400}},
    "response:corrupt:8B": {"response": {"corrupt_bytes": 8}},
    "error:InternalServerError": {"error": {"code": "InternalServerError", "status": 500}},
    "response:abort": {"response": {"abort_frac": 0.5}},
    "error:ServiceUnavailable": {"error": {"code": "ServiceUnavailable", "status": 503}},
    "latency:300ms": {"latency": 300},
}
"""By the name that each has in the log of what was really done."""
EXPIRED = {"error": {"code": "ExpiredIteratorException"}}
START, LISTING = {"body": "Limit == `1`"}, {"body": "Limit == `100`"}
"""DescribeStream is called to look whether the stream is there, and to list its shards."""


def rule(operation: str, fault: dict[str, Any], times: int = 1, **when: Any) -> dict[str, Any]:
    """So many calls of an operation go wrong; the first rule that applies to a call counts."""
    return {"service": "dynamodbstreams", "operation": operation, "times": times, **when, **fault}


@pytest.fixture
def microburst(dynamodb_local: DynamoDBLocal) -> Iterator[Microburst]:
    with running_microburst(dynamodb_local.endpoint_url) as proxy:
        yield proxy


@pytest.mark.parametrize("transport", ["fast", "botocore"])
def test_a_bad_way_to_the_service_costs_time_and_no_record(
    transport: str, dynamodb_local: DynamoDBLocal, microburst: Microburst, tmp_path: Path
) -> None:
    table = f"burst-{transport}"
    world = FaultWorld(
        tmp_path, microburst.endpoint_url, table, f"dynamodb://{table}?transport={transport}"
    )
    world.create_table(dynamodb_local.endpoint_url)
    microburst.break_calls(
        [
            rule("DescribeStream", FAULTS["error:ThrottlingException"], **START),
            rule("DescribeStream", FAULTS["response:truncate"], **START),
            *[rule("DescribeStream", fault, **LISTING) for fault in FAULTS.values()],
        ]
    )
    with world.running() as worker:
        world.write(WRITES // 10, dynamodb_local.endpoint_url).join()
        world.until_delivered(worker)
        slowest = ("", 0.0)
        for name, fault in FAULTS.items():
            microburst.break_calls(
                [
                    rule("GetRecords", EXPIRED),
                    rule("GetShardIterator", fault),
                    rule("GetRecords", fault, times=2),
                ]
            )
            since = time.monotonic()
            world.write(WRITES // 10, dynamodb_local.endpoint_url).join()
            wanted = {("GetShardIterator", name): 1, ("GetRecords", name): 2}
            wait_seconds(lambda w=wanted: fired(microburst) >= Counter(w), lambda: tails(worker))
            world.until_delivered(worker)
            slowest = max(slowest, (name, time.monotonic() - since), key=lambda pair: pair[1])
        unknown = [entry for entry in worker.logs if "exception" in entry]
        stop(worker)
    done = fired(microburst)
    print(
        f"microburst, {transport}: {done.total()} faults, slowest {slowest[0]} {slowest[1]:.1f} s"
    )
    assert done.keys() >= {
        *product(("DescribeStream", "GetShardIterator", "GetRecords"), FAULTS),
        ("GetRecords", "error:ExpiredIteratorException"),
    }
    assert not unknown, unknown[0]["exception"]
    assert world.check() == 0


def fired(proxy: Microburst) -> Counter[tuple[str, str]]:
    """What was really done so far: operation and fault."""
    return Counter((each["operation"], each["action"]) for each in proxy.fired())


def test_a_handler_that_ends_its_process_is_followed_by_another_worker_or_life(
    dynamodb_local: DynamoDBLocal, tmp_path: Path
) -> None:
    world = FaultWorld(tmp_path, dynamodb_local.endpoint_url, "exits", pace_seconds=0.01)
    world.create_table()
    with pair(world) as (first, second):
        writer = world.write(WRITES)
        world.until_delivered(first, second, all_of=200)
        world.order("exit")
        assert first.wait().code == 77
        took = wait_seconds(lambda: taken(second) == 1, lambda: tails(second))
        world.until_delivered(second, all_of=500)
        world.order("exit")
        assert second.wait().code == 77
    with world.running() as third:
        writer.join()
        world.until_delivered(third)
        stop(third)
    duplicates = world.check()
    print(f"os._exit: taken over after {took:.2f} s; two deaths, {duplicates} duplicates")
    assert duplicates <= 2 * SAVES_UNDER_WAY * world.batch_size


@pytest.mark.parametrize("fault", ["spin", "hold"])
def test_a_handler_that_keeps_the_gil_loses_nothing_whoever_goes_on(
    fault: str, dynamodb_local: DynamoDBLocal, tmp_path: Path
) -> None:
    world = FaultWorld(tmp_path, dynamodb_local.endpoint_url, f"gil-{fault}", pace_seconds=0.02)
    world.create_table()
    with pair(world) as (first, second):
        writer = world.write(WRITES)
        world.until_delivered(first, second, all_of=200)
        world.order(fault)
        wait_seconds(lambda: not world.ordered, lambda: tails(first, second))
        writer.join()
        world.until_delivered(first, second)
        took_over = taken(second) == 1
        stop(first, second)
    duplicates = world.check()
    print(
        f"GIL, {fault}: {'taken over' if took_over else 'kept'}, {duplicates} duplicates,"
        f" {len(world.by(first))} and {len(world.by(second))} records"
    )
    assert duplicates <= SAVES_UNDER_WAY * world.batch_size
