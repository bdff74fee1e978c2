"""What every lease store promises about leases (leases.md 6.3, 6.4; I1, I2, I3).

The store is used through the port alone. A store joins with one `LeaseStoreRig`.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

from triggerkit.core.model import (
    LATEST,
    SHARD_END,
    TRIM_HORIZON,
    Position,
    PositionKind,
    SessionId,
)
from triggerkit.errors import InternalError, LeaseLostError
from triggerkit.ports import LeaseStore
from triggerkit.testing.contracts.lease_rig import (
    ANNA,
    BERT,
    CARL,
    PREFIX,
    LeaseStoreRig,
    at,
    created,
    in_threads,
    new_lease,
    owned,
    run,
    stored,
)
from triggerkit.testing.contracts.refusals import refused


class CreatingAndReading:
    def test_only_a_new_store_says_that_it_was_empty(self, rig: LeaseStoreRig) -> None:
        # the rig has prepared it once
        assert run(rig.open().prepare()) is False

    def test_saves_are_a_second_apart_at_most(self, rig: LeaseStoreRig) -> None:
        assert 0.0 <= rig.open().checkpoint_interval_seconds <= 1.0

    STARTS = (
        TRIM_HORIZON,
        LATEST,
        Position(PositionKind.LATEST, at_seconds=1_700_000_123.0),
        Position(PositionKind.AT_TIMESTAMP, at_seconds=1_700_000_123.5),
        at(300000000000000499659, 1_700_000_000.0),
        SHARD_END,
    )

    def test_a_created_row_reads_back_equal(self, rig: LeaseStoreRig) -> None:
        for number, start in enumerate(self.STARTS):
            lease = new_lease(f"s{number}", "p1", "p2", start=start)
            assert run(created(rig.open(), lease)) == lease

    def test_a_row_is_created_without_owner_and_with_counter_0(self, rig: LeaseStoreRig) -> None:
        lease = replace(new_lease("s1"), owner=ANNA, counter=7, switches=3)
        assert run(created(rig.open(), lease)) == new_lease("s1")

    def test_an_existing_row_is_left_alone_and_the_others_are_created(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            await store.create((new_lease("s1", "other"), new_lease("s2")))
            assert await store.read(PREFIX) == (lease, new_lease("s2"))

        run(scene(rig.open()))

    def test_only_rows_under_the_prefix_are_read_and_nothing_in_it_is_a_wildcard(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            names = ("a_c@prod:m:", "abc@prod:m:", "a%c@prod:m:", "A_C@prod:m:", "a_c@prod:m2:")
            await store.create(tuple(new_lease("s", prefix=name) for name in names))
            for name in names:
                assert [row.key for row in await store.read(name)] == [f"{name}20261123:s"]
            assert len(await store.read("")) == len(names)

        run(scene(rig.open()))


class Taking:
    def test_a_take_moves_owner_counter_and_switches(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await created(store, new_lease("s1"))
            taken = await store.take(lease, ANNA)
            assert taken == replace(lease, owner=ANNA, counter=1, switches=1)
            assert await stored(store, lease) == taken

        run(scene(rig.open()))

    def test_a_take_by_the_owner_is_a_new_tenure_and_no_switch(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            assert await store.take(lease, ANNA) == replace(lease, counter=2)
            with refused(LeaseLostError):
                await store.advance(lease, at(1))

        run(scene(rig.open()))

    def test_a_take_returns_the_checkpoint_of_the_row_not_of_the_reader(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await store.advance(await owned(store, new_lease("s1")), at(5, 9.0))
            stale = replace(lease, checkpoint=TRIM_HORIZON, parents=())
            taken = await store.take(stale, BERT)
            assert taken is not None
            assert taken.checkpoint == at(5, 9.0)

        run(scene(rig.open()))

    def test_a_take_of_a_row_that_is_not_as_seen_is_refused(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            seen = await created(store, new_lease("s1"))
            lease = await store.take(seen, ANNA)
            assert lease is not None
            for other in (
                seen,
                replace(lease, counter=2),
                replace(lease, counter=0),
                replace(lease, owner=None),
                replace(lease, owner=BERT),
            ):
                assert await store.take(other, CARL) is None
            assert await store.take(new_lease("missing"), CARL) is None
            assert await stored(store, lease) == lease

        run(scene(rig.open()))

    def test_of_all_that_race_for_a_row_exactly_one_wins_each_counter(
        self, rig: LeaseStoreRig
    ) -> None:
        sessions = [SessionId(f"tk:host:{number}:aaaaaaaa") for number in range(4)]
        shared = rig.open()
        run(created(shared, new_lease("s1")))

        def race(session: SessionId) -> list[int]:
            async def scene(store: LeaseStore) -> list[int]:
                won: list[int] = []
                for _ in range(25):
                    taken = await store.take(await stored(store, new_lease("s1")), session)
                    if taken is not None:
                        won.append(taken.counter)
                await store.close()
                return won

            return run(scene(rig.open()))

        won = in_threads([partial(race, session) for session in sessions])
        counters = sorted(counter for counters in won for counter in counters)
        assert counters == list(range(1, len(counters) + 1))
        assert run(stored(rig.open(), new_lease("s1"))).counter == len(counters)


class Fencing:
    def test_an_advance_moves_checkpoint_and_counter_and_forgets_the_switches(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1", "p1"))
            advanced = await store.advance(lease, at(7, 12.0))
            assert advanced == replace(lease, checkpoint=at(7, 12.0), counter=2, switches=0)
            assert await stored(store, lease) == advanced

        run(scene(rig.open()))

    def test_nobody_writes_after_the_lease_was_taken_from_him(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            old = await store.advance(await owned(store, new_lease("s1")), at(5))
            new = await store.take(old, BERT)
            for write in (
                store.advance(old, at(6)),
                store.release(old, at(6)),
                store.finish(old, (new_lease("s2", "s1"),), ANNA),
            ):
                with refused(LeaseLostError, "s1: the row has tk:host:2"):
                    await write
            assert await store.read(PREFIX) == (new,)

        run(scene(rig.open()))

    def test_a_late_write_of_an_earlier_tenure_of_the_same_session_fails(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            first = await owned(store, new_lease("s1"))
            await store.release(first, at(3))
            second = await store.take(await stored(store, first), ANNA)
            with refused(LeaseLostError):
                await store.advance(first, at(9))
            assert await stored(store, first) == second

        run(scene(rig.open()))

    def test_a_write_to_a_row_that_was_deleted_loses_the_lease(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = replace(new_lease("s1"), owner=ANNA, counter=4)
            with refused(LeaseLostError, "the row is gone"):
                await store.advance(lease, at(1))
            assert await store.read("") == ()

        run(scene(rig.open()))

    def test_a_write_without_owner_is_a_fault(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await created(store, new_lease("s1"))
            for write in (store.advance(lease, at(1)), store.release(lease, at(1))):
                with refused(InternalError, "needs an owner"):
                    await write

        run(scene(rig.open()))

    def test_a_release_saves_and_drops_the_owner(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            await store.release(lease, at(4))
            row = await stored(store, lease)
            assert row == replace(lease, owner=None, counter=2, switches=0, checkpoint=at(4))

        run(scene(rig.open()))

    def test_a_release_without_progress_keeps_the_checkpoint(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            await store.release(lease, lease.checkpoint)
            assert await stored(store, lease) == replace(lease, owner=None, counter=2)

        run(scene(rig.open()))

    def test_successful_writes_form_one_chain_of_counters_whoever_writes(
        self, rig: LeaseStoreRig
    ) -> None:
        run(created(rig.open(), new_lease("s1")))
        seed = 20261123

        def work(session: SessionId, number: int) -> list[int]:
            async def scene(store: LeaseStore) -> list[int]:
                dice = random.Random(seed + number)  # noqa: S311 - writes are drawn, no secrets
                chain: list[int] = []
                for _ in range(20):
                    lease = await store.take(await stored(store, new_lease("s1")), session)
                    if lease is None:
                        continue
                    chain.append(lease.counter)
                    try:
                        for _ in range(dice.randrange(4)):
                            before = int(lease.checkpoint.sequence_number or 0)
                            lease = await store.advance(lease, at(before + 1))
                            chain.append(lease.counter)
                        await store.release(lease, lease.checkpoint)
                        chain.append(lease.counter + 1)
                    except LeaseLostError:
                        continue
                await store.close()
                return chain

            return run(scene(rig.open()))

        sessions = (ANNA, BERT, CARL)
        chains = in_threads(
            [partial(work, session, number) for number, session in enumerate(sessions)]
        )
        counters = sorted(counter for chain in chains for counter in chain)
        assert counters == list(range(1, len(counters) + 1)), f"seed {seed}"
        assert run(stored(rig.open(), new_lease("s1"))).counter == len(counters), f"seed {seed}"


class CheckpointOrder:
    """I3: KCL's order of leases.md 1.3."""

    STEPS = (
        TRIM_HORIZON,
        LATEST,
        Position(PositionKind.LATEST, at_seconds=50.0),
        at(9),
        at(10),
        SHARD_END,
    )

    def test_a_checkpoint_moves_on_and_never_back(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore, number: int) -> None:
            lease = await owned(store, new_lease(f"s{number}", start=self.STEPS[number - 1]))
            lease = await store.advance(lease, self.STEPS[number])
            for earlier in self.STEPS[:number]:
                with refused(InternalError, "is before"):
                    await store.advance(lease, earlier)
                with refused(InternalError, "is before"):
                    await store.release(lease, earlier)
            assert await stored(store, lease) == lease

        for number in range(1, len(self.STEPS)):
            run(scene(rig.open(), number))

    def test_sequence_numbers_that_are_no_numbers_are_not_compared(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            lease = await store.advance(lease, Position(PositionKind.AFTER, "b"))
            lease = await store.advance(lease, Position(PositionKind.AFTER, "a"))
            assert lease.checkpoint.sequence_number == "a"

        run(scene(rig.open()))

    def test_the_same_checkpoint_may_be_written_again(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await store.advance(await owned(store, new_lease("s1")), at(5))
            assert await store.advance(lease, at(5)) == replace(lease, counter=3)

        run(scene(rig.open()))

    def test_a_pin_may_be_corrected_either_way(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1", start=LATEST))
            for pinned_seconds in (50.5, 50.0, 51.0):
                pin = Position(PositionKind.LATEST, at_seconds=pinned_seconds)
                lease = await store.advance(lease, pin)
            assert (await stored(store, lease)).checkpoint.at_seconds == 51.0

        run(scene(rig.open()))


class Pinning:
    """Where a mapping starts that starts at LATEST: the first answer wins, for good (A1)."""

    OTHER = "app@dev:other:stream:"

    def test_a1_the_first_pin_is_what_every_later_one_is_told(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            assert await store.pin(PREFIX, 1_700_000_100.25) == 1_700_000_100.25
            assert await store.pin(PREFIX, 1_700_000_050.0) == 1_700_000_100.25
            assert await store.pin(self.OTHER, 1_700_000_200.0) == 1_700_000_200.0
            assert await store.read(PREFIX) == (), "a pin is no lease"

        run(scene(rig.open()))

    def test_a1_a_pin_outlives_the_leases_that_came_after_it(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            await store.pin(PREFIX, 1_700_000_100.0)
            await store.create((new_lease("s1", start=at(5)),))
            assert await store.pin(PREFIX, 1_700_000_900.0) == 1_700_000_100.0

        run(scene(rig.open()))

    def test_a1_leases_of_a_version_without_pins_tell_when_they_began(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            later, earlier = (replace(LATEST, at_seconds=1_700_000_000.0 + n) for n in (9, 5))
            await store.create(
                (new_lease("s1", start=later), new_lease("s2", start=earlier), new_lease("s3"))
            )
            assert await store.pin(PREFIX, 1_700_000_900.0) == 1_700_000_005.0

        run(scene(rig.open()))

    def test_a1_leases_that_have_all_gone_on_leave_nothing_before_the_start(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            await store.create((new_lease("s1", start=at(5)),))
            assert await store.pin(PREFIX, 1_700_000_900.0) == 0.0

        run(scene(rig.open()))

    def test_a1_a_pin_goes_with_its_mapping_to_a_new_name(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            await store.pin(PREFIX, 1_700_000_100.0)
            await store.create((new_lease("s1"),))
            await store.rename(((PREFIX, self.OTHER),))
            assert await store.pin(self.OTHER, 1_700_000_900.0) == 1_700_000_100.0
            assert await store.pin(PREFIX, 1_700_000_950.0) == 1_700_000_950.0

        run(scene(rig.open()))


class LeaseContract(CreatingAndReading, Taking, Fencing, CheckpointOrder, Pinning):
    """All of it."""
