"""The hard soak: everything that goes wrong at once, to three real workers, and nothing is lost or out of order.

Two minutes of trouble, or `TRIGGERKIT_SOAK_SECONDS`, are followed by peace until everything is done with. All
choices come from one seed, which is printed and can be given as `TRIGGERKIT_SOAK_SEED`; the timing is the
machine's own.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Container
from pathlib import Path

import pytest
from e2e.soak_world import (
    GIVING_UP,
    MOST_BEHIND,
    TRIGGERS,
    WITH_LANES,
    Disturbed,
    Gate,
    GuardedServer,
    Life,
    Line,
    World,
    check_failures,
    check_logs,
    check_order_and_loss,
    disturbances,
    stalls,
)

from triggerkit.emulator import Damage, Emulator, EmulatorError, RealClock

SECONDS = float(os.environ.get("TRIGGERKIT_SOAK_SECONDS", "120"))
SEED = int(os.environ.get("TRIGGERKIT_SOAK_SEED", "20262"))
READ_LATELY_SECONDS = 1.0
"""A worker that began a call so long ago or less counts as reading."""
LEAST_SHARE_OF_KILLS_WHILE_READING = 0.8
MOST_SHARDS = 4
READS = ("GetRecords", "GetShardIterator", "DescribeStream", "ListStreams", "DescribeTable")
THROTTLES = ("ThrottlingException", "LimitExceededException", "InternalServerError")


class Trouble:
    """What can go wrong, one method each; a deck of them is shuffled and played again and again."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(f"{seed}:trouble")
        self.count: Counter[str] = Counter()
        self.kills_while_reading = 0
        self._pause = threading.Event()
        self._deck: list[Callable[[], None]] = []

    def play(self, seconds: float) -> None:
        """Play cards for so long, and one whole deck at least."""
        until_at = time.monotonic() + seconds
        decks = 0
        while time.monotonic() < until_at or self._deck or decks == 0:
            if not self._deck:
                self._deck = self.fresh_deck()
                decks += 1
            self.world.start_missing()
            self._deck.pop()()
            if decks > 1 and time.monotonic() >= until_at:
                break
            pause_until = time.monotonic() + self.rng.uniform(0.2, 2.0)
            self.world.until(lambda at=pause_until: time.monotonic() >= at, "a pause")

    def fresh_deck(self) -> list[Callable[[], None]]:
        """Eight kills, of which one comes at any moment, and some of everything else."""
        deck = [
            *[self.kill_reading] * 7,
            self.kill_anywhere,
            *[self.stop] * 2,
            self.freeze,
            *[self.roll] * 6,
            *[self.split] * 2,
            *[self.switch_stream] * 2,
            *[self.throttle] * 4,
            *[self.damage] * 4,
            *[self.stale] * 3,
            self.late_listings,
            self.expire_iterators,
            self.odd_pages,
            self.rotate,
        ]
        self.rng.shuffle(deck)
        return deck

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.world.emulator.faults.clear()
        self.world.until(lambda: all(life.thaw_at is None for life in self.world.lives), "thawed")
        self.world.start_missing()
        self.world.until_started()

    # --- workers ----------------------------------------------------------------------------------

    def kill_reading(self) -> None:
        """`kill -9` right behind the beginning of a call."""
        world = self.world
        while True:
            before = Counter(world.book.begun)
            chosen: list[Life] = []

            def found(before: Counter[int] = before, chosen: list[Life] = chosen) -> bool:
                chosen[:] = [
                    each for each in world.live() if world.book.begun[each.pid] > before[each.pid]
                ]
                return bool(chosen)

            world.until(found, "a call begins")
            life = self.rng.choice(chosen)
            self._pause.wait(self.rng.uniform(0.0, 0.05))
            world.book.refresh()
            if time.monotonic() - world.book.last_begun[life.pid].at < READ_LATELY_SECONDS / 2:
                break  # the machine was not too busy to do that in time
        self._kill(life)

    def kill_anywhere(self) -> None:
        """`kill -9` at any moment: at the start, at rest, in a drain."""
        life = self.rng.choice(self.world.live())
        if life.started and self.rng.random() < 0.5:
            life.process.send_signal(signal.SIGTERM)
            self._pause.wait(self.rng.uniform(0.0, 0.2))
        self._kill(life)

    def _kill(self, life: Life) -> None:
        self.world.note_expiry(life)
        killed_at = life.killed_at = time.monotonic()
        life.process.kill()
        life.process.wait()
        self.world.book.refresh()
        last = self.world.book.last_begun.get(life.pid)
        self.count["kills"] += 1
        if last is not None and killed_at - last.at <= READ_LATELY_SECONDS:
            self.kills_while_reading += 1
        if self.rng.random() < 0.7:
            self.world.start_missing()

    def stop(self) -> None:
        """SIGTERM, and the worker ends."""
        life = self.rng.choice(self.world.live())
        self.world.note_expiry(life)
        life.asked = True
        life.process.send_signal(signal.SIGTERM)
        self.world.until(lambda: not life.running, f"it drains\n{life.tail()}")
        self.count["stops"] += 1

    def freeze(self) -> None:
        """SIGSTOP for 10 to 40 seconds; the rest goes on meanwhile."""
        world = self.world
        world.until(lambda: all(life.thaw_at is None for life in world.lives), "thawed")
        world.until_started()
        life = self.rng.choice(world.live())
        self.count["freezes"] += world.freeze(life, self.rng.uniform(10.0, 40.0))

    # --- the stream -------------------------------------------------------------------------------

    def roll(self) -> None:
        table = self._table()
        shards = self.world.emulator.open_shards(table)
        self.world.emulator.roll(table, self.rng.choice([None, *shards]))
        self.count["rolls"] += 1

    def split(self) -> None:
        table = self._table()
        shards = self.world.emulator.open_shards(table)
        if len(shards) < MOST_SHARDS:
            self.world.emulator.split(table, self.rng.choice(shards))
            self.count["splits"] += 1

    def switch_stream(self) -> None:
        """Off, some changes that no stream has, and on again: a new stream."""
        world, table = self.world, self._table()
        world.until_started()
        before = world.writer.unseen[table]
        wanted = self.rng.randrange(0, 8)
        world.writer.switch_stream(table, on=False)
        world.until(
            lambda: (
                world.writer.unseen[table] >= before + wanted
                or max(world.behind().values()) >= MOST_BEHIND
            ),
            "changes without a stream",
        )
        world.writer.switch_stream(table, on=True)
        self.count["streams"] += 1

    def _table(self) -> str:
        return self.rng.choice(sorted(set(TRIGGERS.values())))

    # --- the endpoint -----------------------------------------------------------------------------

    def throttle(self) -> None:
        operation, code = self.rng.choice(READS), self.rng.choice(THROTTLES)
        status = 500 if code == "InternalServerError" else 400
        error = EmulatorError(code, "Planned.", status)
        self.world.emulator.faults.fail(operation, error, self.rng.randrange(1, 20))
        self.count["throttles"] += 1

    def damage(self) -> None:
        operation, how = self.rng.choice(READS), self.rng.choice(list(Damage))
        self.world.emulator.faults.damage(operation, how, self.rng.randrange(1, 10))
        self.count["damages"] += 1

    def stale(self) -> None:
        seconds = self.rng.uniform(1.0, 60.0)
        self.world.emulator.faults.stale_listings(self.rng.randrange(1, 10), seconds)
        self.count["stale listings"] += 1

    def late_listings(self) -> None:
        self.world.emulator.faults.describe_lag(self.rng.uniform(0, 2), self.rng.uniform(0, 4))
        self.world.emulator.faults.reorder_listings(self.rng.random() < 0.5)
        self.count["late listings"] += 1

    def expire_iterators(self) -> None:
        self.world.emulator.expire_iterators()
        self.count["expiries"] += 1

    def odd_pages(self) -> None:
        """Empty pages before the tip, pages that begin with what was read, small pages."""
        faults = self.world.emulator.faults
        faults.empty_pages(self.rng.randrange(1, 10))
        faults.duplicate(self.rng.randrange(1, 10), self.rng.randrange(1, 5))
        faults.page_size(self.rng.choice([None, 1, 7]))
        self.count["odd pages"] += 1

    def rotate(self) -> None:
        """The old key is refused; the new one comes after some calls were."""
        world = self.world
        world.until_started()
        world.gate.invalidate()
        if self.rng.random() < 0.5:
            wanted = world.gate.refused + self.rng.randrange(1, 10)
            world.until(lambda: world.gate.refused >= wanted, "calls are refused")
        world.gate.publish()
        self.count["rotations"] += 1


