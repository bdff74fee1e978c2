"""Where failure records go in a simulation, whatever `on_failure` says. Nothing leaves the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from triggerkit.errors import DestinationError
from triggerkit.ports import FailureRecord


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure record. `event` is the event that was given up, as S3 would keep it."""

    trigger: str
    document: Mapping[str, Any]
    event: Mapping[str, Any] = field(repr=False)


class MemoryDestination:
    """Implements `ports.Destination` for all workers."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._down_until_seconds = 0.0

    async def prepare(self) -> None:
        """Always ready."""

    async def send(self, record: FailureRecord) -> None:
        """Keep it. Raises DestinationError: it is down."""
        if asyncio.get_running_loop().time() < self._down_until_seconds:
            raise DestinationError("nobody answers", hint="the simulation took it down")
        event = json.loads(record.payload())
        self.failures.append(Failure(record.trigger, dict(record.document), event))

    def go_down(self, seconds: float) -> None:
        """Take nothing for so long; 0 ends that."""
        self._down_until_seconds = asyncio.get_running_loop().time() + seconds

    async def close(self) -> None:
        """Nothing is open."""
