"""What the tests of sources lend an adapter: a runner on threads, a clock that can be moved."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from triggerkit.core.locators import parse
from triggerkit.core.model import Now
from triggerkit.ports import Services, Source
from triggerkit.sources import dynamodb

T = TypeVar("T")
PROXY_VARIABLES = {"http_proxy", "https_proxy", "no_proxy", "all_proxy", "requests_ca_bundle"}


class MovableClock:
    """Real time plus what a test added; keeps what it was told."""

    def __init__(self) -> None:
        self.added_seconds = 0.0
        self.observed: list[float] = []
        self._offset_seconds = time.time() - time.monotonic()

    def now(self) -> Now:
        monotonic = time.monotonic() + self.added_seconds
        return Now(monotonic, monotonic + self._offset_seconds)

    def observe_service_time(self, service_seconds: float) -> None:
        self.observed.append(service_seconds)


async def in_a_thread(call: Callable[[], T], /) -> T:
    return await asyncio.to_thread(call)


async def inline(call: Callable[[], T], /) -> T:
    return call()


def services(clock: MovableClock | None = None, **defaults: str) -> Services:
    return Services(in_a_thread, clock or MovableClock(), defaults)


def opened(text: str, clock: MovableClock | None = None, **defaults: str) -> Source:
    return dynamodb.open(parse(text), services(clock, **defaults))


def isolated_from_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dummy credentials, no profiles, no proxies: no test may depend on this machine's AWS set-up."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in PROXY_VARIABLES:
            monkeypatch.delenv(name)
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
