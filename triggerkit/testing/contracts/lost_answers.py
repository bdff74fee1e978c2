"""What every lease store promises when an answer is lost (leases.md 6.3, I14).

A write is repeated without knowing what became of the first one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from triggerkit.core.model import Lease, Position
from triggerkit.errors import LeaseLostError, StateError
from triggerkit.ports import LeaseStore
from triggerkit.testing.contracts.lease_rig import (
    ANNA,
    BERT,
    PREFIX,
    AmbiguousStore,
    LeaseStoreRig,
    at,
    created,
    finished,
    new_lease,
    owned,
    run,
    stored,
)
from triggerkit.testing.contracts.refusals import refused


async def _advance(store: LeaseStore, lease: Lease, to: Position) -> Lease:
    return await store.advance(lease, to)


async def _release(store: LeaseStore, lease: Lease, to: Position) -> None:
    await store.release(lease, to)


async def _finish(store: LeaseStore, lease: Lease) -> tuple[Lease, ...]:
    return await store.finish(lease, None, ANNA)


class LostAnswerContract:
    """I14: applied, answer lost, repeated: never a lost lease and never applied twice in effect."""

    def test_a_repeated_take_is_the_same_take(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            seen = await created(store, new_lease("s1"))
            taken = await AmbiguousStore(store).twice(lambda s: s.take(seen, ANNA))
            assert taken == replace(seen, owner=ANNA, counter=1, switches=1)
            assert await stored(store, seen) == taken
            assert await store.take(seen, BERT) is None

        run(scene(rig.open()))

    def test_a_repeated_advance_is_the_same_advance(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            advanced = await AmbiguousStore(store).twice(lambda s: s.advance(lease, at(3)))
            assert advanced == replace(lease, checkpoint=at(3), counter=2, switches=0)
            assert (await store.advance(advanced, at(4))).counter == 3

        run(scene(rig.open()))

    def test_a_later_checkpoint_may_follow_an_advance_whose_answer_was_lost(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            lossy = AmbiguousStore(store)
            for number in (3, 4, 5):
                with refused(StateError):
                    await lossy.apply(partial(_advance, lease=lease, to=at(number)))
            advanced = await store.advance(lease, at(5))
            assert advanced == await stored(store, lease)
            assert advanced.checkpoint == at(5)
            await store.release(advanced, at(6))

        run(scene(rig.open()))

    def test_a_release_or_finish_may_follow_an_advance_whose_answer_was_lost(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore, applied: Position) -> None:
            for shard in ("s1", "s2"):
                lease = await owned(store, new_lease(f"{shard}-{applied.sequence_number}"))
                with refused(StateError):
                    await AmbiguousStore(store).apply(partial(_advance, lease=lease, to=applied))
                if shard == "s1":
                    await AmbiguousStore(store).twice(partial(_release, lease=lease, to=at(3)))
                    assert (await stored(store, lease)).checkpoint == at(3)
                else:
                    await AmbiguousStore(store).twice(partial(_finish, lease=lease))
                    assert (await stored(store, lease)).finished
                assert (await stored(store, lease)).owner is None

        for applied in (at(3), at(2)):
            run(scene(rig.open(), applied))

    def test_a_repeated_release_does_not_undo_the_next_owner(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            await AmbiguousStore(store).twice(lambda s: s.release(lease, at(3)))
            taken = await store.take(await stored(store, lease), BERT)
            with refused(LeaseLostError):
                await store.release(lease, at(3))
            assert await stored(store, lease) == taken

        run(scene(rig.open()))

    def test_an_advance_after_a_release_that_was_applied_is_refused(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            await store.release(lease, at(3))
            with refused(LeaseLostError):
                await store.advance(lease, at(4))

        run(scene(rig.open()))

    def test_a_repeated_finish_gives_the_same_children(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            children = (new_lease("s2", "s1"), new_lease("s3", "s1"))
            taken = await AmbiguousStore(store).twice(lambda s: s.finish(lease, children, ANNA))
            assert [child.shard for child in taken] == [child.shard for child in children]
            assert await store.read(PREFIX) == (await stored(store, lease), *taken)
            assert (await stored(store, lease)).counter == 2

        run(scene(rig.open()))

    def test_g3_a_repeated_finish_that_asks_for_other_children_gives_those_of_the_first(
        self, rig: LeaseStoreRig
    ) -> None:
        """The share of a worker may change between the write and its repetition."""

        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            children = (new_lease("s2", "s1"), new_lease("s3", "s1"))
            (first,) = await store.finish(lease, children, ANNA, frozenset({children[0].shard}))
            again = await store.finish(lease, children, ANNA, frozenset({children[1].shard}))
            assert again == (first,)
            assert await stored(store, children[1]) == children[1]

        run(scene(rig.open()))

    def test_a_repeated_finish_does_not_give_a_child_again_that_moved_on(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            children = (new_lease("s2", "s1"), new_lease("s3", "s1"))
            first, second = await store.finish(lease, children, ANNA)
            await store.take(first, ANNA)
            await store.advance(second, at(1))
            assert await store.finish(lease, children, ANNA) == ()

        run(scene(rig.open()))

    def test_a_repeated_forget_is_true(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            await finished(store, new_lease("s1"))
            row = await stored(store, new_lease("s1"))
            assert await AmbiguousStore(store).twice(lambda s: s.forget(row)) is True

        run(scene(rig.open()))

    def test_a_write_cancelled_after_it_was_applied_can_be_repeated(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            write = asyncio.ensure_future(store.advance(lease, at(3)))
            await asyncio.sleep(0)
            write.cancel()
            await asyncio.gather(write, return_exceptions=True)
            assert (await store.advance(lease, at(3))).checkpoint == at(3)

        run(scene(rig.open()))
