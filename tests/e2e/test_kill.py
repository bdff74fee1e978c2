"""Real servers, real worker processes, `kill -9`: nothing is lost, order holds, duplicates are bounded."""

from __future__ import annotations

import random
import signal
import threading
from pathlib import Path

import pytest
from components import DynamoDBLocal, dummy_client
from e2e.kill_world import KilledWorker, Writers, check_book, create_table, until

from triggerkit.emulator import Emulator, RealClock, serve

SEED = 20_260
WRITES = 20_000
KILLS = 20
BATCH_SIZE = 10
MOST_OPEN_SHARDS = 4


def play(workers: list[KilledWorker], writers: Writers) -> None:
    """Kill every worker `KILLS` times while the writers write, then let all catch up."""
    rng = random.Random(SEED)
    writers.start()
    for worker in workers:
        worker.start()
    try:
        kill_them(workers, writers, rng)
    except BaseException:
        for worker in workers:
            worker.end()
        raise


def kill_them(workers: list[KilledWorker], writers: Writers, rng: random.Random) -> None:
    pause = threading.Event()
    while any(worker.kills < KILLS for worker in workers):
        for worker in workers:
            seen = len(worker.lines())
            until(
                lambda w=worker, n=seen: len(w.lines()) > n or not writers.running,
                worker.log_tail,
                60,
            )
            pause.wait(rng.uniform(0.0, 0.6))  # the moment of the kill is what is random here
            worker.kill()
            worker.start()
    writers.join()
    total = sum(len(tokens) for tokens in writers.expected.values())
    for worker in workers:
        until_all(worker, total)
        # a worker that is still importing, right after its last kill, simply ends by the signal
        assert worker.stop() in (0, -signal.SIGTERM), worker.log_tail()


def until_all(worker: KilledWorker, total: int) -> None:
    """Wait while it gets on: how fast that is depends on the machine."""
    seen = -1
    while seen < total:
        until(
            lambda before=seen: worker.lines() and len(worker.distinct) > before,
            worker.log_tail,
            120,
        )
        seen = len(worker.distinct)


def check(worker: KilledWorker, writers: Writers, most_a_kill: int) -> None:
    """The books of one worker."""
    duplicates = check_book(worker.lines(), writers.expected, SEED)
    print(
        f"{worker.name}: {worker.kills} kills, {duplicates} duplicates, allowed {most_a_kill} a kill"
    )
    assert duplicates <= worker.kills * most_a_kill


@pytest.mark.real
@pytest.mark.slow
def test_kill_9_loses_nothing_on_dynamodb_local(
    dynamodb_local: DynamoDBLocal, tmp_path: Path
) -> None:
    endpoint_url = dynamodb_local.endpoint_url
    create_table(dynamodb_local.client("dynamodb"), "orders")
    writers = Writers(lambda: dummy_client("dynamodb", endpoint_url), "orders", WRITES, SEED)
    killed = [
        KilledWorker(tmp_path, f"lanes-{lanes}", endpoint_url, lanes, BATCH_SIZE)
        for lanes in (1, 10)
    ]
    play(killed, writers)
    for worker in killed:
        print(f"{worker.name}: delivered behind the checkpoint at each kill: {worker.behind}")
        # what the lanes did beyond the watermark, and what they did while one save was under way
        assert max(worker.behind) <= 2 * worker.lanes * BATCH_SIZE
        check(worker, writers, max(worker.behind))
        assert check_book(worker.lines(), writers.expected, SEED) <= sum(worker.behind)
    for lanes in (1, 10):
        calm = KilledWorker(tmp_path, f"calm-{lanes}", endpoint_url, lanes, BATCH_SIZE)
        calm.start("--burst")
        assert calm.wait() == 0, calm.log_tail()
        assert check_book(calm.lines(), writers.expected, SEED) == 0, "duplicates without any fault"


@pytest.mark.slow
def test_kill_9_loses_nothing_while_shards_roll_and_split(tmp_path: Path) -> None:
    emulator = Emulator(clock=RealClock(), seed=SEED)
    with serve(emulator) as server:
        create_table(dummy_client("dynamodb", server.endpoint_url), "orders")
        writers = Writers(
            lambda: dummy_client("dynamodb", server.endpoint_url), "orders", WRITES, SEED
        )
        killed = [
            KilledWorker(tmp_path, f"lanes-{lanes}", server.endpoint_url, lanes, BATCH_SIZE)
            for lanes in (1, 10)
        ]
        rarely = KilledWorker(tmp_path, "rarely", server.endpoint_url, 1, BATCH_SIZE, None)
        over = threading.Event()
        reshaping = threading.Thread(target=reshape, args=(emulator, writers, over), daemon=True)
        reshaping.start()
        try:
            play([*killed, rarely], writers)
        finally:
            over.set()
            reshaping.join()
        for worker in killed:
            check(worker, writers, MOST_OPEN_SHARDS * 2 * worker.lanes * BATCH_SIZE)
        # with the default interval a kill repeats what was done in a time: no number of records bounds that
        check_book(rarely.lines(), writers.expected, SEED)


def reshape(emulator: Emulator, writers: Writers, over: threading.Event) -> None:
    """Roll all shards, or split one, every second while somebody writes; at most four are open at once.

    On a slow machine workers that catch up could not keep pace with shards that go on rolling.
    """
    rng = random.Random(SEED)
    splits = 0
    while not over.wait(1.0) and (writers.running or not writers.expected):
        if splits < 3 and rng.random() < 0.3:
            shards = emulator.roll("orders")
            emulator.split("orders", rng.choice(shards))
            splits += 1
        else:
            emulator.roll("orders")
