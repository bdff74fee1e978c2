"""Several mappings on one shard, with everything going wrong from a seed: each reads the log, once, in order."""

from __future__ import annotations

import asyncio
import random

import pytest
from sources.list_shard import ListShard, Shared, at, refused

from triggerkit.aws.transport import damaged
from triggerkit.core.model import TRIM_HORIZON, Position
from triggerkit.errors import EndpointUnreachableError, SourceError

MAPPINGS = 4
RECORDS = 120


class World:
    """One shard, its reader, and mappings that each keep the number of the next record they want."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.shard = ListShard()
        self.shared = Shared(
            self.shard, mappings=MAPPINGS, budget_bytes=self.chance.choice([0, 500, 5000, 10**6])
        )
        self.ended = 0

    async def mapping(self, start: int) -> None:
        """Read from `start` to the end; sometimes fall back, as after a lost lease."""
        wanted = start
        while True:
            position: Position = at(wanted - 1) if wanted else TRIM_HORIZON
            limit = self.chance.choice([1, 3, 10, 1000])
            try:
                page = await self.shared.fetch(position, limit)
            except SourceError:
                await asyncio.sleep(0)
                continue
            found = [int(record.sequence_number) for record in page.records]
            assert found == list(range(wanted, wanted + len(found))), f"seed {self.seed}"
            assert len(found) <= limit, f"seed {self.seed}"
            wanted += len(found)
            if page.ended:
                assert self.shard.closed, f"seed {self.seed}"
                assert wanted == RECORDS, f"seed {self.seed}"
                self.ended += 1
                return
            if self.chance.random() < 0.05:
                wanted = self.chance.randrange(wanted + 1)
            await asyncio.sleep(0 if found else self.chance.choice([0, 0.002]))

    async def disturbances(self) -> None:
        """Write, and let iterators, replies, connections and readers go wrong."""
        lies = ["null"]  # one: two false ends in a row, each intact, are believed by design
        while len(self.shard.records) < RECORDS:
            match self.chance.randrange(8):
                case 0:
                    self.shard.expire()
                case 1:
                    self.shard.faults.append(damaged("t", "short"))
                case 2:
                    self.shard.faults.append(refused("ThrottlingException"))
                case 3:
                    self.shard.faults.append(lies.pop() if lies else "empty")
                case 4:
                    self.shard.faults.append(EndpointUnreachableError("reset"))
                case 5:
                    await self.shared.reader.close()
                case _:
                    left = RECORDS - len(self.shard.records)
                    self.shard.write(min(left, self.chance.randrange(1, 12)))
            await asyncio.sleep(self.chance.choice([0, 0, 0.001]))
        self.shard.closed = True


@pytest.mark.parametrize("seed", range(30))
def test_every_mapping_reads_the_log_whatever_happens(seed: int) -> None:
    async def live() -> None:
        world = World(seed)
        starts = [0, 0, *(world.chance.randrange(RECORDS // 2) for _ in range(MAPPINGS - 2))]

        async def begin(start: int) -> None:
            while len(world.shard.records) < start:
                await asyncio.sleep(0)
            await world.mapping(start)

        await asyncio.wait_for(
            asyncio.gather(world.disturbances(), *(begin(start) for start in starts)), 60
        )
        assert world.ended == MAPPINGS
        assert world.shard.most_reading <= 2, f"seed {seed}"

    asyncio.run(live())