@pytest.mark.slow
def test_three_workers_under_all_trouble_at_once_lose_nothing_and_keep_the_order(
    tmp_path: Path,
) -> None:
    print(f"soak: seed {SEED}, {SECONDS:.0f} s")
    emulator = Emulator(clock=RealClock(), seed=SEED)
    for table in set(TRIGGERS.values()):
        emulator.call(
            "CreateTable",
            {
                "TableName": table,
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {
                    "StreamEnabled": True,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
            },
        )
    gate = Gate(tmp_path / "credentials")
    with GuardedServer(emulator, gate) as server:
        world = World(tmp_path, server.endpoint_url, emulator, gate, SEED)
        trouble = Trouble(world, SEED)
        try:
            soak(world, trouble)
        finally:
            world.end_all()
        duplicates = {
            trigger: check_order_and_loss(
                [line for line in world.book.lines if line.trigger == trigger],
                world.writer.chains[table],
                world.writer.poison[table] if trigger in GIVING_UP else (),
                disturbances(world.lives, with_lanes=trigger in WITH_LANES),
            )
            for trigger, table in TRIGGERS.items()
        }
        failures = check_failures(world)
        check_logs(world)
    count = trouble.count
    count["refused starts"] = sum(life.refused_to_start for life in world.lives)
    told = ", ".join(f"{number} {what}" for what, number in sorted(count.items()))
    print(
        f"soak: seed {SEED}: {world.writer.writes.total()} writes, {world.book.calls} calls, {told},"
        f" {trouble.kills_while_reading} kills while reading, {sum(duplicates.values())} duplicates"
        f" {duplicates}, {failures} failure records, 0 lost"
    )
    assert trouble.kills_while_reading >= LEAST_SHARE_OF_KILLS_WHILE_READING * count["kills"]


def soak(world: World, trouble: Trouble) -> None:
    """Trouble, then peace until everything is done with, then a stop of all."""
    world.start_missing()
    world.until_started()
    world.writer.start()
    trouble.play(SECONDS)
    world.writer.end()
    trouble.heal()
    until_all_is_done(world)
    live = world.live()
    world.until(lambda: not any(map(stalls, live)), f"all goes on: {[*map(stalls, live)]}")
    for life in live:
        life.asked = True
        life.process.send_signal(signal.SIGTERM)
    world.until(lambda: not any(life.running for life in live), "they drain")


def until_all_is_done(world: World) -> None:
    """As long as it takes, while something moves."""

    def left() -> int:
        return sum(world.behind().values()) + world.owed_failures()

    before = left()
    while before > 0:
        world.until(lambda before=before: left() < before, "something more is done")
        before = left()


CHAIN = {"a": ["W1", "W2", "R2"]}
CALM = {1: Disturbed(), 2: Disturbed()}


def call(
    pid: int, begun_at: float, ended_at: float, *tokens: str, done: int | None = None
) -> list[Line]:
    """A call for changes of the key `a`; all are done unless it says how many."""
    changes = tuple(("a", token) for token in tokens)
    done = len(tokens) if done is None else done
    what = "done" if done else "failed"
    return [
        Line(begun_at, pid, "t", "begun", 0, changes),
        Line(ended_at, pid, "t", what, done, changes),
    ]


def test_the_checker_passes_what_a_kill_a_freeze_and_poison_cause() -> None:
    whole = call(1, 1, 2, "W1", "W2", "R2")
    killed = {1: Disturbed(since=3.0), 2: Disturbed()}
    assert check_order_and_loss([*whole, *call(2, 4, 5, "R2")], CHAIN, (), killed) == 1
    begun, late = call(1, 1, 9, "W1")
    frozen = {1: Disturbed((2.0,), 2.0), 2: Disturbed()}
    taken = call(2, 4, 5, "W1", "W2", "R2")
    assert check_order_and_loss([begun, *taken, late], CHAIN, (), frozen) == 1
    poisoned = [
        *call(1, 1, 2, "W1", "W2", done=0),
        *call(1, 3, 4, "W1"),
        *call(1, 5, 6, "W2", done=0),
    ]
    lines = [*poisoned, *call(1, 7, 8, "R2")]
    assert check_order_and_loss(lines, CHAIN, {("a", "W2")}, CALM) == 0


@pytest.mark.parametrize(
    ("lines", "poison", "told"),
    [
        (call(1, 1, 2, "W1", "W2"), (), "lost"),
        (call(1, 1, 2, "W1", "W2", "R2", done=2), (), "lost"),
        (call(1, 1, 2, "W1", "R2", "W2"), (), "before W2"),
        (call(1, 1, 2, "W1", "W9"), (), "in no stream"),
        (call(1, 1, 2, "W1", "W2", "R2"), {("a", "W2")}, "poison"),
        (call(1, 1, 2, "W1", "R2"), {("a", "W2")}, "before W2"),
        ([*call(1, 1, 2, "W1", "W2", "R2"), *call(2, 3, 4, "R2")], (), "without a cause"),
        ([*call(1, 1, 2, "W1", "W2", "R2"), *call(1, 3, 4, "R2")], (), "without a cause"),
    ],
)
def test_the_checker_refuses(
    lines: list[Line], poison: Container[tuple[str, str]], told: str
) -> None:
    with pytest.raises(AssertionError, match=told):
        check_order_and_loss(lines, CHAIN, poison, CALM)


def test_the_checker_refuses_what_comes_again_before_its_worker_was_killed() -> None:
    lines = [*call(1, 1, 2, "W1", "W2", "R2"), *call(2, 3, 4, "R2")]
    with pytest.raises(AssertionError, match="without a cause"):
        check_order_and_loss(lines, CHAIN, (), {1: Disturbed(since=9.0), 2: Disturbed()})
