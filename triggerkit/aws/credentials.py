"""The credentials that requests are signed with, shared by all clients of one `Access`.

`RenewableCredentials` stands in every boto3 client in place of botocore's own credentials, and `KeyRing`
lends its keys to code on the event loop. When the service refuses keys as stale, one caller finds
credentials from scratch (files, credential_process, STS, SSO, metadata services) and all others use what it
found. Looks are spaced: an endpoint that refuses whatever it is given costs one look every few seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from triggerkit.aws.errors import (
    DOUBTFUL_SIGNATURE,
    STALE_CREDENTIALS,
    AwsError,
    client_side_error,
    refusal_of,
)
from triggerkit.aws.signing import Keys
from triggerkit.errors import CredentialsError, TriggerkitError
from triggerkit.ports import Runner

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

T = TypeVar("T")

FRESH_SECONDS = 5.0
"""How long keys are used without asking botocore, which renews ever more often as their end comes near."""
FIRST_SPACING_SECONDS = 1.0
LONGEST_SPACING_SECONDS = 5.0
DOUBTFUL_SPACING_SECONDS = 60.0
"""A wrong signature is most often a wrong secret or clock; other credentials are looked for this rarely."""
LOOKS_AT_ONCE = 5
LOOK_INTERVAL_SECONDS = 60.0
"""botocore renews by itself 15 minutes before expiry, when asked; so it is asked once a minute."""
LONG_IDLE_SECONDS = 300.0
"""After this long without a look the keys may have expired: the next request waits for one."""

_NO_KEYS = Keys("", "")
_PLACES = {
    "env": "the environment",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS configuration file",
    "custom-process": "credential_process",
    "assume-role": "the assumed role",
    "assume-role-with-web-identity": "the role for the web identity token",
    "sso": "IAM Identity Center",
    "login": "the AWS login session",
    "container-role": "the container's credentials endpoint",
    "iam-role": "the instance metadata service",
}
"""Where keys come from, by botocore's name for it."""


