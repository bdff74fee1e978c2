"""How long to wait after a failed call: doubling from a quarter of a second to ten seconds.

An endpoint that is down costs little that way, and one that comes back is found soon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0


class Backoff:
    """Counts failures in a row of each call. A key is a tuple whose second part is the shard, if any."""

    def __init__(self) -> None:
        self._failures: Counter[Hashable] = Counter()

    def failed(self, key: Hashable) -> float:
        """One more failure; the seconds to wait."""
        wait_seconds = FIRST_WAIT_SECONDS * 2.0 ** min(self._failures[key], 16)
        self._failures[key] += 1
        return min(LONGEST_WAIT_SECONDS, wait_seconds)

    def succeeded(self, key: Hashable) -> None:
        """The next failure is the first one again."""
        self._failures.pop(key, None)

    def forget(self, shard: Hashable) -> None:
        """No call is made for this shard any more."""
        for key in [key for key in self._failures if isinstance(key, tuple) and key[1] == shard]:
            del self._failures[key]
