"""A user's project for the commands of `dev`, with or without one that runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.harness import Place

from triggerkit.dev.link import DevLink, claimed, publish
from triggerkit.emulator import Emulator, Server, serve
from triggerkit.emulator.control import Control

TOKEN = "a-token-of-this-start"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a running `dev` is to other commands: an endpoint, and the files that lead to it."""

    place: Place
    server: Server
    link: DevLink

    @property
    def emulator(self) -> Emulator:
        """The engine behind it."""
        return self.server.emulator

    def create(self, table: str, **keys: str) -> None:
        """Create a table with a stream; `keys` are name and type, partition key first."""
        self.emulator.call(
            "CreateTable",
            {
                "TableName": table,
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": kind} for name, kind in keys.items()
                ],
                "KeySchema": [
                    {"AttributeName": name, "KeyType": role}
                    for name, role in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {
                    "StreamEnabled": True,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
            },
        )

    def items(self, table: str) -> list[dict[str, Any]]:
        """All items of a table."""
        found: list[dict[str, Any]] = self.emulator.call("Scan", {"TableName": table})["Items"]
        return found

    def records(self, table: str) -> int:
        """How many records the table's stream has in its first shard."""
        (arn,) = self.emulator.stream_arns(table)
        shards = self.emulator.call("DescribeStream", {"StreamArn": arn})["StreamDescription"]
        place = {
            "StreamArn": arn,
            "ShardId": shards["Shards"][0]["ShardId"],
            "ShardIteratorType": "TRIM_HORIZON",
        }
        iterator = self.emulator.call("GetShardIterator", place)["ShardIterator"]
        return len(self.emulator.call("GetRecords", {"ShardIterator": iterator})["Records"])


@contextmanager
def endpoint_of_dev(place: Place, backend: str = "") -> Iterator[Endpoint]:
    """All of a running `dev` but its worker, in this process."""
    emulator = Emulator()
    with (
        claimed(place.folder) as folder,
        serve(emulator, control=Control(emulator, TOKEN)) as server,
    ):
        link = DevLink(server.endpoint_url, os.getpid(), TOKEN, backend)
        publish(folder, link)
        yield Endpoint(place, server, link)


def leftovers(place: Place, before: dict[str, bytes]) -> set[str]:
    """Files that a command has left behind."""
    return set(place.files) - set(before)


def folder_of(place: Place) -> Path:
    """The folder in which `dev` keeps things."""
    return place.folder / ".triggerkit"
