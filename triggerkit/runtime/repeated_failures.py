"""Which failures of calls are worth a line: forty shards on a dead endpoint are one line, not forty.

The first failure of an operation is, and once more the number of shards when others have followed; the end is, when
the last of them works again. What lasts is repeated by the watchdog's events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from triggerkit.core.model import ShardId

GATHER_SECONDS = 2.0
"""After the first failure is logged: when those that came meanwhile are, by their number."""
STALE_SECONDS = 60.0
"""An operation that has not failed for so long begins anew: somebody else makes the call by now."""


@dataclass(slots=True)
class _Episode:
    """Failures of one operation, from the first one until nothing fails any more."""

    failing: dict[ShardId | None, str] = field(default_factory=dict)
    """What fails at present, and the code of its error."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many fail at present with each code."""
    touched: set[ShardId | None] = field(default_factory=set)
    logged: dict[str, tuple[float, int]] = field(default_factory=dict)
    """When a kind of error was logged last, and of how many shards."""
    last_seconds: float = 0.0

    def drop(self, shard: ShardId | None) -> None:
        """The shard does not fail any more."""
        code = self.failing.pop(shard, None)
        if code is not None:
            self.counts[code] -= 1


class RepeatedFailures:
    """One for a worker; `operation` names the mapping too."""

    def __init__(self) -> None:
        self._episodes: dict[Hashable, _Episode] = {}

    def failed(
        self, operation: Hashable, shard: ShardId | None, code: str, now_seconds: float
    ) -> int:
        """A call failed; of how many shards a line should speak now, or 0 for no line."""
        episode = self._episodes.get(operation)
        if episode is None or now_seconds - episode.last_seconds > STALE_SECONDS:
            episode = self._episodes[operation] = _Episode()
        episode.last_seconds = now_seconds
        episode.drop(shard)
        episode.failing[shard] = code
        episode.counts[code] += 1
        episode.touched.add(shard)
        count = episode.counts[code]
        at_seconds, logged = episode.logged.get(code, (0.0, 0))
        if logged and not (logged == 1 < count and now_seconds - at_seconds >= GATHER_SECONDS):
            return 0
        episode.logged[code] = now_seconds, count
        return count

    def moved(self, operation: Hashable, shards: tuple[ShardId, ...]) -> int:
        """These work again; how many had failed in all when they were the last, else 0."""
        episode = self._episodes.get(operation)
        if episode is None:
            return 0
        for shard in shards or (None,):
            episode.drop(shard)
        if episode.failing:
            return 0
        del self._episodes[operation]
        return len(episode.touched)

    def forget(self, mapping: Hashable, shard: ShardId) -> None:
        """The worker does nothing with the shard any more."""
        for operation, episode in list(self._episodes.items()):
            if isinstance(operation, tuple) and operation[0] == mapping:
                episode.drop(shard)
                if not episode.failing:
                    del self._episodes[operation]
