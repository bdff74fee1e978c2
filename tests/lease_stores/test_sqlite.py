"""What the SQLite store alone promises: paths, modes, formats, locks and errors that name the file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from triggerkit.core.locators import parse
from triggerkit.core.model import (
    LATEST,
    TRIM_HORIZON,
    Lease,
    LeaseKey,
    Now,
    Position,
    PositionKind,
    SessionId,
    ShardId,
)
from triggerkit.errors import (
    InternalError,
    LocatorError,
    StateError,
    StateFormatError,
    StateLockedError,
    StateUnusableError,
)
from triggerkit.lease_stores import sqlite
from triggerkit.lease_stores.sqlite import SqliteLeaseStore
from triggerkit.ports import LeaseStore, Services

T = TypeVar("T")
LEASE = Lease(LeaseKey("a@b:m:s:i:s1"), ShardId("i:s1"), TRIM_HORIZON)
ANNA = SessionId("tk:host:1:00000001")


class NoClock:
    def now(self) -> Now:
        return Now(0.0, 0.0)

    def observe_service_time(self, service_seconds: float) -> None:
        del service_seconds


class InlineRun:
    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, call: Callable[[], T], /) -> T:
        self.calls += 1
        return call()


def unopened(text: str, base_path: Path = Path()) -> LeaseStore:
    services = Services(run=InlineRun(), clock=NoClock(), base_path=str(base_path))
    return sqlite.open(parse(text), services)


@contextmanager
def opened(path: Path, keys: str = "") -> Iterator[LeaseStore]:
    store = unopened(f"sqlite:///{path}{keys}")
    asyncio.run(store.prepare())
    try:
        yield store
    finally:
        asyncio.run(store.close())


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def path_of(store: LeaseStore) -> Path:
    assert isinstance(store, SqliteLeaseStore)
    return store._file.path


# --- locators -----------------------------------------------------------------------------------


def test_three_slashes_are_relative_to_the_base_path_and_four_are_absolute(tmp_path: Path) -> None:
    relative = unopened("sqlite:///.triggerkit/state.db", tmp_path)
    assert path_of(relative) == tmp_path / ".triggerkit" / "state.db"
    assert path_of(unopened("sqlite:////var/lib/state.db", tmp_path)) == Path("/var/lib/state.db")
    assert path_of(unopened("sqlite:///my%20state.db", tmp_path)) == tmp_path / "my state.db"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sqlite://state.db", "has no path of a file"),
        ("sqlite:///", "has no path of a file"),
        ("sqlite:///folder/", "has no path of a file"),
        ("sqlite:///:memory:", "is no file"),
        ("sqlite:///a%00b", "no NUL"),
        ("sqlite:///s.db?mode=ro", "unknown key 'mode'"),
        ("sqlite:///s.db?synchronous=off", "synchronous='off' is not known"),
        ("sqlite:///s.db?busy_timeout_seconds=soon", "'soon' is not a time"),
        ("sqlite:///s.db?busy_timeout_seconds=-1", "'-1' is not a time"),
        ("sqlite:///s.db?busy_timeout_seconds=nan", "'nan' is not a time"),
    ],
)
def test_a_bad_locator_is_refused_with_its_own_text(text: str, said: str) -> None:
    with pytest.raises(LocatorError, match=said) as caught:
        unopened(text)
    assert text in caught.value.message


def test_opening_touches_nothing_before_prepare(tmp_path: Path) -> None:
    store = unopened("sqlite:///new/state.db", tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InternalError, match="prepare it first"):
        asyncio.run(store.read(""))


def test_every_call_goes_through_the_runner(tmp_path: Path) -> None:
    run = InlineRun()
    services = Services(run=run, clock=NoClock(), base_path=str(tmp_path))
    store = sqlite.open(parse("sqlite:///state.db"), services)

    async def scene() -> None:
        await store.prepare()
        await store.create((LEASE,))
        lease = await store.take(LEASE, ANNA)
        assert lease is not None
        lease = await store.advance(lease, Position(PositionKind.AFTER, "5"))
        await store.release(lease, lease.checkpoint)
        await store.read("")
        session = await store.beat(store.fresh_session())
        assert session is not None
        await store.read_sessions()
        await store.leave(session)
        await store.close()

    asyncio.run(scene())
    assert run.calls == 10


# --- the file -----------------------------------------------------------------------------------


def test_prepare_is_true_only_for_a_file_that_had_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = unopened(f"sqlite:///{path}")
    assert asyncio.run(store.prepare()) is True
    assert asyncio.run(store.prepare()) is False
    asyncio.run(store.close())
    for expected in (False, False):
        again = unopened(f"sqlite:///{path}")
        assert asyncio.run(again.prepare()) is expected
        asyncio.run(again.close())


def test_an_empty_file_left_by_a_kill_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch()
    store = unopened(f"sqlite:///{path}")
    assert asyncio.run(store.prepare()) is True
    asyncio.run(store.close())


def test_folder_and_files_are_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "outer" / ".triggerkit" / "state.db"
    before = os.umask(0)
    try:
        with opened(path) as store:
            asyncio.run(store.create((LEASE,)))
            modes = {
                file.name: stat.S_IMODE(file.stat().st_mode)
                for file in (path.parents[1], path.parent, *path.parent.iterdir())
            }
    finally:
        os.umask(before)
    assert modes == {
        "outer": 0o700,
        ".triggerkit": 0o700,
        "state.db": 0o600,
        "state.db-wal": 0o600,
        "state.db-shm": 0o600,
    }


def test_the_file_is_in_wal_mode_with_our_marks(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with opened(path), connected(path) as connection:
        for pragma, expected in (
            ("journal_mode", "wal"),
            ("user_version", 1),
            ("application_id", 0x74726B74),
        ):
            assert connection.execute(f"PRAGMA {pragma}").fetchone() == (expected,)


@contextmanager
def without_rights() -> Iterator[None]:
    """As a user that is not root: root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    store = unopened(f"sqlite:///{folder}/deeper/state.db")
    with without_rights(), pytest.raises(StateError, match=r"closed.*Permission denied") as caught:
        asyncio.run(store.prepare())
    assert "writable" in caught.value.hint


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StateUnusableError, match=r"taken.* a file, not a folder"):
        unopened(f"sqlite:///{tmp_path}/taken/state.db")


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateUnusableError, match=f"{tmp_path} .* a folder, not a file"):
        unopened(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 200)
    with pytest.raises(StateError, match=r"notes\.txt is not a SQLite database"):
        asyncio.run(unopened(f"sqlite:///{path}").prepare())
    assert path.read_text() == "buy milk\n" * 200


