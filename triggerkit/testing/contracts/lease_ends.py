"""What every lease store promises about the end, deletion and renaming of rows (leases.md 6.3, 6.6).

The store is used through the port alone.
"""

from __future__ import annotations

from dataclasses import replace

from triggerkit.core.model import SHARD_END, Lease, LeaseKey
from triggerkit.errors import InternalError, LeaseLostError, StateError
from triggerkit.ports import LeaseStore
from triggerkit.testing.contracts.lease_rig import (
    ANNA,
    BERT,
    PREFIX,
    LeaseStoreRig,
    at,
    beating,
    created,
    finished,
    new_lease,
    owned,
    run,
    stored,
)
from triggerkit.testing.contracts.refusals import refused


class Finishing:
    def test_the_parent_ends_and_its_children_are_owned_at_once(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await store.advance(await owned(store, new_lease("s1")), at(9))
            children = (new_lease("s3", "s1"), new_lease("s2", "s1"))
            taken = await store.finish(lease, children, ANNA)
            assert taken == tuple(
                replace(child, owner=ANNA, counter=1, switches=1) for child in children
            )
            parent = replace(
                lease,
                checkpoint=SHARD_END,
                children=tuple(child.shard for child in children),
                owner=None,
                counter=3,
            )
            assert await store.read(PREFIX) == (parent, taken[1], taken[0])
            assert (await store.advance(taken[0], at(1))).counter == 2

        run(scene(rig.open()))

    def test_g3_only_the_children_that_are_asked_for_are_owned(self, rig: LeaseStoreRig) -> None:
        """The others are there for other workers, in the same transaction."""

        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            children = (new_lease("s2", "s1"), new_lease("s3", "s1"))
            wanted = frozenset({children[1].shard})
            (taken,) = await store.finish(lease, children, ANNA, wanted)
            assert taken == replace(children[1], owner=ANNA, counter=1, switches=1)
            assert await stored(store, children[0]) == children[0]
            assert (await stored(store, lease)).children == tuple(c.shard for c in children)
            left = await store.take(children[0], BERT)
            assert left is not None
            assert left.owner == BERT

        run(scene(rig.open()))

    def test_g3_a_finish_may_take_no_child(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            child = new_lease("s2", "s1")
            assert await store.finish(lease, (child,), ANNA, frozenset()) == ()
            assert await stored(store, child) == child
            assert (await stored(store, lease)).finished

        run(scene(rig.open()))

    def test_g3_a_merge_child_that_is_asked_for_still_waits_for_its_other_parent(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            await owned(store, new_lease("p2"), BERT)
            lease, child = await owned(store, new_lease("p1")), new_lease("c", "p1", "p2")
            assert await store.finish(lease, (child,), ANNA, frozenset({child.shard})) == ()
            assert await stored(store, child) == child

        run(scene(rig.open()))

    def test_an_existing_child_row_is_left_as_it_is_and_not_given(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            unowned = await created(store, new_lease("s2", "s1"))
            held = await owned(store, new_lease("s3", "s1"))
            children = (unowned, held, new_lease("s4", "s1"))
            taken = await finished(store, new_lease("s1"), *children)
            assert [child.shard for child in taken] == [children[2].shard]
            assert await stored(store, unowned) == unowned
            assert await stored(store, held) == held

        run(scene(rig.open()))

    def test_a_merge_child_is_created_unowned_by_the_first_parent(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            other = await owned(store, new_lease("p2"), BERT)
            child = new_lease("c", "p1", "p2")
            assert await finished(store, new_lease("p1"), child) == ()
            assert await stored(store, child) == child
            assert await store.finish(other, (child,), BERT) == ()
            assert await store.take(await stored(store, child), BERT) is not None

        run(scene(rig.open()))

    def test_a_merge_child_whose_other_parent_is_done_is_owned_at_once(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            await finished(store, new_lease("p2"))
            (child,) = await finished(store, new_lease("p1"), new_lease("c", "p1", "p2"))
            assert child.owner == ANNA

        run(scene(rig.open()))

    def test_a_merge_child_whose_other_parent_has_no_row_is_left_to_the_next_survey(
        self, rig: LeaseStoreRig
    ) -> None:
        """The row may only be late: owned now, the child could run before that parent."""

        async def scene(store: LeaseStore) -> None:
            child = new_lease("c", "p1", "p2")
            assert await finished(store, new_lease("p1"), child) == ()
            assert await stored(store, child) == child

        run(scene(rig.open()))

    def test_finished_parents_of_another_mapping_do_not_count(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            await finished(store, new_lease("p2", prefix="other@prod:orders:x:"))
            taken = await finished(store, new_lease("p1"), new_lease("c", "p1", "p2"))
            assert taken == ()

        run(scene(rig.open()))

    def test_children_found_late_are_added_to_the_finished_row(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            assert await store.finish(lease, None, ANNA) == ()
            row = await stored(store, lease)
            assert (row.finished, row.owner, row.children) == (True, None, None)
            (child,) = await store.finish(row, (new_lease("s2", "s1"),), BERT)
            assert child.owner == BERT
            assert (await stored(store, lease)).children == (child.shard,)
            with refused(LeaseLostError):
                await store.finish(row, (new_lease("s3", "s1"),), ANNA)
            assert len(await store.read(PREFIX)) == 2

        run(scene(rig.open()))

    def test_no_children_is_told_from_children_not_found(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            await finished(store, new_lease("s1"))
            assert (await stored(store, new_lease("s1"))).children == ()

        run(scene(rig.open()))

    def test_the_reason_of_a_lost_shard_is_kept(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            await store.finish(replace(lease, lost_reason="shard is gone"), None, ANNA)
            assert (await stored(store, lease)).lost_reason == "shard is gone"

        run(scene(rig.open()))

    def test_a_finish_that_fails_writes_nothing(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            misnamed = replace(lease, shard=new_lease("s9").shard)
            with refused(InternalError, "does not end in its shard"):
                await store.finish(misnamed, (new_lease("s2", "s1"),), ANNA)
            assert await store.read("") == (lease,)

        run(scene(rig.open()))


class Forgetting:
    def test_only_a_finished_row_as_seen_is_deleted(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lease = await owned(store, new_lease("s1"))
            assert await store.forget(lease) is False
            await store.finish(lease, (), ANNA)
            row = await stored(store, lease)
            assert await store.forget(lease) is False
            assert await store.forget(row) is True
            assert await store.read("") == ()

        run(scene(rig.open()))


class Renaming:
    OLD, NEW = "shop@prod:orders:", "shop@prod:sales:"

    def test_rows_move_with_all_they_hold_and_others_stay(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            await finished(store, new_lease("s1"), new_lease("s2", "s1"))
            child = await stored(store, new_lease("s2", "s1"))
            other = await created(store, new_lease("s1", prefix="shop@prod:orders2:x:"))
            rows = await store.read(self.OLD)
            assert await store.rename(((self.OLD, self.NEW),)) == 2
            assert await store.read(self.OLD) == ()
            assert await store.read(self.NEW) == tuple(self._moved(row) for row in rows)
            assert await store.read(other.key) == (other,)
            with refused(LeaseLostError):
                await store.advance(child, at(1))
            assert await store.take(self._moved(child), BERT) is not None

        run(scene(rig.open()))

    def _moved(self, lease: Lease) -> Lease:
        return replace(lease, key=LeaseKey(lease.key.replace(self.OLD, self.NEW)))

    def test_a_row_of_a_session_that_lives_stops_it_and_nothing_moves(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            await created(store, new_lease("s1"))
            session = await beating(store)
            held = await owned(store, new_lease("s2"), session.id)
            with refused(StateError, f"s2 is held by {session.id}"):
                await store.rename(((self.OLD, self.NEW),))
            assert await store.read("") == (new_lease("s1"), held)
            assert await store.expire(session)
            assert await store.rename(((self.OLD, self.NEW),)) == 2

        run(scene(rig.open()))

    def test_state_under_the_new_name_stops_it(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            rows = (new_lease("s1"), new_lease("s9", prefix=self.NEW + "x:"))
            await store.create(rows)
            with refused(StateError, "there is state under the new name"):
                await store.rename(((self.OLD, self.NEW),))
            assert await store.read("") == rows

        run(scene(rig.open()))

    def test_prefixes_that_contain_each_other_are_refused(self, rig: LeaseStoreRig) -> None:
        for prefix in ("shop@prod:", "shop@prod:orders:x:", "shop@prod:orders:", ""):
            with refused(StateError, "one contains the other"):
                run(rig.open().rename(((self.OLD, prefix),)))

    def test_nothing_to_move_is_no_error(self, rig: LeaseStoreRig) -> None:
        assert run(rig.open().rename(((self.OLD, self.NEW),))) == 0


class LeaseEndContract(Finishing, Forgetting, Renaming):
    """All of it."""

    def test_several_prefixes_move_together_or_not_at_all(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            rows = (new_lease("s1"), new_lease("s2", prefix="shop@prod:other:x:"))
            await store.create(rows)
            blocked = await created(store, new_lease("s2", prefix="shop@prod:taken:x:"))
            moves = ((self.OLD, self.NEW), ("shop@prod:other:", "shop@prod:taken:"))
            with refused(StateError, "there is state under the new name"):
                await store.rename(moves)
            assert set(await store.read("")) == {*rows, blocked}
            moves = ((self.OLD, self.NEW), ("shop@prod:other:", "shop@prod:more:"))
            assert await store.rename(moves) == 2
            assert await store.rename(moves) == 0
            assert len(await store.read("shop@prod:more:")) == 1

        run(scene(rig.open()))
