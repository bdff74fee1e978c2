"""GetRecords as bytes: what both transports share. A reply that leaves a transport is intact.

`FastTransport` speaks HTTP itself because botocore's parser costs 15 times the JSON and its request
machinery 1 ms a poll; `BotocoreTransport` serves what the fast one cannot, such as proxies. One
attempt each: the reader repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from triggerkit.aws.limits import Body
from triggerkit.aws.signing import Scope
from triggerkit.core.locators import Locator
from triggerkit.errors import DamagedReplyError, LocatorError

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

GET_RECORDS = "dynamodb:GetRecords"
TransportChoice: TypeAlias = Literal["auto", "fast", "botocore"]
_CHOICES = ("auto", "fast", "botocore")


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of a good answer, checked, and the service's time (0.0 where it has no `Date`).

    `has_checksum`: the service sent one, and it fits, so that the body is what the service meant to send.
    """

    body: Body
    service_seconds: float
    has_checksum: bool = False


class Transport(Protocol):
    """How GetRecords is sent."""

    async def get_records(self, iterator: str, limit: int) -> Reply:
        """One attempt.

        Raises:
            AwsError: the service answered with an error.
            ReplyTooLargeError: the reply is larger than the source's `reply_bytes`.
            DamagedReplyError: the reply is not what was sent; the same iterator may be used again.
            EndpointUnreachableError: no reply. CredentialsError: none to sign with.
        """
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where GetRecords goes, as botocore resolved it. `certificates` is the path of a CA file."""

    url: str
    scope: Scope
    certificates: str
    behind_proxy: bool

    @property
    def plain(self) -> bool:
        """Whether the fast transport can serve it: no proxy in the way, no path to be signed."""
        return not self.behind_proxy and urlsplit(self.url).path in {"", "/"}

    @property
    def host(self) -> str:
        """The `Host` header: without a port where it is the scheme's own."""
        parts = urlsplit(self.url)
        default_port = {"http": 80, "https": 443}.get(parts.scheme)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        return host if parts.port in {None, default_port} else f"{host}:{parts.port}"


def chosen_transport(locator: Locator) -> TransportChoice:
    """The locator's `transport` key.

    Raises:
        LocatorError: it is none of the known ones.
    """
    choice = locator.keys.get("transport", "auto")
    if choice not in _CHOICES:
        raise LocatorError(
            f"locator {locator.shown!r}: transport {choice!r} does not exist",
            hint=f"transports: {', '.join(_CHOICES)}",
        )
    return cast("TransportChoice", choice)


def damaged(thing: str, why: str) -> DamagedReplyError:
    """The error for a reply that says nothing: neither records nor the lack of them."""
    return DamagedReplyError(
        f"{GET_RECORDS} on {thing}: the reply is damaged: {why}",
        hint="it is read again with the same iterator; look at the endpoint, and at proxies before it, "
        "if it goes on",
    )


def resolve_endpoint(client: Any, stream_arn: str, certificates: str) -> Endpoint:
    """Ask botocore where it would send GetRecords, without sending. Blocks.

    The host depends on the iterator's account (`ACCOUNT.streams-ddb.REGION.amazonaws.com`) unless an
    endpoint is given, so a whole request is prepared, signed and stopped before it leaves.

    Raises:
        BotoCoreError: what preparing raised.
    """
    from botocore.awsrequest import AWSResponse
    from botocore.utils import get_environ_proxies

    prepared: list[AWSPreparedRequest] = []

    def stop(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        prepared.append(request)
        return AWSResponse(request.url, 200, cast("Any", {}), cast("Any", _NoBody()))

    events = client.meta.events
    events.register_first("before-send.dynamodb-streams.GetRecords", stop)
    try:
        client.get_records(ShardIterator=f"{stream_arn}|1|none")
    finally:
        events.unregister("before-send.dynamodb-streams.GetRecords", stop)
    request = prepared[0]
    authorization = request.headers["Authorization"]
    text = authorization.decode() if isinstance(authorization, bytes) else str(authorization)
    region, service = text.partition("Credential=")[2].split("/", 4)[2:4]
    # botocore reads NO_PROXY for the client's own host and then asks by the scheme of each request.
    proxies = get_environ_proxies(client.meta.endpoint_url)
    return Endpoint(
        url=str(request.url),
        scope=Scope(region, service),
        certificates=certificates,
        behind_proxy=bool(proxies.get(urlsplit(str(request.url)).scheme)),
    )


class _NoBody:
    """The raw body of the answer that `resolve_endpoint` makes up."""

    def stream(self, **_: Any) -> list[bytes]:
        return [b"{}"]