def test_another_programs_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with connected(path) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
        connection.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(StateError, match=r"app\.db is a SQLite database of another program"):
        asyncio.run(unopened(f"sqlite:///{path}").prepare())
    assert path.read_bytes() == before


def test_a_newer_format_is_refused_naming_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with opened(path), connected(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    store = unopened(f"sqlite:///{path}")
    with pytest.raises(StateFormatError, match=r"format 7; .* reads up to 1") as caught:
        asyncio.run(store.prepare())
    assert str(path) in caught.value.message
    assert "upgrade" in caught.value.hint


def test_a_row_changed_by_hand_into_nonsense_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with opened(path) as store, connected(path) as connection:
        asyncio.run(store.create((LEASE,)))
        connection.execute("UPDATE lease SET parentShardId = 'none'")
        with pytest.raises(StateError, match=r"a@b:m:s:i:s1.*cannot be read"):
            asyncio.run(store.read(""))


def test_a_beat_refuses_a_file_that_was_removed_under_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with opened(path) as store:
        session = asyncio.run(store.beat(store.fresh_session()))
        assert session is not None
        path.unlink()
        with pytest.raises(StateError, match="removed or replaced"):
            asyncio.run(store.beat(session))
        path.touch()
        with pytest.raises(StateError, match="removed or replaced"):
            asyncio.run(store.beat(session))


def remove_wal(path: Path) -> None:
    wal_of(path).unlink()


def empty(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    for each in (path, wal_of(path)):
        with each.open("r+b") as stream:
            stream.write(b"garbage " * (each.stat().st_size // 8))


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


@pytest.mark.parametrize("damage", [remove_wal, empty, overwrite])
def test_b6_a_beat_says_that_nobody_else_could_open_the_file(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    """The connection has its pages in memory and could go on for hours: until a restart finds nothing."""
    path = tmp_path / "state.db"
    with opened(path) as store:
        session = asyncio.run(store.beat(store.fresh_session()))
        assert session is not None
        damage(path)
        with pytest.raises(StateUnusableError) as caught:
            asyncio.run(store.beat(session))
        assert str(path) in caught.value.message
        assert caught.value.hint
        assert wal_of(path).exists() == (damage is not remove_wal), "it is not made worse"


@pytest.mark.parametrize("damage", [remove_wal, empty, overwrite])
def test_b6_a_release_is_not_done_in_a_file_that_no_start_could_read(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    """Or a stop would end with success, and its positions would be gone."""
    path = tmp_path / "state.db"
    with opened(path) as store:
        session = store.fresh_session()
        asyncio.run(store.create((LEASE,)))
        taken = asyncio.run(store.take(LEASE, session.id))
        assert taken is not None
        damage(path)
        with pytest.raises(StateUnusableError):
            asyncio.run(store.release(taken, TRIM_HORIZON))


def test_b6_a_file_that_cannot_be_written_any_more_has_to_be_repaired(tmp_path: Path) -> None:
    with opened(tmp_path / "state.db") as store:
        assert isinstance(store, SqliteLeaseStore)
        assert store._file._connection is not None
        store._file._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StateUnusableError, match="cannot be written") as caught:
            asyncio.run(store.beat(store.fresh_session()))
        assert "writable" in caught.value.hint
        store._file._connection.execute("PRAGMA query_only = OFF")
        assert asyncio.run(store.beat(store.fresh_session())) is not None


def test_two_stores_of_one_process_keep_the_locks_that_a_third_process_looks_at(
    tmp_path: Path,
) -> None:
    """Who closes the file last removes its WAL; the others' locks say that they are still there."""
    path = tmp_path / "state.db"
    with opened(path) as store, opened(path):
        before = wal_of(path).stat().st_ino
        script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version')"
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        assert wal_of(path).stat().st_ino == before
        assert asyncio.run(store.beat(store.fresh_session())) is not None


# --- locks --------------------------------------------------------------------------------------


def test_a_write_lock_held_too_long_names_the_file_and_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with opened(path, "?busy_timeout_seconds=0.05") as store, connected(path) as other:
        asyncio.run(store.create((LEASE,)))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateLockedError, match=r"over 0\.05 s") as caught:
            asyncio.run(store.take(LEASE, ANNA))
        assert str(path) in caught.value.message
        assert "end that program's transaction" in caught.value.hint
        assert asyncio.run(store.read("")) == (LEASE,), "readers never wait"
        other.execute("ROLLBACK")
        assert asyncio.run(store.take(LEASE, ANNA)) is not None


def test_a_lock_at_the_start_is_told_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch()
    with connected(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        store = unopened(f"sqlite:///{path}?busy_timeout_seconds=0.05")
        with pytest.raises(StateLockedError, match=r"state\.db"):
            asyncio.run(store.prepare())
        other.execute("ROLLBACK")
        assert asyncio.run(store.prepare()) is True
        asyncio.run(store.close())


def test_a_lock_that_is_let_go_in_time_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with opened(path) as store, connected(path) as other:
        asyncio.run(store.create((LEASE,)))
        other.execute("BEGIN IMMEDIATE")

        async def scene() -> Lease | None:
            loop = asyncio.get_running_loop()
            take = loop.run_in_executor(None, lambda: asyncio.run(store.take(LEASE, ANNA)))
            other.execute("COMMIT")
            return await take

        assert asyncio.run(scene()) is not None


def test_the_default_wait_is_5_seconds() -> None:
    store = unopened("sqlite:///state.db")
    assert isinstance(store, SqliteLeaseStore)
    assert store._file._busy_timeout_seconds == 5.0


# --- durability ---------------------------------------------------------------------------------


def synchronous_of(store: LeaseStore) -> int:
    assert isinstance(store, SqliteLeaseStore)
    connection = store._file._connection
    assert connection is not None
    return int(connection.execute("PRAGMA synchronous").fetchone()[0])


NORMAL, FULL = 1, 2


@pytest.mark.parametrize(("keys", "checkpoint"), [("", NORMAL), ("?synchronous=full", FULL)])
def test_what_decides_a_start_is_fsynced_and_a_plain_checkpoint_only_if_asked(
    tmp_path: Path, keys: str, checkpoint: int
) -> None:
    async def scene(store: LeaseStore) -> list[int]:
        levels = []
        born = Lease(LEASE.key, LEASE.shard, LATEST)
        await store.create((born,))
        levels.append(synchronous_of(store))
        lease = await store.take(born, ANNA)
        assert lease is not None
        levels.append(synchronous_of(store))
        for position in (
            Position(PositionKind.LATEST, at_seconds=5.0),
            Position(PositionKind.AFTER, "1"),
            Position(PositionKind.AFTER, "2"),
        ):
            lease = await store.advance(lease, position)
            levels.append(synchronous_of(store))
        await store.finish(lease, (), ANNA)
        levels.append(synchronous_of(store))
        return levels

    with opened(tmp_path / "state.db", keys) as store:
        assert asyncio.run(scene(store)) == [FULL, FULL, FULL, FULL, checkpoint, FULL]
