"""What handlers raised in a simulation: distinct errors, how often, and where each was raised first."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

from triggerkit.core.model import LastFailure
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordsEnded,
    Succeeded,
)

MOST_TEXTS = 3
_PACKAGE = f"{Path(__file__).parents[1]}/"
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Raised:
    """One error of one trigger. `where` is its traceback in user code; empty where nothing was raised.

    Errors whose texts differ in numbers only count as one; `error_message` is the first of them.
    """

    trigger: str
    error_type: str
    error_message: str = field(repr=False)
    times: int = 1
    where: str = field(default="", repr=False)

    @property
    def kind(self) -> tuple[str, str, str]:
        """What makes it differ from others."""
        return self.trigger, self.error_type, _DIGITS.sub("0", self.error_message)


def together(raised: Iterable[Raised]) -> tuple[Raised, ...]:
    """Each distinct error once, in the order in which they were first met."""
    found: dict[tuple[str, str, str], Raised] = {}
    for one in raised:
        known = found.get(one.kind)
        if known is None:
            found[one.kind] = one
        else:
            where = known.where or one.where
            found[one.kind] = replace(known, times=known.times + one.times, where=where)
    return tuple(found.values())


def condensed(raised: Iterable[Raised]) -> list[Raised]:
    """The same for people, the most frequent first: many texts from one line of code are one error."""
    places: dict[tuple[str, str, str], list[Raised]] = {}
    for one in raised:
        stack = "".join(line for line in one.where.splitlines() if line.startswith("  "))
        places.setdefault((one.trigger, one.error_type, stack or one.error_message), []).append(one)
    found: list[Raised] = []
    for same in places.values():
        if len(same) <= MOST_TEXTS:
            found += same
            continue
        text = f"{same[0].error_message} (and {len(same) - 1} other texts)"
        found.append(replace(same[0], error_message=text, times=sum(one.times for one in same)))
    return sorted(found, key=lambda one: -one.times)


def failures_in(outcome: Outcome) -> Iterator[LastFailure]:
    """How a call failed, or each record of it that did."""
    match outcome:
        case PartlyFailed(failure=failure) | Failed(failure=failure) | GivenUp(failure=failure):
            yield failure
        case RecordsEnded(failed=failed, discarded=discarded, invalid=invalid):
            yield from (each.failure for each in (*failed, *discarded, *invalid))
        case Succeeded() | NotInvoked():
            return
        case _:
            assert_never(outcome)


def traceback_of(error: BaseException) -> str:
    """The traceback of `error` and of what caused it, without the frames of triggerkit."""
    told = traceback.TracebackException.from_exception(error)
    links: list[traceback.TracebackException | None] = [told]
    while links:
        link = links.pop()
        if link is None:
            continue
        link.stack = traceback.StackSummary.from_list(
            [frame for frame in link.stack if not frame.filename.startswith(_PACKAGE)]
        )
        links += [link.__cause__, link.__context__, *(link.exceptions or ())]
    return "".join(told.format())
