"""What a track asks of the service about its shard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from triggerkit.core.model import Position, Record


@dataclass(frozen=True, slots=True)
class Decoded:
    """One reply: records in stream order, and the iterator that reads on; None at the end."""

    records: tuple[Record, ...]
    next_iterator: str | None
    service_seconds: float


class ShardCalls(Protocol):
    """The two questions about one shard."""

    @property
    def thing(self) -> str:
        """What errors call it."""
        ...

    async def iterator(self, position: Position) -> tuple[str, float]:
        """An iterator, and the service's time when it was made. Raises AwsError, SourceError."""
        ...

    async def records(self, iterator: str, limit: int) -> Decoded:
        """One page. Raises AwsError, SourceError."""
        ...

    async def is_listed_open(self) -> bool:
        """Whether a shard that seems to have ended is listed as open. Raises AwsError, SourceError."""
        ...
