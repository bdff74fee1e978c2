"""State is kept under the names of trigger and source; a start compares those with what is declared.

A renamed trigger never starts over unnoticed (decision 23): an orphaned name beside a new one on the same source
stops the start. Older versions left endpoint and caller out of the names of sources, so two streams could share one
name; such rows are moved once. What one trigger alone can claim is moved in one transaction; what is not certain
stops the start.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from triggerkit.core.safe_text import shell_word
from triggerkit.errors import OrphanedStateError, StateError
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
class Claim:
    """A trigger on a source that is about to start; `former` are older names of the source."""

    trigger: str
    source: str
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Starting:
    """What is about to start on one lease store.

    `namespace` is how all keys of the app begin, `state` the store's locator, `declared` every trigger name of the
    target, selected or not, `accepted` the orphaned names that the user has accepted; `*` is every name.
    """

    app: str
    env: str
    namespace: str
    state: str
    claims: frozenset[Claim]
    declared: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()

    def rename_command(self, old: tuple[str, ...], new: tuple[str, ...]) -> str:
        """The command that renames in this state, ready for a shell."""
        names = " ".join(shell_word(":".join(name)) for name in (old, new))
        env = f" --env {shell_word(self.env)}" if self.env else ""
        app, state = shell_word(self.app), shell_word(self.state)
        return f"triggerkit rename {names} --app {app}{env} --state {state}"


async def compare_names(store: LeaseStore, starting: Starting) -> bool:
    """Move rows of older versions and look for orphaned names; whether the state knows anything of the app.

    Raises:
        StateError: the rows of an older version cannot be moved; the hint has the command that decides.
        OrphanedStateError: an orphaned name stands beside a new one on the same source.
    """
    await move_former_rows(store, starting)
    known = await known_triggers(store, starting.namespace)
    if known:
        refuse_orphans(known, starting)
    return bool(known)


async def known_triggers(store: LeaseStore, namespace: str) -> frozenset[Known]:
    """The triggers that the state knows of `app@env`. Raises StateError."""
    return frozenset(
        Known(*lease.key.removeprefix(f"{namespace}:").split(":", 2)[:2])
        for lease in await store.read(f"{namespace}:")
    )


def refuse_orphans(known: frozenset[Known], starting: Starting) -> None:
    """Compare the names in the state with those that start. Raises OrphanedStateError."""
    known = _under_new_names(known, starting.claims)
    for orphan, source in sorted(known):
        if orphan in starting.declared:
            _log_other_source(orphan, source, known, starting)
            continue
        new = sorted(
            claim.trigger
            for claim in starting.claims
            if claim.source == source and (claim.trigger, source) not in known
        )
        if new and starting.accepted.isdisjoint({orphan, ANY_NAME}):
            raise OrphanedStateError(
                f"the state knows a trigger {orphan!r} on {source!r}, which is not declared; "
                f"{new[0]!r} on the same source is new and would start over",
                hint=f"if it was renamed: {starting.rename_command((orphan,), (new[0],))}; "
                f"if not: add --accept-orphaned {shell_word(orphan)}",
            )
        log.info(
            "state_orphaned",
            trigger=orphan,
            source=source,
            message="state is kept of a trigger that is not declared",
        )


def _log_other_source(
    trigger: str, source: str, known: frozenset[Known], starting: Starting
) -> None:
    """A trigger that was pointed elsewhere begins anew there; nobody may have meant that."""
    mine = sorted(claim.source for claim in starting.claims if claim.trigger == trigger)
    fresh = [each for each in mine if (trigger, each) not in known]
    if source not in mine and fresh:
        log.info(
            "source_changed",
            trigger=trigger,
            source=fresh[0],
            former_source=source,
            message=f"begins at its starting_position on {fresh[0]}; state on {source} is kept",
        )


def _under_new_names(known: frozenset[Known], claims: frozenset[Claim]) -> frozenset[Known]:
    """`known` with the source names of today: a renamed trigger is found under a former one, too."""
    names = defaultdict(set)
    for claim in claims:
        for former in claim.former:
            names[former].add(claim.source)
    return frozenset(
        Known(each.trigger, source)
        for each in known
        for source in names.get(each.source, {each.source})
    )


# --- rows of older versions -----------------------------------------------------------------------


async def move_former_rows(store: LeaseStore, starting: Starting) -> None:
    """Move the rows that the claims have under former names.

    Raises:
        StateError: two sources of a trigger claim the same rows, there are rows under the new name too, or
            a worker that runs holds one. Nothing was moved.
    """
    known = await known_triggers(store, starting.namespace)
    claimed: dict[Known, set[str]] = defaultdict(set)
    for claim in starting.claims:
        for name in {Known(claim.trigger, former) for former in claim.former} & known:
            if name.source != claim.source:
                claimed[name].add(claim.source)
    moves = [
        (former, _new_name(former, sorted(sources), known, starting))
        for former, sources in sorted(claimed.items())
    ]
    if moves:
        await _move(store, starting, moves)


def _new_name(
    former: Known, sources: list[str], known: frozenset[Known], starting: Starting
) -> Known:
    new = Known(former.trigger, sources[0])
    if len(sources) > 1:
        raise StateError(
            f"the state of trigger {former.trigger!r} on {former.source!r} is from a version that took "
            f"{' and '.join(map(repr, sources))} for one stream",
            hint=f"say which of them goes on from it: {starting.rename_command(former, new)} "
            "(or the other name); what has no state begins at its starting_position",
        )
    if new in known:
        aside = Known(f"{former.trigger}-before", former.source)
        raise StateError(
            f"trigger {former.trigger!r} has state under {former.source!r}, as older versions name it, "
            f"and under {new.source!r}",
            hint="to go on from the latter, put the former aside: "
            f"{starting.rename_command(former, aside)}",
        )
    return new


async def _move(store: LeaseStore, starting: Starting, moves: list[tuple[Known, Known]]) -> None:
    def prefix(name: Known) -> str:
        return f"{starting.namespace}:{name.trigger}:{name.source}:"

    try:
        count = await store.rename(tuple((prefix(former), prefix(new)) for former, new in moves))
    except StateError as error:
        raise StateError(
            f"rows of an older version cannot be moved to their new name: {error.message}",
            hint=f"{error.hint}; the next start moves them then, and so does: "
            f"{starting.rename_command(*moves[0])}",
        ) from error
    if not count:
        return  # another worker that starts now has moved them
    for former, new in moves:
        log.info(
            "state_adopted",
            trigger=new.trigger,
            source=new.source,
            former_source=former.source,
            message=f"state that an older version kept under {former.source} goes on as {new.source}",
        )
