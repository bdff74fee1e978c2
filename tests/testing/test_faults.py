"""Troubled worlds: from a seed, the same again, and everything comes through."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from triggerkit import Change, Triggers
from triggerkit.core.model import Batch, Lease, Position, PositionKind, Record
from triggerkit.core.outcome import PartlyFailed, Succeeded
from triggerkit.emulator import Emulator
from triggerkit.errors import SimulationError, UsageError
from triggerkit.lease_stores.memory import MemoryLeaseStore
from triggerkit.runtime.tables import DevTable
from triggerkit.testing import Simulation
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.faults import FAULTS, read_faults
from triggerkit.testing.ledger import Ledger

handlers = Triggers("shop")


@handlers.on("dynamodb://orders", batch_size=3)
def notify(event: Any, context: Any) -> None:
    pass


@handlers.each("dynamodb://orders")
async def ship(change: Change[dict[str, Any]]) -> None:
    await asyncio.sleep(0.1)


def story(seed: int, faults: str = "all", writes: int = 24) -> tuple[object, ...]:
    """One world; what happened in it, in short."""
    with Simulation(handlers, seed=seed, workers=1 + seed % 3, faults=faults) as sim:
        for number in range(writes):
            sim.table("orders").put(id=str(number % 5), n=number)
        sim.run_until_idle()
        sim.check()
        assert sim.lost == ()
        assert set(sim.calls(notify).keys) == {str(number) for number in range(5)}
        calls = [(call.worker, call.at_seconds, call.keys) for call in sim.calls(notify)]
        return sim.now_seconds, calls, len(sim.calls(ship)), sim.duplicates


@pytest.mark.parametrize("seed", range(40))
def test_a_world_with_every_fault_loses_nothing(seed: int) -> None:
    story(seed)


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_world_with_one_fault_loses_nothing(fault: str) -> None:
    for seed in range(3):
        story(seed, fault)


def test_the_same_seed_is_the_same_world() -> None:
    assert story(5) == story(5)
    assert story(5) != story(6)


def test_faults_are_read_from_text_and_sequences() -> None:
    assert read_faults("split, kill") == read_faults(["kill", "split"]) == {"split", "kill"}
    assert read_faults("all") == set(FAULTS)
    assert read_faults(()) == frozenset()
    with pytest.raises(UsageError, match="there is no fault 'kil'"):
        read_faults("kil")


class ForgetfulStore(MemoryLeaseStore):
    """Saves a checkpoint one batch ahead, as a runtime does that checkpoints before the handler."""

    async def take(self, lease: Lease, session: Any) -> Lease | None:
        taken = await super().take(lease, session)
        if taken is None or taken.checkpoint.kind is not PositionKind.AFTER:
            return taken
        far = Position(PositionKind.AFTER, str(int(taken.checkpoint.sequence_number) + 100))
        return await super().advance(taken, far)


def test_a_runtime_that_skips_a_record_is_found_out() -> None:
    clock = VirtualClock()
    with Simulation(handlers) as sim:
        broken = ForgetfulStore(clock)
        object.__setattr__(sim._world, "store", broken)
        sim.table("orders").put(id="1")
        sim.table("orders").put(id="2")
        sim.run_until_idle()
        sim.crash(restart_after_seconds=None)
        for number in range(3):
            sim.table("orders").put(id="1", n=number)
        sim.restart()
        with pytest.raises(SimulationError, match="still to be done"):
            sim.run_until_idle(limit_seconds=60)
        assert sim.lost
        assert sim.out_of_order
        with pytest.raises(SimulationError, match="are lost"):
            sim.check()


def test_what_comes_again_without_a_crash_breaks_the_promise() -> None:
    with Simulation(handlers) as sim:
        sim.table("orders").put(id="1")
        sim.run_until_idle()
        sim.check()
        number = sim.calls(notify)[0].records[0]["dynamodb"]
        again = Record(number["SequenceNumber"], 0.0, b"", b"")
        sim._ledger.ended("notify", Batch(0, (again,), (0,)), Succeeded())
        with pytest.raises(SimulationError, match="1 records are done again without a crash"):
            sim.check()


def written() -> tuple[Ledger, list[Record], str]:
    """A ledger that knows four records of two items, and one trigger."""
    emulator = Emulator(VirtualClock())
    emulator.call("CreateTable", DevTable("orders").request())
    ledger = Ledger(emulator)
    ledger.know_table("orders", ("id",))
    ledger.know_trigger("t", ["orders"], from_tip=False)
    for number in range(4):
        item = {"id": {"S": str(number % 2)}, "n": {"N": str(number)}}
        emulator.call("PutItem", {"TableName": "orders", "Item": item})
    (shard,) = emulator.open_shards("orders")
    records = [Record(d.sequence_number, 0.0, b"", b"") for d in ledger.lost()]
    return ledger, records, shard


def test_the_ledger_tells_records_out_of_order() -> None:
    ledger, records, _ = written()
    ledger.begun("t", records[:2])
    assert ledger.out_of_order == []
    ledger.begun("t", records[3:])  # the second of item 1, whose first is under way
    assert [d.sequence_number for d in ledger.out_of_order] == [records[3].sequence_number]
    ledger.ended("t", Batch(0, records[:2], (0, 1)), Succeeded())
    ledger.begun("t", records[2:])
    assert len(ledger.out_of_order) == 1


def test_the_ledger_tells_a_checkpoint_that_is_too_far() -> None:
    ledger, records, shard = written()
    ledger.ended("t", Batch(0, records[:3], (0, 1, 2)), PartlyFailed(2, None))  # type: ignore[arg-type]
    ledger.saved("t", shard, Position(PositionKind.AFTER, records[1].sequence_number))
    assert ledger.unsafe == []
    ledger.saved("t", shard, Position(PositionKind.AFTER, records[2].sequence_number))
    assert [d.sequence_number for d in ledger.unsafe] == [records[2].sequence_number]
    ledger.finished("t", shard)
    assert len(ledger.unsafe) == 3


def test_the_ledger_tells_what_was_done_twice_and_what_was_given_up() -> None:
    ledger, records, _ = written()
    for _ in range(3):
        ledger.ended("t", Batch(0, records[:1], (0,)), Succeeded())
    ledger.discarded("t", Batch(0, records[1:], (1, 2, 3)))
    assert [d.key for d in ledger.duplicates()] == ["0", "0"]
    assert [d.key for d in ledger.given_up()] == ["1", "0", "1"]
    assert ledger.lost() == ()
