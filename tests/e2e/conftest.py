"""A user's folder, an endpoint and a process that runs short commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.harness import DUMMY_ACCESS, CommandServer, Place, Tables, serving

APP = """\
from triggerkit import Triggers

handlers = Triggers("shop", maximum_retry_attempts=1)

@handlers.on("dynamodb://orders", batch_size=2)
def bill(event, context):
    for record in event["Records"]:
        print("billed", record["dynamodb"]["Keys"]["id"]["S"])
"""


@pytest.fixture(scope="session")
def commands() -> Iterator[CommandServer]:
    """One for each test process."""
    server = CommandServer()
    yield server
    server.close()


@pytest.fixture
def tables() -> Iterator[Tables]:
    """A fresh endpoint."""
    with serving() as tables:
        yield tables


@pytest.fixture
def place(tmp_path: Path, commands: CommandServer) -> Place:
    """A folder with `app.py` in it, and no way to AWS or to the endpoint."""
    folder = tmp_path / "project"
    folder.mkdir()
    place = Place(folder, commands)
    place.write("app.py", APP)
    return place


@pytest.fixture
def shop(place: Place, tables: Tables) -> Place:
    """The same folder, with the endpoint in its environment."""
    place.environment |= {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": tables.server.endpoint_url}
    return place
