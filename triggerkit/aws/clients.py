"""boto3 clients and the calls of the control plane. boto3 blocks, so it is called through the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from triggerkit.aws.credentials import CredentialsProvider, RenewableCredentials
from triggerkit.aws.errors import (
    AGAIN,
    AwsError,
    client_side_error,
    date_of,
    refusal_of,
)
from triggerkit.aws.intact import DamagedBody
from triggerkit.aws.limits import REPLY_BYTES, OversizedBody, limit_replies, too_large, within
from triggerkit.aws.sessions import Access, open_session, resolve_credentials
from triggerkit.core.masking import masked
from triggerkit.errors import DamagedReplyError, LocatorError
from triggerkit.ports import Services

if TYPE_CHECKING:
    import boto3

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 15.0
CONTROL_PLANE_ATTEMPTS = 3
"""All botocore attempts of one control-plane call, and how often a damaged reply is asked for anew."""

END_OF_TIMES_SECONDS = 4_102_444_800.0
"""The year 2100: what is behind it is no time in seconds."""

Answer = Mapping[str, Any]


def open_client(
    session: boto3.session.Session, service: str, access: Access, *, attempts: int
) -> Any:
    """A boto3 client that makes at most `attempts` attempts a call. Blocks.

    Raises:
        LocatorError: no Region, or an endpoint that is no URL. CredentialsError, SourceError.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        user_agent_extra="triggerkit",
        parameter_validation=False,  # the service judges: other endpoints have shorter ids than AWS
    )
    make: Callable[..., Any] = session.client
    try:
        client = make(service, endpoint_url=access.endpoint_url or None, config=config)
    except (BotoCoreError, ValueError) as error:  # a URL that cannot be read is a ValueError
        if isinstance(error, BotoCoreError):
            raise client_side_error(error, "the client", service) from error
        raise LocatorError(
            masked(f"endpoint_url {access.endpoint_url!r}: {error}"), hint="write http://HOST:PORT"
        ) from error
    limit_replies(client, REPLY_BYTES)
    return client


class AwsSession:
    """The clients of one `Access`. All sign with the same credentials, which are renewed for all at once."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = Lock()
        self._session: boto3.session.Session | None = None
        self.credentials = RenewableCredentials(lambda: resolve_credentials(access))

    def client(self, service: str, *, attempts: int) -> Any:
        """See `open_client`. Blocks."""
        with self._lock:  # a boto3 session may not make two clients at once
            if self._session is None:
                provider = CredentialsProvider(self.credentials)
                self._session = open_session(self._access, provider)
            return open_client(self._session, service, self._access, attempts=attempts)

    def attempt(self, call: Callable[[], Answer], action: str, thing: str, /) -> Answer:
        """Implements `Attempt`; made again with renewed credentials where stale ones were refused."""
        return self.credentials.retried(lambda: _attempt(call, action, thing))


def session_of(access: Access, services: Services) -> AwsSession:
    """The one session for `access` of all adapters that were lent the same `services.shared`."""
    session = services.shared.setdefault(access, AwsSession(access))
    assert isinstance(session, AwsSession), f"{access} is the key of something else"
    return session


class Attempt(Protocol):
    """One call of a client, and what it raises in our words: AwsError, SourceError, LocatorError."""

    def __call__(self, call: Callable[[], Answer], action: str, thing: str, /) -> Answer:
        """What `call` answers."""
        ...


class ControlPlane:
    """Calls boto3 through the runner and tells the clock the `Date` of every answer, good or bad.

    `attempt` is for clients that are not boto3's and raise errors of their own.
    """

    def __init__(self, services: Services, attempt: Attempt | None = None) -> None:
        self._services = services
        self._attempt: Attempt = attempt or _attempt

    async def run(self, call: Callable[[], None]) -> None:
        """Run what asks the service nothing."""
        await self._services.run(call)

    async def call(
        self, call: Callable[[], Answer], *, action: str, thing: str
    ) -> tuple[Answer, float]:
        """What `call` answers, and the service's time when it answered (0.0 when it does not say).

        Raises:
            AwsError: the service answered with an error. SourceError, LocatorError: it did not answer.
        """
        try:
            answer = await within(
                self._services.run, lambda: self._attempt(call, action, thing), action, thing
            )
        except AwsError as refusal:
            self._observe(refusal.date)
            raise
        return answer, self._observe(date_of(answer["ResponseMetadata"]))

    def _observe(self, date: str) -> float:
        service_seconds = service_time(date)
        if service_seconds:
            self._services.clock.observe_service_time(service_seconds)
        return service_seconds


def _attempt(call: Callable[[], Answer], action: str, thing: str) -> Answer:
    """All calls of the control plane may be repeated, so a reply that came damaged is."""
    for _ in range(CONTROL_PLANE_ATTEMPTS - 1):
        with suppress(DamagedReplyError):
            return _attempt_once(call, action, thing)
    return _attempt_once(call, action, thing)


def _attempt_once(call: Callable[[], Answer], action: str, thing: str) -> Answer:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except DamagedBody as error:
        raise DamagedReplyError(
            f"{action} on {thing}: the reply is damaged: {error}",
            hint=f"{AGAIN}; look at the endpoint, and at proxies before it, if it goes on",
        ) from error
    except OversizedBody as error:
        raise too_large(action, thing, error) from error
    except ClientError as error:
        raise refusal_of(error, action, thing) from error
    except BotoCoreError as error:
        raise client_side_error(error, action, thing) from error


@lru_cache(maxsize=8)  # many answers come within one second and carry the same text
def service_time(date: str) -> float:
    """UNIX seconds of an HTTP `Date` header; 0.0 when it is missing, cannot be read or cannot be meant."""
    try:
        at_seconds = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return at_seconds if 0.0 < at_seconds < END_OF_TIMES_SECONDS else 0.0
