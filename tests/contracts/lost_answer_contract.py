"""What every lease store promises when an answer is lost (leases.md 6.3, I14)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from contracts.lease_store_rig import (
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

from triggerkit.core.model import Position
from triggerkit.errors import LeaseLostError, StateError
from triggerkit.ports import LeaseStore


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
                with pytest.raises(StateError):
                    await lossy.apply(lambda s, number=number: s.advance(lease, at(number)))
            advanced = await store.advance(lease, at(5))
            assert advanced == await stored(store, lease)
            assert advanced.checkpoint == at(5)
            await store.release(advanced, at(6))

        run(scene(rig.open()))

    @pytest.mark.parametrize("applied", [at(3), at(2)])
    def test_a_release_or_finish_may_follow_an_advance_whose_answer_was_lost(
        self, rig: LeaseStoreRig, applied: Position
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            for shard in ("s1", "s2"):
                lease = await owned(store, new_lease(shard))
                with pytest.raises(StateError):
                    await AmbiguousStore(store).apply(
                        lambda s, held=lease: s.advance(held, applied)
                    )
                if shard == "s1":
                    await AmbiguousStore(store).twice(lambda s, held=lease: s.release(held, at(3)))
                    assert (await stored(store, lease)).checkpoint == at(3)
                else:
                    await AmbiguousStore(store).twice(
                        lambda s, held=lease: s.finish(held, None, ANNA)
                    )
                    assert (await stored(store, lease)).finished
                assert (await stored(store, lease)).owner is None

        run(scene(rig.open()))

    def test_a_repeated_release_does_not_undo_the_next_owner(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            await AmbiguousStore(store).twice(lambda s: s.release(lease, at(3)))
            taken = await store.take(await stored(store, lease), BERT)
            with pytest.raises(LeaseLostError):
                await store.release(lease, at(3))
            assert await stored(store, lease) == taken

        run(scene(rig.open()))

    def test_an_advance_after_a_release_that_was_applied_is_refused(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            await store.release(lease, at(3))
            with pytest.raises(LeaseLostError):
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
