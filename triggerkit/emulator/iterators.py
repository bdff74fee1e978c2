"""Shard iterators: all that one needs to read on is in the token, nothing is kept.

Rule: a token can be used again and gives the same page; it dies by age (15 minutes) or because
`expire_iterators` began a new generation. Source: Streams API reference, GetShardIterator.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from triggerkit.emulator.errors import validation

LIFE_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class ShardIterator:
    """A place in a shard: what comes after the sequence number `after`."""

    stream_arn: str
    shard_id: str
    after: int
    issued_seconds: float
    generation: int
    reader: int = 0
    """Whoever asked for the first iterator of this chain, to tell readers apart."""

    def token(self) -> str:
        """Return the text that travels."""
        place = [
            self.shard_id,
            str(self.after),
            self.issued_seconds,
            self.generation,
            self.reader,
        ]
        packed = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
        return f"{self.stream_arn}|1|{packed}"

    def expired(
        self, now_seconds: float, generation: int, life_seconds: float = LIFE_SECONDS
    ) -> bool:
        """Tell whether the token is too old to use."""
        return now_seconds - self.issued_seconds > life_seconds or generation != self.generation


def read_token(token: str) -> ShardIterator:
    """Return what a token says.

    Raises:
        EmulatorError: ValidationException when this is no token of ours.
    """
    arn, _, packed = token.rpartition("|1|")
    try:
        # An emulator's file may be older than readers are: their tokens have four parts.
        shard_id, after, issued_seconds, generation, *reader = json.loads(
            base64.b64decode(packed, altchars=b"-_", validate=True)
        )
        return ShardIterator(
            arn,
            shard_id,
            int(after),
            float(issued_seconds),
            int(generation),
            *(int(number) for number in reader),
        )
    except (ValueError, TypeError, OverflowError, binascii.Error):
        raise validation("Invalid ShardIterator") from None
