"""How often and how much one shard is read or written within a second.

Rule: each shard has its own account, and a call that was refused does not count. What is taken may go over
the bytes once; the next calls are refused for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

ShardKey: TypeAlias = tuple[str, str]
"""A stream's ARN and the shard's id."""


@dataclass(slots=True)
class ShardRates:
    """The limits of each shard, None for none; `done` is what is done to it, in a refusal's words."""

    done: str
    times_per_second: float | None = None
    bytes_per_second: float | None = None
    _passed: dict[ShardKey, deque[tuple[float, int]]] = field(default_factory=dict)

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.times_per_second is not None or self.bytes_per_second is not None

    def excess(self, key: ShardKey, now_seconds: float) -> str:
        """Return why one more is too many, "" if it is not."""
        if not self.limited:
            return ""
        passed = self._passed.setdefault(key, deque())
        while passed and now_seconds - passed[0][0] >= 1.0:
            passed.popleft()
        if self.times_per_second is not None and len(passed) >= self.times_per_second:
            return f"this shard is {self.done} more than {self.times_per_second:g} times a second"
        size_bytes = sum(size for _, size in passed)
        if self.bytes_per_second is not None and size_bytes >= self.bytes_per_second:
            return (
                f"more than {self.bytes_per_second:g} bytes of this shard are {self.done} a second"
            )
        return ""

    def count(self, key: ShardKey, now_seconds: float, size_bytes: int) -> None:
        """Count one that was let pass."""
        if self.limited:
            self._passed.setdefault(key, deque()).append((now_seconds, size_bytes))
