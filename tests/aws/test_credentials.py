"""Credentials are looked after in the background, far ahead of their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import CredentialRetrievalError
from sources.fakes import inline

from triggerkit.aws.credentials import KeyRing, RenewableCredentials
from triggerkit.aws.signing import Keys
from triggerkit.errors import CredentialsError


class MovableLoop(asyncio.SelectorEventLoop):
    """Real time plus what a test added."""

    added_seconds = 0.0

    def time(self) -> float:
        return super().time() + self.added_seconds


class Frozen(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


class Renewing:
    """Credentials that botocore renews by itself; `broken` makes the next looks fail."""

    method = "custom-process"

    def __init__(self) -> None:
        self.found = self.looked = self.version = 0
        self.broken = False

    def find(self) -> Any:
        self.found += 1
        if self.broken:
            raise CredentialsError("none", hint="x")
        return self

    def get_frozen_credentials(self) -> Frozen:
        self.looked += 1
        if self.broken:
            raise CredentialRetrievalError(provider="test", error_msg="away")
        return Frozen(f"AKID{self.version}", "secret", None)


def check(use: Callable[[KeyRing, Renewing, MovableLoop], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        credentials = Renewing()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MovableLoop)
        ring = KeyRing(inline, RenewableCredentials(credentials.find, loop.time))
        try:
            await use(ring, credentials, loop)
        finally:
            await ring.close()

    with asyncio.Runner(loop_factory=MovableLoop) as runner:
        runner.run(bounded())


def test_credentials_are_found_once_and_then_remembered() -> None:
    async def use(ring: KeyRing, credentials: Renewing, loop: MovableLoop) -> None:
        for _ in range(10):
            assert await ring.keys() == Keys("AKID0", "secret")
        assert (credentials.found, credentials.looked) == (1, 1)

    check(use)


def test_a_look_in_the_background_brings_the_renewed_ones() -> None:
    async def use(ring: KeyRing, credentials: Renewing, loop: MovableLoop) -> None:
        await ring.keys()
        credentials.version = 1
        loop.added_seconds += 61
        assert (await ring.keys()).access_key == "AKID0"  # nobody waits for the look
        while (await ring.keys()).access_key != "AKID1":
            await asyncio.sleep(0)
        assert credentials.found == 1

    check(use)


def test_after_a_long_idle_time_the_first_request_waits_for_the_look() -> None:
    async def use(ring: KeyRing, credentials: Renewing, loop: MovableLoop) -> None:
        await ring.keys()
        credentials.version = 1
        loop.added_seconds += 3600
        assert (await ring.keys()).access_key == "AKID1"

    check(use)


def test_a_look_that_fails_leaves_the_keys_as_they_are() -> None:
    async def use(ring: KeyRing, credentials: Renewing, loop: MovableLoop) -> None:
        await ring.keys()
        credentials.broken = True
        for _ in range(3):
            loop.added_seconds += 400
            assert (await ring.keys()).access_key == "AKID0"
        credentials.broken, credentials.version = False, 2
        loop.added_seconds += 61
        assert (await ring.keys()).access_key == "AKID2"

    check(use)


def test_refused_keys_are_renewed_once_for_all_who_were_refused() -> None:
    async def use(ring: KeyRing, credentials: Renewing, loop: MovableLoop) -> None:
        refused = await ring.keys()
        credentials.version = 1
        await asyncio.gather(*(ring.renew(refused, "ExpiredToken") for _ in range(20)))
        assert credentials.found == 2
        assert (await ring.keys()).access_key == "AKID1"

    check(use)


def test_no_credentials_at_all_is_told() -> None:
    async def use(ring: KeyRing, credentials: Renewing, loop: MovableLoop) -> None:
        credentials.broken = True
        with pytest.raises(CredentialsError):
            await ring.keys()

    check(use)
