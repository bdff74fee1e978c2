"""State under a name that is no longer declared. Rule: a renamed trigger never starts over unnoticed.

Source: decision 23.
"""

from __future__ import annotations

from triggerkit.errors import OrphanedStateError
from triggerkit.ports import LeaseStore
from triggerkit.runtime.logs import get_logger

log = get_logger()


async def refuse_orphans(
    store: LeaseStore,
    namespace: str,
    declared: frozenset[str],
    starting: frozenset[tuple[str, str]],
    accepted: frozenset[str],
) -> None:
    """Compare the names in the state with the declared ones.

    Args:
        store: the lease store.
        namespace: `app@env`.
        declared: every trigger name of the target, selected or not.
        starting: (trigger name, source name) of the mappings about to start.
        accepted: orphaned names that the user has accepted.

    Raises:
        OrphanedStateError: an orphaned name stands beside a new one on the same source.
    """
    known: set[tuple[str, str]] = set()
    for lease in await store.read(f"{namespace}:"):
        name, source = lease.key.removeprefix(f"{namespace}:").split(":", 2)[:2]
        known.add((name, source))
    orphans = {(name, source) for name, source in known if name not in declared}
    for orphan, source in sorted(orphans):
        newcomers = sorted(n for n, s in starting if s == source and (n, s) not in known)
        if newcomers and orphan not in accepted:
            raise OrphanedStateError(
                f"the state knows a trigger {orphan!r} on {source!r}, which is not declared; "
                f"{newcomers[0]!r} on the same source is new and would start over",
                hint=f"triggerkit rename {orphan} {newcomers[0]}   (it was renamed), or "
                f"triggerkit run --accept-orphaned {orphan}   (it is another trigger)",
            )
        log.info("state_orphaned", trigger=orphan, source=source)
