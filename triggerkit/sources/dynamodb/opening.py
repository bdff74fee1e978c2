"""From a locator to clients and a transport. Everything here that can block runs in the runner."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from triggerkit.aws.botocore_transport import BotocoreTransport
from triggerkit.aws.clients import CONTROL_PLANE_ATTEMPTS, ControlPlane, session_of
from triggerkit.aws.credentials import KeyRing
from triggerkit.aws.errors import client_side_error
from triggerkit.aws.fast_transport import FastTransport, tls_for
from triggerkit.aws.intact import refuse_damaged_replies
from triggerkit.aws.sessions import Access, trusted_certificates
from triggerkit.aws.transport import (
    GET_RECORDS,
    Endpoint,
    Transport,
    TransportChoice,
    resolve_endpoint,
)
from triggerkit.core.locators import Locator
from triggerkit.errors import LocatorError
from triggerkit.ports import Services
from triggerkit.sources.dynamodb.service import LOCAL_REGION, TRAITS, StreamArn, parse_stream_arn
from triggerkit.sources.dynamodb.streams_api import StreamsApi
from triggerkit.sources.dynamodb.tables import NAME_HINT

if TYPE_CHECKING:
    import ssl

_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")


@dataclass(frozen=True, slots=True)
class Target:
    """What a locator names: a table, or one stream of it. `arn` is the table's, when it was given."""

    table: str
    arn: str = ""
    stream: StreamArn | None = None
    region: str = ""


def target_of(locator: Locator) -> Target:
    """Read `dynamodb://TABLE`, a table's ARN or a stream's ARN.

    Raises:
        LocatorError: an ARN of something else, or a name that no table can have.
    """
    if not locator.is_arn:
        return Target(_table_name(locator, locator.name))
    parts = locator.name.split(":", 5)
    region = "" if parts[3] == LOCAL_REGION else parts[3]
    resource = parts[5].split("/")
    if len(resource) == 2 and resource[0] == "table" and resource[1]:
        return Target(_table_name(locator, resource[1]), arn=locator.name, region=region)
    stream = parse_stream_arn(locator.name)
    return Target(stream.table, stream=stream, region=region)


def _table_name(locator: Locator, name: str) -> str:
    if _TABLE_NAME.fullmatch(name) is None:
        raise LocatorError(
            f"locator {locator.text!r}: {name!r} is no name of a table", hint=NAME_HINT
        )
    return name


def access_of(locator: Locator, target: Target, services: Services) -> Access:
    """The common keys, in the Region of the ARN where one is given.

    Raises:
        LocatorError: the `region` key differs from the ARN's.
    """
    access = Access.of(locator, services.defaults)
    asked = locator.keys.get("region")
    if not target.region:
        return access
    if asked and asked != target.region:
        raise LocatorError(
            f"locator {locator.shown!r}: region={asked} differs from the ARN's {target.region}",
            hint="leave the region key out: an ARN names its Region",
        )
    return access.in_region(target.region)


class Connector(Protocol):
    """How a source gets at its stream."""

    async def api(self) -> StreamsApi:
        """The control plane. Raises CredentialsError, LocatorError, SourceError."""
        ...

    async def transport(self, api: StreamsApi, arn: StreamArn) -> Transport:
        """The way GetRecords goes. Raises CredentialsError, LocatorError, SourceError."""
        ...


@dataclass(frozen=True, slots=True)
class Connecting:
    """Implements `Connector` with boto3's clients, and the fast transport where it will do."""

    access: Access
    choice: TransportChoice
    services: Services

    async def api(self) -> StreamsApi:
        """See `Connector`."""
        return await connect_api(self.access, self.services)

    async def transport(self, api: StreamsApi, arn: StreamArn) -> Transport:
        """See `Connector`."""
        return await connect_transport(api, self.choice, self.access, self.services, arn)


async def connect_api(access: Access, services: Services) -> StreamsApi:
    """Clients for the control plane. Raises CredentialsError, LocatorError, SourceError."""
    session = session_of(access, services)

    def connect() -> StreamsApi:
        tables, streams = (
            session.client(service, attempts=CONTROL_PLANE_ATTEMPTS)
            for service in ("dynamodb", "dynamodbstreams")
        )
        for client in (tables, streams):
            refuse_damaged_replies(client)
        return StreamsApi(ControlPlane(services, session.attempt), tables, streams)

    return await services.run(connect)


async def connect_transport(
    api: StreamsApi, choice: TransportChoice, access: Access, services: Services, arn: StreamArn
) -> Transport:
    """The way GetRecords goes: botocore's where it must be or is asked for, else the fast one.

    Raises:
        CredentialsError, SourceError, LocatorError: the endpoint cannot be resolved.
    """
    thing, session = arn.text, session_of(access, services)
    if choice != "botocore":
        endpoint, tls = await services.run(lambda: _fast_endpoint(api, access, arn))
        if choice == "fast" or endpoint.plain:
            key_ring = KeyRing(services.run, session.credentials)
            return FastTransport(endpoint, tls, key_ring, services, thing, TRAITS)
    client = await services.run(lambda: session.client("dynamodbstreams", attempts=1))
    return BotocoreTransport(client, session.credentials, services, thing, TRAITS)


def _fast_endpoint(
    api: StreamsApi, access: Access, arn: StreamArn
) -> tuple[Endpoint, ssl.SSLContext | None]:
    from botocore.exceptions import BotoCoreError

    try:
        endpoint = resolve_endpoint(api.streams_client, arn.text, trusted_certificates(access))
    except BotoCoreError as error:
        raise client_side_error(error, GET_RECORDS, arn.text) from error
    try:
        return endpoint, tls_for(endpoint)
    except OSError as error:
        raise LocatorError(
            f"the CA file {endpoint.certificates!r} cannot be read: {error}",
            hint="AWS_CA_BUNDLE must name a file of certificates in PEM",
        ) from error
