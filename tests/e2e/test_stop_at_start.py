"""SIGTERM and SIGINT at every moment of a start: real processes, endpoints that accept and never answer."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from e2e.harness import DUMMY_ACCESS, Place, Running, Tables

STOP_SECONDS = 14.0
"""What an idle machine needs is below one second; a call that hangs would take 15 seconds or more."""
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
RUN = ("run", "app:handlers", "--state", "sqlite:///state.db")


class BlackHole:
    """A server that accepts connections and never says anything."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(30.0)
        self._accepted: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def wait_connected(self) -> None:
        self._accepted.append(self._listener.accept()[0])

    def close(self) -> None:
        for one in (*self._accepted, self._listener):
            one.close()


@pytest.fixture
def hole() -> Iterator[BlackHole]:
    hole = BlackHole()
    yield hole
    hole.close()


def assert_stops(worker: Running, number: signal.Signals) -> float:
    """Send the signal; the process ends well, soon and without a traceback; the seconds it took."""
    began = time.monotonic()
    worker.signal(number)
    done = worker.wait()
    took_seconds = time.monotonic() - began
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert took_seconds < STOP_SECONDS, done.stderr
    return took_seconds


def sessions(place: Place) -> int:
    """How many sessions the state file has."""
    file = place.folder / "state.db"
    if not file.exists():
        return 0
    with sqlite3.connect(file) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM session").fetchone()
    connection.close()
    return int(count)


@BOTH
def test_b7_a_stop_while_the_module_is_imported(number: signal.Signals, place: Place) -> None:
    place.write("app.py", "import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    with place.running(*RUN) as worker:
        worker.until(lambda: "importing\n" in worker.err, "importing")
        assert_stops(worker, number)


def test_b7_a_stop_that_the_module_swallows_is_remembered(place: Place, hole: BlackHole) -> None:
    place.write(
        "app.py",
        "import time\nfrom triggerkit import Triggers\nhandlers = Triggers('shop')\n"
        "@handlers.on('dynamodb://orders')\ndef bill(event, context): pass\n"
        "try:\n    print('importing', flush=True)\n    time.sleep(600)\nexcept BaseException:\n    pass\n",
    )
    place.environment |= {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": hole.url}
    with place.running(*RUN) as worker:
        worker.until(lambda: "importing\n" in worker.err, "importing")
        assert_stops(worker, signal.SIGTERM)


@BOTH
def test_b7_a_stop_while_the_endpoint_never_answers(
    number: signal.Signals, place: Place, hole: BlackHole
) -> None:
    place.environment |= {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": hole.url}
    with place.running(*RUN) as worker:
        hole.wait_connected()
        assert_stops(worker, number)
    assert "state.db" not in place.files


def test_b7_a_stop_while_credentials_never_come(place: Place, hole: BlackHole) -> None:
    place.environment |= {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{hole.url}/credentials",
    }
    with place.running(*RUN) as worker:
        hole.wait_connected()
        assert_stops(worker, signal.SIGTERM)


@pytest.mark.parametrize(
    "operation",
    ["DescribeTable", "ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"],
)
def test_b7_a_stop_while_one_call_of_the_start_hangs(
    operation: str, shop: Place, tables: Tables
) -> None:
    tables.put("orders", "a")
    barrier = tables.emulator.faults.barrier(operation)
    with shop.running(*RUN) as worker:
        barrier.wait_reached(30.0)
        assert_stops(worker, signal.SIGTERM)
    barrier.release()
    assert sessions(shop) == 0


@BOTH
def test_b7_a_stop_while_the_state_is_locked(
    number: signal.Signals, shop: Place, tables: Tables
) -> None:
    tables.put("orders", "a")
    assert shop.run(*RUN, "--burst").code == 0
    with (
        locked(shop),
        shop.running(*RUN[:-1], "sqlite:///state.db?busy_timeout_seconds=60") as worker,
    ):
        worker.until(lambda: has_open(worker, "state.db"), "the wait for the lock")
        assert_stops(worker, number)


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """The write lock of the state file, held by another program."""
    connection = sqlite3.connect(place.folder / "state.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def has_open(worker: Running, name: str) -> bool:
    """Whether the process has a file of that name open."""
    for descriptor in Path(f"/proc/{worker.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            if name in os.readlink(descriptor):
                return True
    return False


LIFESPANS = {
    "async": "async def life():\n    print('entering')\n    await asyncio.sleep(600)\n    yield\n",
    "blocking in async": "async def life():\n    print('entering')\n    time.sleep(600)\n    yield\n",
    "sync": "def life():\n    print('entering')\n    time.sleep(600)\n    yield\n",
}


@pytest.mark.parametrize("kind", LIFESPANS)
def test_b7_a_stop_while_the_lifespan_is_entered(kind: str, shop: Place, tables: Tables) -> None:
    shop.write(
        "app.py",
        "import asyncio, time\nfrom contextlib import asynccontextmanager, contextmanager\n"
        "from triggerkit import Triggers\n"
        + ("@contextmanager\n" if kind == "sync" else "@asynccontextmanager\n")
        + LIFESPANS[kind]
        + "handlers = Triggers('shop', lifespan=life)\n"
        "@handlers.on('dynamodb://orders')\nasync def bill(event, context): pass\n",
    )
    with shop.running(*RUN) as worker:
        worker.until(lambda: "entering" in "".join(worker.err), "the lifespan")
        assert_stops(worker, signal.SIGTERM)
    assert sessions(shop) == 0


def test_f9_a_child_of_the_tests_hears_sigint() -> None:
    probe = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_b7_a_second_signal_at_the_start_ends_at_once(place: Place) -> None:
    place.write(
        "app.py",
        "import time\nwhile True:\n"
        "    try:\n        print('importing', flush=True)\n        time.sleep(600)\n"
        "    except BaseException:\n        print('swallowed', flush=True)\n",
    )
    with place.running(*RUN) as worker:
        worker.until(lambda: "importing\n" in worker.err, "importing")
        worker.signal(signal.SIGTERM)
        worker.until(lambda: "swallowed\n" in worker.err, "swallowed")
        worker.signal(signal.SIGTERM)
        assert worker.wait().code == 130


@BOTH
def test_b7_dev_stops_while_its_worker_waits_for_a_backend(
    number: signal.Signals, place: Place, hole: BlackHole
) -> None:
    with place.running("dev", "app:handlers", "--port", "0", "--backend", hole.url) as dev:
        hole.wait_connected()
        assert_stops(dev, number)
