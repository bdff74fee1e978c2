"""When a worker with `--burst` is done: at the tip of every stream, or where nothing but blocked shards is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from triggerkit.core.events import Blocked, Event, MappingId, MovedAgain, Operation
from triggerkit.core.model import ShardId
from triggerkit.core.snapshot import MappingSnapshot
from triggerkit.core.words import counted
from triggerkit.errors import HandlerError, SourceError, TriggerkitError
from triggerkit.runtime.logs import get_logger

log = get_logger()

CHECK_SECONDS = 0.1
BLOCKED_SECONDS = 2.0
"""So long nothing but blocked shards is left, which others may still be about to join."""
FIRST_REPORT_SECONDS = 30.0


class Burst:
    """An observer that remembers what is blocked."""

    def __init__(self) -> None:
        self._blocked: dict[tuple[MappingId | None, ShardId | None], Blocked] = {}
        self.ended_blocked: Blocked | None = None
        """What kept the tip from being reached."""

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        match event:
            case Blocked(mapping=mapping, shards=shards):
                self._blocked |= {(mapping, shard): event for shard in shards or (None,)}
            case MovedAgain(mapping=mapping, shards=shards):
                for shard in shards or (None,):
                    self._blocked.pop((mapping, shard), None)
            case _:
                pass

    @property
    def exit_code(self) -> int:
        """Of what it ended with; 0 for the tip."""
        blocked = self.ended_blocked
        if blocked is None:
            return 0
        if blocked.operation is Operation.INVOKE:
            return HandlerError.exit_code
        error = blocked.error
        return error.exit_code if isinstance(error, TriggerkitError) else SourceError.exit_code

    async def wait(self, snapshots: Callable[[], Mapping[str, MappingSnapshot]]) -> None:
        """Wait for the end; says from time to time what is left."""
        clock = asyncio.get_running_loop().time
        blocked_since: float | None = None
        report_seconds, report_at = FIRST_REPORT_SECONDS, clock() + FIRST_REPORT_SECONDS
        while not all(picture.at_tip for picture in snapshots().values()):
            now = clock()
            if not self._is_only_blocked(snapshots()):
                blocked_since = None
            elif now - (blocked_since := blocked_since or now) >= BLOCKED_SECONDS:
                self.ended_blocked = next(iter(self._blocked.values()))
                log.error("burst_blocked", message="ends before the tip: what is left is blocked")
                return
            if now >= report_at:
                report_seconds *= 2
                report_at = now + report_seconds
                _log_what_is_left(snapshots())
            await asyncio.sleep(CHECK_SECONDS)

    def _is_only_blocked(self, snapshots: Mapping[str, MappingSnapshot]) -> bool:
        if (None, None) in self._blocked:
            return True  # the lease store
        blocked: dict[str, set[ShardId | None]] = {}
        for mapping, shard in self._blocked:
            blocked.setdefault(f"{mapping.trigger}:{mapping.source}" if mapping else "", set()).add(
                shard
            )
        return bool(blocked) and all(
            picture.at_tip or _waits_for(picture, blocked.get(name, set()))
            for name, picture in snapshots.items()
        )


def _waits_for(picture: MappingSnapshot, blocked: set[ShardId | None]) -> bool:
    left = [one.shard for one in picture.shards if not one.at_tip]
    return None in blocked or (bool(left) and all(shard in blocked for shard in left))


def _log_what_is_left(snapshots: Mapping[str, MappingSnapshot]) -> None:
    for name, picture in snapshots.items():
        for shard in picture.shards:
            if shard.at_tip:
                continue
            times = counted(shard.attempts, "time")
            failing = f"a batch has failed {times} and is tried again"
            under_way = f"{counted(shard.outstanding, 'record')} read and not done"
            log.log(
                logging.WARNING if shard.attempts else logging.INFO,
                "burst_goes_on",
                trigger=name.partition(":")[0],
                shard=shard.shard,
                **({"error_type": shard.last_failure.error_type} if shard.last_failure else {}),
                message=f"the tip is not reached: {failing if shard.attempts else under_way}",
                **({"hint": "maximum_retry_attempts sets a limit"} if shard.attempts else {}),
            )
