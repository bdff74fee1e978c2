"""Rows that an older version kept under a shorter source name are moved at the start, once.

Older versions left endpoint and caller out of the names of sources, so two streams could share one name.
What one trigger alone can claim is moved in one transaction; what is not certain stops the start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from triggerkit.core.safe_text import shell_word
from triggerkit.errors import StateError
from triggerkit.ports import LeaseStore
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.orphans import Known, Starting, known_triggers

log = get_logger()


@dataclass(frozen=True, slots=True)
class Claim:
    """A trigger on a source that is about to start; `former` are older names of the source."""

    trigger: str
    source: str
    former: tuple[str, ...]


async def adopt_former_rows(
    store: LeaseStore, namespace: str, starting: Starting, claims: frozenset[Claim]
) -> None:
    """Move the rows that the claims have under former names; `namespace` is how all keys of the app begin.

    Raises:
        StateError: two sources of a trigger claim the same rows, there are rows under the new name too, or
            a worker that runs holds one. Nothing was moved; the hint has the command that decides.
    """
    known = await known_triggers(store, namespace)
    moves: list[tuple[Known, Known]] = []
    for former, sources in sorted(_claimed(known, claims).items()):
        new = [Known(former.trigger, source) for source in sorted(sources)]
        if len(new) > 1:
            names = " and ".join(repr(each.source) for each in new)
            raise StateError(
                f"the state of trigger {former.trigger!r} on {former.source!r} is from a version that took "
                f"{names} for one stream",
                hint=f"say which of them goes on from it: {_command(former, new[0], starting)} "
                "(or the other name); what has no state begins at its starting_position",
            )
        if new[0] in known:
            aside = Known(f"{former.trigger}-before", former.source)
            raise StateError(
                f"trigger {former.trigger!r} has state under {former.source!r}, as older versions name it, "
                f"and under {new[0].source!r}",
                hint=f"to go on from the latter, put the former aside: {_command(former, aside, starting)}",
            )
        moves.append((former, new[0]))
    if moves:
        await _move(store, namespace, starting, moves)


def under_new_names(known: frozenset[Known], claims: frozenset[Claim]) -> frozenset[Known]:
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


async def _move(
    store: LeaseStore, namespace: str, starting: Starting, moves: list[tuple[Known, Known]]
) -> None:
    prefixes = tuple((_prefix(namespace, former), _prefix(namespace, new)) for former, new in moves)
    try:
        count = await store.rename(prefixes)
    except StateError as error:
        raise StateError(
            f"rows of an older version cannot be moved to their new name: {error.message}",
            hint=f"{error.hint}; the next start moves them then, and so does: "
            f"{_command(*moves[0], starting)}",
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


def _claimed(known: frozenset[Known], claims: Iterable[Claim]) -> dict[Known, set[str]]:
    """The sources that claim each known name which is a former one."""
    found: dict[Known, set[str]] = defaultdict(set)
    for claim in claims:
        for former in claim.former:
            name = Known(claim.trigger, former)
            if name in known and former != claim.source:
                found[name].add(claim.source)
    return found


def _prefix(namespace: str, name: Known) -> str:
    return f"{namespace}:{name.trigger}:{name.source}:"


def _command(old: Known, new: Known, starting: Starting) -> str:
    names = " ".join(shell_word(":".join(name)) for name in (old, new))
    return f"triggerkit rename {names} {starting.flags}"
