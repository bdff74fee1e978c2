"""A table on the emulator in process, read by the real source through boto3: no sockets, all else as it is."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
from emulator.dialects import Quirks, speak
from emulator.kit import TABLE, stream_on
from sources.fakes import MovableClock, inline, opened

from triggerkit.aws.botocore_transport import BotocoreTransport
from triggerkit.aws.clients import ControlPlane, open_client
from triggerkit.aws.credentials import RenewableCredentials
from triggerkit.aws.intact import refuse_damaged_replies
from triggerkit.aws.sessions import Access
from triggerkit.aws.transport import Transport
from triggerkit.emulator import Emulator, Server, attach, detach
from triggerkit.ports import Services, Source
from triggerkit.sources.dynamodb.opening import Target
from triggerkit.sources.dynamodb.service import TRAITS, StreamArn
from triggerkit.sources.dynamodb.source import DynamoDBSource
from triggerkit.sources.dynamodb.streams_api import StreamsApi

TABLE_NAME = TABLE["TableName"]
SERVICES = ("dynamodb", "dynamodbstreams")


@cache
def session() -> boto3.session.Session:
    """Kept, since reading the service models takes longer than any test."""
    return boto3.session.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
    )


@cache
def control_plane_clients() -> tuple[Any, Any]:
    """For tables and streams."""
    clients = [open_client(session(), name, Access(), attempts=1) for name in SERVICES]
    for client in clients:
        refuse_damaged_replies(client)
    tables, streams = clients
    return tables, streams


class AttachedConnector:
    """Implements `sources.dynamodb.opening.Connector`: what production makes, with the emulator attached."""

    def __init__(self, emulator: Emulator, services: Services) -> None:
        self._services = services
        self._emulator = emulator

    async def api(self) -> StreamsApi:
        tables, streams = control_plane_clients()
        for client in (tables, streams):
            detach(client)
            attach(client, self._emulator)
        return StreamsApi(ControlPlane(self._services), tables, streams)

    async def transport(self, api: StreamsApi, arn: StreamArn) -> Transport:
        client = open_client(session(), "dynamodbstreams", Access(), attempts=1)
        attach(client, self._emulator)
        credentials = RenewableCredentials(session().get_credentials)
        return BotocoreTransport(client, credentials, self._services, arn.text, TRAITS)


class AttachedWorld:
    """Implements `RollingWorld` of the contract for sources."""

    def __init__(
        self, emulator: Emulator | None = None, quirks: Quirks = (), **settings: Any
    ) -> None:
        self.emulator = emulator or speak(Emulator(**settings), quirks)
        if not self.emulator.call("ListTables", {})["TableNames"]:
            self.emulator.call("CreateTable", {**TABLE, **stream_on()})
        self.faults = self.emulator.faults
        self.clock = MovableClock()

    def open(self) -> Source:
        services = Services(inline, self.clock, {})
        connector = AttachedConnector(self.emulator, services)
        return DynamoDBSource(Target(TABLE_NAME), connector, services)

    def write(self, *names: str) -> None:
        for name in names:
            item = {"pk": {"S": name}}
            self.emulator.call("PutItem", {"TableName": TABLE_NAME, "Item": item})

    def roll(self) -> None:
        self.emulator.roll(TABLE_NAME)

    def split(self) -> None:
        self.emulator.split(TABLE_NAME)

    def turn_off(self) -> None:
        self._specify({"StreamEnabled": False})

    def turn_on(self) -> None:
        self._specify(stream_on()["StreamSpecification"])

    def calls(self, operation: str) -> int:
        """How many calls of an operation came so far."""
        return self.emulator.calls[operation]

    def _specify(self, stream: dict[str, Any]) -> None:
        request = {"TableName": TABLE_NAME, "StreamSpecification": stream}
        self.emulator.call("UpdateTable", request)


class ServedWorld(AttachedWorld):
    """The same over HTTP, by the fast transport."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.emulator)
        self._endpoint_url = server.endpoint_url

    def open(self) -> Source:
        return opened(f"dynamodb://{TABLE_NAME}?endpoint_url={self._endpoint_url}", self.clock)
