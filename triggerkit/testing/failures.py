"""Where failure records go in a simulation, whatever `on_failure` says. Rule: nothing leaves the process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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

    async def prepare(self) -> None:
        """Always ready."""

    async def send(self, record: FailureRecord) -> None:
        """Keep it."""
        event = json.loads(record.payload)
        self.failures.append(Failure(record.trigger, dict(record.document), event))

    async def close(self) -> None:
        """Nothing is open."""