class _Spacing:
    """When the next look for credentials may be made.

    One that found nothing new is followed by a growing wait; those that found new keys may follow each
    other at once a few times, as an endpoint may refuse whatever it is given.
    """

    def __init__(self) -> None:
        self._not_before_seconds = float("-inf")
        self._not_doubted_before_seconds = float("-inf")
        self._wait_seconds = FIRST_SPACING_SECONDS
        self._at_once = float(LOOKS_AT_ONCE)
        self._counted_at_seconds = float("-inf")

    def allows(self, now_seconds: float, *, doubtful: bool = False) -> bool:
        if doubtful and now_seconds < self._not_doubted_before_seconds:
            return False
        return now_seconds >= self._not_before_seconds

    def looked(self, now_seconds: float, *, changed: bool, doubtful: bool = False) -> None:
        if doubtful:
            self._not_doubted_before_seconds = now_seconds + DOUBTFUL_SPACING_SECONDS
        if not changed:
            self._not_before_seconds = now_seconds + self._wait_seconds
            self._wait_seconds = min(2 * self._wait_seconds, LONGEST_SPACING_SECONDS)
            return
        self._wait_seconds = FIRST_SPACING_SECONDS
        gained = (now_seconds - self._counted_at_seconds) / LONGEST_SPACING_SECONDS
        self._at_once = min(LOOKS_AT_ONCE, self._at_once + gained) - 1
        self._counted_at_seconds = now_seconds
        if self._at_once < 1:
            self._not_before_seconds = now_seconds + LONGEST_SPACING_SECONDS


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """Let what finding credentials raises out as errors of ours.

    botocore runs the user's programs and reads the user's files there, so more than its own errors come.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except BotoCoreError as error:
        raise client_side_error(error, "looking for credentials", "this machine") from error
    except ClientError as error:  # STS or SSO refused
        raise refusal_of(error, error.operation_name, "the way to credentials").error() from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CredentialsError(
            f"looking for credentials on this machine: {type(error).__name__}: {error}",
            hint="check the profile and what its credential_process prints",
        ) from error


class _Found(NamedTuple):
    credentials: Credentials
    frozen: ReadOnlyCredentials
    keys: Keys


class RenewableCredentials:
    """Credentials that are found anew when they were refused. All methods block and are safe in threads.

    Has what botocore's clients ask of `botocore.credentials.Credentials`. `find` finds credentials from
    scratch; `monotonic_seconds` is a clock.
    """

    def __init__(
        self,
        find: Callable[[], Credentials],
        monotonic_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._monotonic_seconds = monotonic_seconds
        self._lock = Lock()
        self._found: _Found | None = None
        self._fresh_until_seconds = float("-inf")
        self._spacing = _Spacing()
        self._failure: TriggerkitError | None = None

    @property
    def known_keys(self) -> Keys:
        """The keys as they were last seen, empty before the first look. Never blocks."""
        found = self._found
        return found.keys if found is not None else _NO_KEYS

    @property
    def method(self) -> str:
        """Where they come from, in botocore's words; empty before the first look. Never blocks."""
        found = self._found
        return found.credentials.method if found is not None else ""

    def keys(self) -> Keys:
        """The keys to sign with now.

        Raises:
            CredentialsError: there are none, or they expired and cannot be renewed.
            SourceError: the service that renews them cannot be asked.
        """
        return self._current().keys

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """What botocore's signer asks for. Raises as `keys`."""
        return self._current().frozen

    def get_deferred_property(self, name: str) -> Callable[[], str | None]:
        """What botocore's endpoint rules ask for, with `account_id`."""
        return lambda: getattr(self.get_frozen_credentials(), name, None)

    def renew(self, refused: Keys, code: str) -> bool:
        """Whether there are other keys than `refused`, which the service answered with `code`.

        The first of many callers looks for them. None looks when the code says nothing about credentials,
        or the last look was a moment ago.
        """
        doubtful = code in DOUBTFUL_SIGNATURE
        if not doubtful and code not in STALE_CREDENTIALS:
            return False
        with self._lock:
            if self.known_keys != refused:
                return True
            now_seconds = self._monotonic_seconds()
            if not self._spacing.allows(now_seconds, doubtful=doubtful):
                return False
            with suppress(TriggerkitError):  # `explain` says why
                self._look(now_seconds)
            changed = self.known_keys != refused
            self._spacing.looked(now_seconds, changed=changed, doubtful=doubtful)
            return changed

    def explain(self, refusal: AwsError, *, renewed: bool) -> None:
        """Let a refusal for stale credentials say what was done about it and what is left to do."""
        if refusal.code not in STALE_CREDENTIALS:
            return
        place = _PLACES.get(self.method, self.method or "where they were found")
        failure = self._failure
        if renewed:
            refusal.hint = (
                f"new credentials were read from {place} and are refused too: they may be of another "
                "account or not active yet (`aws sts get-caller-identity` tells whose they are)"
            )
        elif failure is not None:
            refusal.hint = f"looking for new credentials failed: {failure.message}; {failure.hint}"
        elif self.method == "env":
            refusal.hint = (
                "the keys are from this process's environment, which cannot be renewed while it runs: "
                "restart it with new ones, or use a profile, credential_process or a role"
            )
        else:
            refusal.hint = (
                f"{place} still has the same credentials: renew them there; new ones are picked up "
                "within seconds, without a restart"
            )

    def retried(self, call: Callable[[], T]) -> T:
        """What `call` answers; made a second time when its keys were stale and there are others.

        Raises:
            AwsError: what `call` raised, with a hint that says what was done.
        """
        used = self.keys()
        try:
            return call()
        except AwsError as refusal:
            if not self.renew(used, refusal.code):
                self.explain(refusal, renewed=False)
                raise
        try:
            return call()
        except AwsError as refusal:
            self.explain(refusal, renewed=True)
            raise

    def _current(self) -> _Found:
        found = self._found
        if found is not None and self._monotonic_seconds() < self._fresh_until_seconds:
            return found
        with self._lock:
            now_seconds = self._monotonic_seconds()
            found = self._found
            if found is not None and now_seconds < self._fresh_until_seconds:
                return found
            failure = self._failure
            if failure is not None and not self._spacing.allows(now_seconds):
                raise type(failure)(failure.message, hint=failure.hint) from failure
            if found is not None:
                # fails for a role, say, whose caller's keys were rotated: then the whole chain is asked
                with suppress(TriggerkitError):
                    return self._keep(found.credentials, now_seconds)
            return self._look_or_wait(now_seconds)

    def _look_or_wait(self, now_seconds: float) -> _Found:
        try:
            return self._look(now_seconds)
        except TriggerkitError:
            self._spacing.looked(now_seconds, changed=False)
            raise

    def _look(self, now_seconds: float) -> _Found:
        try:
            with _told_as_ours():
                credentials = self._find()
            return self._keep(credentials, now_seconds)
        except TriggerkitError as error:
            self._failure = error
            raise

    def _keep(self, credentials: Credentials, now_seconds: float) -> _Found:
        with _told_as_ours():
            frozen = credentials.get_frozen_credentials()
        keys = Keys(frozen.access_key or "", frozen.secret_key or "", frozen.token or "")
        found = self._found = _Found(credentials, frozen, keys)
        self._fresh_until_seconds = now_seconds + FRESH_SECONDS
        self._failure = None
        return found


