"""How long to wait after a failed call: doubling from a quarter of a second to ten seconds.

An endpoint that is down costs little that way, and one that comes back is found soon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0


class Backoff:
    """Counts failures in a row of each call: by the shard that it is about, if any, and what is asked."""

    def __init__(self) -> None:
        self._failures: dict[Hashable, Counter[Hashable]] = {}

    def failed(self, shard: Hashable, call: Hashable) -> float:
        """One more failure; the seconds to wait."""
        failures = self._failures.setdefault(shard, Counter())
        wait_seconds = FIRST_WAIT_SECONDS * 2.0 ** min(failures[call], 16)
        failures[call] += 1
        return min(LONGEST_WAIT_SECONDS, wait_seconds)

    def succeeded(self, shard: Hashable, call: Hashable) -> None:
        """The next failure is the first one again."""
        failures = self._failures.get(shard)
        if failures is not None:
            failures.pop(call, None)
            if not failures:
                del self._failures[shard]

    def forget(self, shard: Hashable) -> None:
        """No call is made for this shard any more."""
        self._failures.pop(shard, None)
