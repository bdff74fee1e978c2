"""Kinesis Mock 0.6.2 for tests, fetched and kept as `components.py` does with all that is real.

It listens on all interfaces and has no flag for less: run it where that is no harm.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from components import (
    START_TIMEOUT_SECONDS,
    STOP_TIMEOUT_SECONDS,
    ComponentMissing,
    NpmPackage,
    fetch,
    free_port,
    skip_or_fail,
)

KINESIS_MOCK_0_6_2 = NpmPackage(
    name="kinesis-local",
    version="0.6.2",
    sha256="7f450e244b3c609b640b22ab005c9fdeaeb6e49d72403a3b6ebd9c3270b32cb5",
    proof="package/main.js",
)
DURATIONS = ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT")


def fetched_script() -> Path:
    """Return the script that is the server.

    Raises:
        ComponentMissing: Node.js or npm is absent, or the package cannot be fetched.
    """
    if shutil.which("node") is None:
        raise ComponentMissing("node is not on PATH; Kinesis Mock 0.6.2 needs Node.js")
    return fetch(KINESIS_MOCK_0_6_2) / KINESIS_MOCK_0_6_2.proof


@contextlib.contextmanager
def running_kinesis_mock(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the URL of a started Kinesis Mock; skip (or, under CI, fail) when it cannot be had."""
    try:
        main = fetched_script()
    except ComponentMissing as missing:
        skip_or_fail(missing)
        raise
    port = free_port()
    settings = {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_port()),
        "SHARD_LIMIT": "100000",
        "LOG_LEVEL": "ERROR",
        **{f"{name}_DURATION": "5ms" for name in DURATIONS},
        **(environment or {}),
    }
    # Its folder must hold its certificate, server.json.
    with running_node([main.name], main.parent, settings, port) as url:
        yield url


@contextlib.contextmanager
def running_node(
    arguments: list[str], folder: Path, settings: Mapping[str, str], port: int
) -> Iterator[str]:
    """Yield the URL of a server that Node.js runs in `folder`, once it answers on `port`."""
    server = subprocess.Popen(
        ["node", *arguments],
        cwd=folder,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    """Return when the server answers.

    Raises:
        RuntimeError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthcheck")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.02)
        finally:
            connection.close()
    raise RuntimeError(f"the server of {server.args!r} did not start")