class CredentialsProvider:
    """The head of a session's credential chain: one `RenewableCredentials` for all its clients."""

    METHOD = "triggerkit"
    CANONICAL_NAME = "triggerkit"

    def __init__(self, credentials: RenewableCredentials) -> None:
        self._credentials = credentials

    def load(self) -> RenewableCredentials:
        """What botocore asks each link of the chain for."""
        return self._credentials


class KeyRing:
    """The keys for code on one event loop, which never waits for them once there are any."""

    def __init__(self, run: Runner, credentials: RenewableCredentials) -> None:
        self._run = run
        self._credentials = credentials
        self._looked_at_seconds = 0.0
        self._next_look_seconds = 0.0
        self._look: asyncio.Task[None] | None = None
        self._renewal = asyncio.Lock()

    async def keys(self) -> Keys:
        """The keys to sign with now.

        Raises:
            CredentialsError: there never were any. SourceError: who renews them cannot be asked.
        """
        now_seconds = asyncio.get_running_loop().time()
        if self._credentials.known_keys == _NO_KEYS:
            async with self._renewal:
                await self._run(self._credentials.keys)
            self._looked_now()
        elif now_seconds >= self._next_look_seconds:
            self._next_look_seconds = now_seconds + LOOK_INTERVAL_SECONDS
            self._look = asyncio.get_running_loop().create_task(self._look_again())
            if now_seconds - self._looked_at_seconds > LONG_IDLE_SECONDS:
                await asyncio.shield(self._look)
        return self._credentials.known_keys

    async def renew(self, refused: Keys, code: str) -> bool:
        """See `RenewableCredentials.renew`."""
        async with self._renewal:
            if self._credentials.known_keys != refused:
                return True
            return await self._run(lambda: self._credentials.renew(refused, code))

    def explain(self, refusal: AwsError, *, renewed: bool) -> None:
        """See `RenewableCredentials.explain`."""
        self._credentials.explain(refusal, renewed=renewed)

    async def close(self) -> None:
        """End a look that is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    def _looked_now(self) -> None:
        self._looked_at_seconds = asyncio.get_running_loop().time()
        self._next_look_seconds = self._looked_at_seconds + LOOK_INTERVAL_SECONDS

    async def _look_again(self) -> None:
        try:
            await self._run(self._credentials.keys)
        except TriggerkitError:
            return  # the keys in hand are good for minutes: a later look, or a refusal, says more
        self._looked_now()
