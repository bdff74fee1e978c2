"""State under a name that is no longer declared. Rule: a renamed trigger never starts over unnoticed.

Source: decision 23.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from triggerkit.core.safe_text import shell_word
from triggerkit.errors import OrphanedStateError
from triggerkit.ports import LeaseStore
from triggerkit.runtime.logs import get_logger

log = get_logger()

ANY_NAME = "*"
"""Accepted instead of names: all of them."""


class Known(NamedTuple):
    """A trigger name with a source name, as leases have them."""

    trigger: str
    source: str


@dataclass(frozen=True, slots=True)
class Starting:
    """What is about to start on one lease store; `mappings` are pairs of trigger and source name."""

    app: str
    env: str
    state: str
    mappings: frozenset[tuple[str, str]]

    @property
    def flags(self) -> str:
        """What a command needs to find the same state, ready for a shell."""
        env = f" --env {shell_word(self.env)}" if self.env else ""
        return f"--app {shell_word(self.app)}{env} --state {shell_word(self.state)}"


async def known_triggers(store: LeaseStore, namespace: str) -> frozenset[Known]:
    """The triggers that the state knows of `app@env`. Raises StateError."""
    return frozenset(
        Known(*lease.key.removeprefix(f"{namespace}:").split(":", 2)[:2])
        for lease in await store.read(f"{namespace}:")
    )


def refuse_orphans(
    known: frozenset[Known],
    starting: Starting,
    declared: frozenset[str],
    accepted: frozenset[str],
) -> None:
    """Compare the names in the state with the declared ones.

    Args:
        known: the names in the state.
        starting: what is about to start.
        declared: every trigger name of the target, selected or not.
        accepted: orphaned names that the user has accepted; `*` is every name.

    Raises:
        OrphanedStateError: an orphaned name stands beside a new one on the same source.
    """
    for orphan, source in sorted(known):
        if orphan in declared:
            _tell_other_source(orphan, source, known, starting)
            continue
        newcomers = sorted(n for n, s in starting.mappings if s == source and (n, s) not in known)
        if newcomers and accepted.isdisjoint({orphan, ANY_NAME}):
            raise OrphanedStateError(
                f"the state knows a trigger {orphan!r} on {source!r}, which is not declared; "
                f"{newcomers[0]!r} on the same source is new and would start over",
                hint=f"if it was renamed: triggerkit rename {shell_word(orphan)} {shell_word(newcomers[0])} "
                f"{starting.flags}; if not: add --accept-orphaned {shell_word(orphan)}",
            )
        log.info(
            "state_orphaned",
            trigger=orphan,
            source=source,
            message="state is kept of a trigger that is not declared",
        )


def _tell_other_source(
    trigger: str, source: str, known: frozenset[Known], starting: Starting
) -> None:
    """A trigger that was pointed elsewhere begins anew there: said, since nobody may have meant it."""
    mine = sorted(s for name, s in starting.mappings if name == trigger)
    fresh = [each for each in mine if (trigger, each) not in known]
    if source not in mine and fresh:
        log.info(
            "source_changed",
            trigger=trigger,
            source=fresh[0],
            former_source=source,
            message=f"begins at its starting_position on {fresh[0]}; state on {source} is kept",
        )
