"""boto3 sessions and clients. boto3 blocks, so what is in here is called through the runner.

boto3 is imported inside functions: its import costs about 0.2 s, and only an opened adapter needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from triggerkit.aws.errors import VALIDATION, AwsError, client_side_error
from triggerkit.aws.intact import DamagedBody
from triggerkit.core.locators import Locator
from triggerkit.errors import CredentialsError, DamagedReplyError, LocatorError
from triggerkit.ports import Services

if TYPE_CHECKING:
    import boto3
    import botocore.session
    from botocore.credentials import Credentials
    from botocore.exceptions import ClientError

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 15.0
CONTROL_PLANE_ATTEMPTS = 3
"""All botocore attempts of one control-plane call, and how often a damaged reply is asked for anew."""

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """Who calls which endpoint: the locator's keys over the process's defaults; empty is boto3's own way."""

    region: str = ""
    profile: str = ""
    role_arn: str = ""
    external_id: str = ""
    endpoint_url: str = ""

    @classmethod
    def of(cls, locator: Locator, defaults: Mapping[str, str]) -> Access:
        """Read the common keys of `locator`.

        Raises:
            LocatorError: `external_id` without `role_arn`.
        """
        keys = {**defaults, **locator.keys}
        access = cls(
            **{
                name: keys.get(name, "")
                for name in ("region", "profile", "role_arn", "external_id", "endpoint_url")
            }
        )
        if access.external_id and not access.role_arn:
            raise LocatorError(
                f"locator {locator.text!r}: external_id without role_arn",
                hint="add role_arn=arn:aws:iam::ACCOUNT:role/NAME",
            )
        return access

    def in_region(self, region: str) -> Access:
        """The same in another Region."""
        return replace(self, region=region)


def open_session(access: Access) -> boto3.session.Session:
    """A boto3 session of its own, so that nothing is shared with the user's handlers. Blocks.

    Raises:
        CredentialsError: the profile does not exist. LocatorError: the AWS configuration cannot be read.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        core = _core(access)
        if access.role_arn:
            _take_role(core, access)
        return boto3.session.Session(region_name=access.region or None, botocore_session=core)
    except BotoCoreError as error:
        raise client_side_error(error, "the AWS session", access.profile or "defaults") from error


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
    )
    make: Callable[..., Any] = session.client
    try:
        return make(service, endpoint_url=access.endpoint_url or None, config=config)
    except (BotoCoreError, ValueError) as error:  # a URL that cannot be read is a ValueError
        if isinstance(error, BotoCoreError):
            raise client_side_error(error, "the client", service) from error
        raise LocatorError(
            f"endpoint_url {access.endpoint_url!r}: {error}", hint="write http://HOST:PORT"
        ) from error


def resolve_credentials(access: Access) -> Credentials:
    """Credentials found anew by boto3's own chain: also those rotated since the last time. Blocks.

    Raises:
        CredentialsError: there are none.
    """
    from botocore.exceptions import BotoCoreError

    try:
        credentials = open_session(access).get_credentials()
    except BotoCoreError as error:
        raise client_side_error(error, "credentials", access.profile or "defaults") from error
    if credentials is None:
        raise CredentialsError(
            "no AWS credentials were found",
            hint="set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ?profile=NAME; "
            "a local endpoint takes any value",
        )
    return credentials


def trusted_certificates(access: Access) -> str:
    """The CA file that botocore would use: AWS_CA_BUNDLE, the profile's, or its own. Blocks."""
    from botocore.httpsession import get_cert_path

    chosen = _core(access).get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return str(chosen or get_cert_path(True))


class _RoleProvider:
    """The first link of a session's credential chain: a role taken with the chain's own credentials."""

    METHOD = "assume-role"
    CANONICAL_NAME = "triggerkit-role"

    def __init__(self, load: Callable[[], Credentials]) -> None:
        self._load = load

    def load(self) -> Credentials:
        """What botocore asks each link for."""
        return self._load()


def _core(access: Access) -> botocore.session.Session:
    from botocore.session import Session

    return Session(profile=access.profile or None)


def _take_role(core: botocore.session.Session, access: Access) -> None:
    """Put a role, taken with the credentials that `core` finds by itself, at the head of its chain."""
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    caller_session = _core(access)
    if access.region:
        caller_session.set_config_variable("region", access.region)
    caller = caller_session.get_credentials()
    if caller is None:
        raise CredentialsError(
            f"role {access.role_arn}: no credentials to take it with",
            hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    extra = {"RoleSessionName": "triggerkit"}
    if access.external_id:
        extra["ExternalId"] = access.external_id
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=caller_session.create_client,
        source_credentials=caller,
        role_arn=access.role_arn,
        extra_args=extra,
    )
    provider = _RoleProvider(
        lambda: DeferredRefreshableCredentials(
            refresh_using=fetcher.fetch_credentials, method=_RoleProvider.METHOD
        )
    )
    chain: Any = core.get_component("credential_provider")
    chain.providers.insert(0, provider)


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
            answer = await self._services.run(lambda: self._attempt(call, action, thing))
        except AwsError as refusal:
            self._observe(refusal.date)
            raise
        return answer, self._observe(date_of(answer["ResponseMetadata"]))

    def _observe(self, date: str) -> float:
        service_seconds = service_time(date)
        if service_seconds:
            self._services.clock.observe_service_time(service_seconds)
        return service_seconds


def date_of(metadata: Mapping[str, Any]) -> str:
    """The `Date` header in botocore's `ResponseMetadata`."""
    return str(metadata.get("HTTPHeaders", {}).get("date", ""))


def refusal_of(error: ClientError, action: str, thing: str) -> AwsError:
    """What botocore raised for an error answer, in our words."""
    fault = error.response.get("Error", {})
    metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code, text = str(fault.get("Code", "")), str(fault.get("Message", ""))
    return AwsError(code, text, status, action=action, thing=thing, date=date_of(metadata))


def _attempt(call: Callable[[], Answer], action: str, thing: str) -> Answer:
    """All calls of the control plane may be repeated, so a reply that came damaged is."""
    for _ in range(CONTROL_PLANE_ATTEMPTS - 1):
        with suppress(DamagedReplyError):
            return _attempt_once(call, action, thing)
    return _attempt_once(call, action, thing)


def _attempt_once(call: Callable[[], Answer], action: str, thing: str) -> Answer:
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        return call()
    except DamagedBody as error:
        raise DamagedReplyError(
            f"{action} on {thing}: the reply is damaged: {error}",
            hint="it is tried again; look at proxies if it goes on",
        ) from error
    except ClientError as error:
        raise refusal_of(error, action, thing) from error
    except ParamValidationError as error:  # an older botocore refuses what only newer ones know
        raise AwsError(VALIDATION, str(error), 400, action=action, thing=thing) from error
    except BotoCoreError as error:
        raise client_side_error(error, action, thing) from error


@lru_cache(maxsize=8)  # many answers come within one second and carry the same text
def service_time(date: str) -> float:
    """UNIX seconds of an HTTP `Date` header; 0.0 when it is missing or cannot be read."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return 0.0
