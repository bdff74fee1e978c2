"""What every lease store promises about sessions (leases.md 6.5), through the port alone."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from triggerkit.core.model import Session, SessionId, SessionState
from triggerkit.ports import LeaseStore
from triggerkit.testing.contracts.lease_rig import (
    AmbiguousStore,
    LeaseStoreRig,
    beating,
    in_threads,
    run,
)


async def _beat(store: LeaseStore, session: Session) -> Session | None:
    return await store.beat(session)


class SessionContract:
    def test_a_fresh_session_is_named_after_its_host_and_never_comes_again(
        self, rig: LeaseStoreRig
    ) -> None:
        store = rig.open()
        ids = [store.fresh_session().id for _ in range(100)]
        assert len(set(ids)) == 100
        assert all(re.fullmatch(r"tk:[^:]+:\d+:[0-9a-f]{8}", session) for session in ids)

    def test_the_first_beat_creates_the_row_and_each_other_raises_it_by_one(
        self, rig: LeaseStoreRig
    ) -> None:
        async def scene(store: LeaseStore) -> None:
            session: Session | None = store.fresh_session()
            for beat in range(4):
                assert session is not None
                session = await store.beat(session)
                assert session is not None
                assert session.beat == beat
                assert await store.read_sessions() == (session,)

        run(scene(rig.open()))

    def test_a_session_that_was_never_written_is_not_in_the_store(self, rig: LeaseStoreRig) -> None:
        store = rig.open()
        store.fresh_session()
        assert run(store.read_sessions()) == ()

    def test_a_beat_carries_the_state(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            session = await beating(store)
            draining = await store.beat(replace(session, state=SessionState.DRAINING))
            assert draining == replace(session, beat=1, state=SessionState.DRAINING)
            assert await store.read_sessions() == (draining,)

        run(scene(rig.open()))

    def test_a_beat_of_another_number_is_refused(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            session = await beating(store)
            for _ in range(3):
                beaten = await store.beat(session)
                assert beaten is not None
                session = beaten
            for beat in (session.beat - 2, session.beat + 1, -1):
                assert await store.beat(replace(session, beat=beat)) is None
            assert await store.read_sessions() == (session,)

        run(scene(rig.open()))

    def test_a_beat_without_a_row_does_not_create_one(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            session = await beating(store)
            await store.leave(session)
            assert await store.beat(session) is None
            assert await store.read_sessions() == ()

        run(scene(rig.open()))

    def test_a_repeated_beat_is_accepted_and_seen_by_observers(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            lossy = AmbiguousStore(store)
            fresh = store.fresh_session()
            session = await lossy.twice(lambda s: s.beat(fresh))
            for _ in range(3):
                assert session is not None
                before = (await store.read_sessions())[0].beat
                session = await lossy.twice(partial(_beat, session=session))
                assert session is not None
                # the deadline counts from the repeat, so observers must see the repeat too
                assert (await store.read_sessions()) == (session,)
                assert session.beat == before + 2

        run(scene(rig.open()))

    def test_a_beat_lost_many_times_is_still_accepted(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            session = await beating(store)
            for _ in range(5):
                await store.beat(session)
            beaten = await store.beat(session)
            assert beaten is not None
            assert await store.beat(beaten) is not None

        run(scene(rig.open()))

    def test_a_expired_session_never_beats_again(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            session = await beating(store)
            assert await store.expire(session) is True
            dead = replace(session, state=SessionState.DEAD)
            assert await store.read_sessions() == (dead,)
            assert await store.beat(session) is None
            assert await store.expire(session) is True
            assert await store.read_sessions() == (dead,)

        run(scene(rig.open()))

    def test_a_session_that_has_beaten_meanwhile_is_not_expired(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            observed = await beating(store)
            beaten = await store.beat(observed)
            assert await store.expire(observed) is False
            assert await store.read_sessions() == (beaten,)

        run(scene(rig.open()))

    def test_a_session_without_a_row_is_dead(self, rig: LeaseStoreRig) -> None:
        store = rig.open()
        assert run(store.expire(Session(SessionId("tk:host:1:gone0000"), 3))) is True
        assert run(store.read_sessions()) == ()

    def test_leaving_deletes_the_row(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            other, session = await beating(store), await beating(store)
            await store.leave(session)
            await store.leave(session)
            assert await store.read_sessions() == (other,)

        run(scene(rig.open()))

    def test_a_dead_row_is_deleted_after_a_day_by_any_beat(self, rig: LeaseStoreRig) -> None:
        async def scene(store: LeaseStore) -> None:
            dead, other = await beating(store), await beating(store)
            await store.expire(dead)
            beaten = await store.beat(other)
            assert beaten is not None
            assert len(await store.read_sessions()) == 2
            rig.age_by_a_day()
            beaten = await store.beat(beaten)
            assert await store.read_sessions() == (beaten,)
            assert await store.beat(dead) is None

        run(scene(rig.open()))

    def test_of_a_beat_and_an_expiry_that_race_one_wins(self, rig: LeaseStoreRig) -> None:
        for _ in range(20):
            observed = run(beating(rig.open()))

            def beat(session: Session = observed) -> bool:
                return run(rig.open().beat(session)) is not None

            def expire(session: Session = observed) -> bool:
                return run(rig.open().expire(session))

            beaten, *expired = in_threads([beat, expire, expire])
            assert expired == [not beaten] * 2
