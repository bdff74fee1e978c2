"""boto3 sessions: who calls which endpoint, and where the credentials for it come from.

boto3 is imported inside functions: its import costs about 0.2 s, and only an opened adapter needs it.
Everything in here but `Access.of` blocks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from triggerkit.aws.errors import client_side_error
from triggerkit.core.locators import Locator
from triggerkit.errors import CredentialsError, LocatorError

if TYPE_CHECKING:
    import boto3
    import botocore.session
    from botocore.credentials import Credentials


_FORMS = (
    ("region", re.compile(r"[A-Za-z0-9-]{1,63}"), "write a Region such as eu-west-1"),
    (
        "role_arn",
        re.compile(r"arn:[a-z-]+:iam::\d{12}:role/\S+"),
        "write role_arn=arn:aws:iam::ACCOUNT:role/NAME",
    ),
    (
        "endpoint_url",
        re.compile(r"https?://([^\s/@]+@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/\S*)?"),
        "write endpoint_url=http://HOST:PORT",
    ),
)


@dataclass(frozen=True, slots=True)
class Access:
    """Who calls which endpoint: the locator's keys over the process's defaults; empty is boto3's own way.

    `endpoint_name` is only ever a default: a name for the endpoint that stays when its port changes.
    """

    region: str = ""
    profile: str = ""
    role_arn: str = ""
    external_id: str = ""
    endpoint_url: str = ""
    endpoint_name: str = ""

    @classmethod
    def of(cls, locator: Locator, defaults: Mapping[str, str]) -> Access:
        """Read the common keys of `locator`.

        Raises:
            LocatorError: `external_id` without `role_arn`, or a value that can be none of its kind.
        """
        keys = {**defaults, **locator.keys}
        access = cls(
            **{
                name: keys.get(name, "")
                for name in (
                    "region",
                    "profile",
                    "role_arn",
                    "external_id",
                    "endpoint_url",
                    "endpoint_name",
                )
            }
        )
        if access.external_id and not access.role_arn:
            raise LocatorError(
                f"locator {locator.shown!r}: external_id without role_arn",
                hint="add role_arn=arn:aws:iam::ACCOUNT:role/NAME",
            )
        for name, form, hint in _FORMS:
            value = getattr(access, name)
            if value and not form.fullmatch(value):
                raise LocatorError(f"locator {locator.text!r}: {name}={value!r}", hint=hint)
        return access

    def in_region(self, region: str) -> Access:
        """The same in another Region."""
        return replace(self, region=region)


class LoadsCredentials(Protocol):
    """One link of botocore's credential chain."""

    METHOD: str
    CANONICAL_NAME: str

    def load(self) -> Any:
        """Credentials, or None when this link has none."""
        ...


def open_session(access: Access, provider: LoadsCredentials | None = None) -> boto3.session.Session:
    """A boto3 session of its own, so that nothing is shared with the user's handlers.

    `provider` is asked for credentials first; without one the session keeps those that it finds.

    Raises:
        CredentialsError: the profile does not exist, or the AWS configuration cannot be read.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        core = _core(access)
        if provider is not None:
            _put_first(core, provider)
        elif access.role_arn:
            _take_role(core, access)
        return boto3.session.Session(region_name=access.region or None, botocore_session=core)
    except BotoCoreError as error:
        raise client_side_error(error, "the AWS session", access.profile or "defaults") from error


def resolve_credentials(access: Access) -> Credentials:
    """Credentials found anew by boto3's own chain: files and processes are read again.

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
    """The CA file that botocore would use: AWS_CA_BUNDLE, the profile's, or its own."""
    from botocore.httpsession import get_cert_path

    chosen = _core(access).get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return str(chosen or get_cert_path(True))


class _RoleProvider:
    """A role taken with the credentials that the rest of the chain finds."""

    METHOD = "assume-role"
    CANONICAL_NAME = "triggerkit-role"

    def __init__(self, load: Callable[[], Credentials]) -> None:
        self._load = load

    def load(self) -> Credentials:
        """See `LoadsCredentials`."""
        return self._load()


def _core(access: Access) -> botocore.session.Session:
    from botocore.session import Session

    core = Session(profile=access.profile or None)
    if access.region:  # also for the calls to STS with which a profile's role is taken
        core.set_config_variable("region", access.region)
    return core


def _put_first(core: botocore.session.Session, provider: LoadsCredentials) -> None:
    chain: Any = core.get_component("credential_provider")
    chain.providers.insert(0, provider)


def _take_role(core: botocore.session.Session, access: Access) -> None:
    """Put a role, taken with the credentials that `core` finds by itself, at the head of its chain."""
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    caller_session = _core(access)
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
    _put_first(core, provider)
