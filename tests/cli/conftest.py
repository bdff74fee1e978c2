"""Fixtures of the commands that go with `dev`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.stage import Endpoint, endpoint_of_dev
from e2e.harness import CommandServer, Place

APP = """\
from triggerkit import Triggers

handlers = Triggers("shop", maximum_retry_attempts=1)

@handlers.on("dynamodb://orders", batch_size=10)
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
def project(tmp_path: Path, commands: CommandServer) -> Place:
    """A folder with `app.py` and a configuration."""
    folder = tmp_path / "project"
    folder.mkdir()
    place = Place(folder, commands)
    place.write("app.py", APP)
    place.write("triggerkit.toml", 'target = "app:handlers"\n')
    return place


@pytest.fixture
def endpoint(project: Place) -> Iterator[Endpoint]:
    """The endpoint of a running `dev`, with a table `orders`."""
    with endpoint_of_dev(project) as running:
        running.create("orders", id="S")
        yield running
