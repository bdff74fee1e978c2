"""Random streams, recorded and replayed: every record comes back in the shard that stands for its own."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random
from typing import Any

import pytest

from triggerkit import Triggers
from triggerkit.cassettes.lines import Ended
from triggerkit.cassettes.redaction import Redactor
from triggerkit.cassettes.writing import CassetteFile
from triggerkit.commands.record import Recording, read_wanted
from triggerkit.emulator import Emulator
from triggerkit.runtime.tables import DevTable
from triggerkit.sources.dynamodb.service import parse_stream_arn
from triggerkit.sources.dynamodb.streams_api import StreamShape
from triggerkit.testing import Simulation
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.loop import VirtualLoop
from triggerkit.testing.network import Line
from triggerkit.testing.source import open_source

SEEDS = range(16)
STEPS = 120
NOTHING_GIVEN: dict[str, Any] = {
    **dict.fromkeys(("from_start", "follow", "force"), False),
    **dict.fromkeys(("since", "for_", "lines", "key")),
    **dict.fromkeys(("redact", "redact_all_but", "keep_prefix"), ()),
}


def random_stream(rng: Random, clock: VirtualClock) -> Emulator:
    """A table `orders` to which many things happened."""
    emulator = Emulator(clock, seed=rng.randrange(100), shards=rng.choice((1, 1, 3)))
    emulator.call("CreateTable", DevTable("orders").request())
    weights = {"put": 60, "delete": 15, "expire": 8, "roll": 6, "split": 6, "wait": 20, "anew": 1}
    for number in range(STEPS):
        key = {"id": {"S": f"k{rng.randrange(12)}"}}
        (step,) = rng.choices([*weights], [*weights.values()])
        match step:
            case "put":
                item = {**key, "n": {"N": str(number)}}
                emulator.call("PutItem", {"TableName": "orders", "Item": item})
            case "delete":
                emulator.call("DeleteItem", {"TableName": "orders", "Key": key})
            case "expire":
                emulator.expire_item("orders", key)
            case "roll":
                emulator.roll("orders", rng.choice(emulator.open_shards("orders")))
            case "split":
                emulator.split("orders", rng.choice(emulator.open_shards("orders")))
            case "wait":
                clock.advance(rng.choice((1, 5, 60)) * rng.random())
            case "anew":
                for on in ({"StreamEnabled": False}, DevTable("orders").request()):
                    asked = on.get("StreamSpecification", on)
                    request = {"TableName": "orders", "StreamSpecification": asked}
                    emulator.call("UpdateTable", request)
    return emulator


def record(emulator: Emulator, clock: VirtualClock, rng: Random, path: Path) -> None:
    """As the command does, without a process around it."""
    wanted = read_wanted({**NOTHING_GIVEN, "output": str(path)})
    loop = VirtualLoop(clock)
    with CassetteFile(path) as file:
        recording = Recording("dynamodb://orders", wanted, file, Redactor(wanted.redaction, b""))
        arn = parse_stream_arn(emulator.stream_arns("orders")[-1])
        recording._shape = StreamShape(arn, "NEW_AND_OLD_IMAGES", ("id",))
        recording._started_seconds = clock.now_seconds()

        async def run() -> None:
            source = open_source(emulator, "orders", Line(rng), clock)
            await source.prepare()
            await recording._follow(source)
            await source.close()

        loop.run_until_complete(run())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        file.finish(Ended(recording.ending))


def shards_of(emulator: Emulator) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The event ids of each shard that has records, and of its parent."""
    parents: dict[str, str | None] = {}
    ids: dict[str, tuple[str, ...]] = {}
    for arn in emulator.stream_arns("orders"):
        listed = emulator.call("DescribeStream", {"StreamArn": arn})["StreamDescription"]
        assert "LastEvaluatedShardId" not in listed
        for shard in listed["Shards"]:
            name = shard["ShardId"]
            place = {"StreamArn": arn, "ShardId": name, "ShardIteratorType": "TRIM_HORIZON"}
            iterator = emulator.call("GetShardIterator", place)["ShardIterator"]
            records = emulator.call("GetRecords", {"ShardIterator": iterator})["Records"]
            ids[name] = tuple(one["eventID"] for one in records)
            parents[name] = shard.get("ParentShardId")
    return sorted((own, ids.get(parents[name] or "", ())) for name, own in ids.items() if own)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_stream_is_replayed_shard_by_shard(seed: int, tmp_path: Path) -> None:
    rng, clock = Random(seed), VirtualClock()
    emulator = random_stream(rng, clock)
    path = tmp_path / "orders.jsonl.gz"
    record(emulator, clock, rng, path)
    handlers = Triggers("orders")

    @handlers.on("dynamodb://orders", batch_size=7)
    def watch(event: Any, context: Any) -> None: ...

    for pace in ("at once", "recorded"):
        with Simulation(handlers, seed=seed, folder=tmp_path) as sim:
            sim.play(path.name, pace=pace)  # type: ignore[arg-type]
            if pace == "at once":
                assert shards_of(sim.emulator) == shards_of(emulator), f"seed {seed}"
            sim.run_until_idle()
            sim.check()
            got = [one["eventID"] for call in sim.calls(watch) for one in call.records]
            told = itertools.chain.from_iterable(own for own, _ in shards_of(emulator))
            assert sorted(got) == sorted(told), f"seed {seed}, {pace}"
            items = {
                one["id"]["S"]: one
                for one in emulator.call("Scan", {"TableName": "orders"})["Items"]
            }
            for number in range(12):
                item = sim.table("orders").get(id=f"k{number}")
                wire = items.get(f"k{number}")
                assert (item or {}).get("n") == (int(wire["n"]["N"]) if wire else None)
