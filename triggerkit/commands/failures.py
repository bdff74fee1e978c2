"""What `triggerkit failures` does. Rule: it reads and prints; a damaged line is told on stderr and passed over."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from triggerkit.commands.digest import digest
from triggerkit.commands.flags import read_flags
from triggerkit.commands.loading import load
from triggerkit.commands.output import (
    print_json,
    print_json_text,
    print_table,
    say,
    say_bold,
    show_line,
)
from triggerkit.configuration import load_configuration
from triggerkit.core.safe_text import shell_word
from triggerkit.core.words import counted, short_name
from triggerkit.errors import UsageError, nearest
from triggerkit.runtime.colours import wants_colours
from triggerkit.runtime.failure_files import DamagedLine, Failure, failure_file, read_failures

LONGEST_NUMBER = 7
"""Of `failures show N`; eight digits may be the first of a request id."""
HEADER = ("N", "UTC", "TRIGGER", "CONDITION", "CALLS", "RECORDS", "REQUEST")


@dataclass(frozen=True, slots=True)
class Sought:
    """Which files, and what was said to name them; `is_file`: by the name of one that must be there."""

    files: tuple[Path, ...]
    said: str
    is_file: bool


@dataclass(frozen=True, slots=True)
class Found:
    """One failure record and the file that it is in."""

    file: Path
    failure: Failure


def list_all(given: Mapping[str, Any]) -> None:
    """Print one line a failure record. Raises UsageError and what `load` raises."""
    sought = seek(given)
    globs = given["trigger"]
    everything = list(read_all(sought, ()))
    found = [one for one in everything if is_chosen(one.failure, globs)]
    if given["as_json"]:
        print_json([as_row(one) for one in found])
        return
    if not found:
        names = ", ".join(map(shown_path, sought.files))
        others = sorted({one.failure.trigger for one in everything})
        which = " ".join(globs)
        of = f" of {which}" if others else ""
        say(f"no failure records{of} in {names}{f'; {nearest(which, others)}' if others else ''}")
        return
    for file in sought.files:
        mine = [one.failure for one in found if one.file == file]
        if len(sought.files) > 1:
            say(f"{shown_path(file)}:")
        if mine:
            print_table([HEADER, *map(cells, mine)])


def show_one(which: str, given: Mapping[str, Any]) -> None:
    """Print what `which` names. Raises UsageError: nothing is, or for an event more than one."""
    sought = seek(given)
    found = named(which, sought, given["trigger"])
    if given["as_event"]:
        print_event(found)
    elif given["as_json"]:
        documents = [one.failure.document for one in found]
        print_json(documents if len(documents) > 1 else documents[0])
    else:
        for one in found:
            print_failure(one, sought)


# --- which files ---------------------------------------------------------------------------------


def seek(given: Mapping[str, Any]) -> Sought:
    """The files that are meant.

    Raises:
        UsageError: no file and no target was named, or no trigger has a `file:` destination.
    """
    said = given["place"] or ""
    if is_file_name(said):
        return Sought((Path(said.removeprefix("file://").removeprefix("file:")),), said, True)
    configuration = load_configuration(given["config"], folder=Path.cwd(), env=given["env"])
    if not (said or configuration.target):
        raise UsageError(
            "no FILE and no TARGET", hint="name the file: triggerkit failures ls failures.jsonl"
        )
    flags = {**given, "target": said or None, "trigger": ()}  # --trigger chooses records
    settings = load(read_flags(flags)).settings
    paths = [
        failure_file(plan.on_failure, settings.base_path)
        for plan in settings.mappings
        if plan.on_failure is not None
    ]
    files = tuple(dict.fromkeys(path for path in paths if path is not None))
    if not files:
        raise UsageError(
            f"no trigger of {said or 'the target'} has a file: destination",
            hint="set on_failure='file:failures.jsonl' on one, or name a file",
        )
    return Sought(files, said, False)


def is_file_name(text: str) -> bool:
    """Whether `text` is a file of failure records, rather than a TARGET such as `app.py`."""
    if text.startswith("file:"):
        return True
    path = Path(text)
    return path.suffix in {".json", ".jsonl", ".ndjson"} or (
        bool(text) and path.suffix != ".py" and path.is_file()
    )


def shown_path(path: Path) -> str:
    """As short as it can be from the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


# --- which records -------------------------------------------------------------------------------


def read_all(sought: Sought, globs: Sequence[str]) -> Iterator[Found]:
    """Every failure record of the chosen triggers; damaged lines are told on stderr."""
    for file in sought.files:
        if not sought.is_file and not file.exists():
            continue  # nothing was given up yet
        for line in read_failures(file):
            if isinstance(line, DamagedLine):
                tell_damage(file, line)
            elif is_chosen(line, globs):
                yield Found(file, line)


def is_chosen(failure: Failure, globs: Sequence[str]) -> bool:
    """Whether `--trigger` chooses it; without any glob everything is chosen."""
    return not globs or any(fnmatchcase(failure.trigger, glob) for glob in globs)


def tell_damage(file: Path, line: DamagedLine) -> None:
    """One line on stderr."""
    say(f"triggerkit: {shown_path(file)}, line {line.number} is left out: {line.why}", err=True)


def named(which: str, sought: Sought, globs: Sequence[str]) -> list[Found]:
    """What `which` names, at least one.

    Raises:
        UsageError: there is none, or its number stands for one in each of several files.
    """
    by_number = which.isdecimal() and len(which) <= LONGEST_NUMBER
    found = [
        one
        for one in read_all(sought, globs)
        if (one.failure.number == int(which) if by_number else one.failure.is_named(which))
    ]
    names = ", ".join(map(shown_path, sought.files))
    if not found:
        raise UsageError(
            f"no failure record {which!r} in {names}",
            hint="give a number or a request id that `triggerkit failures ls` shows",
        )
    if by_number and len(found) > 1:
        raise UsageError(
            f"{names} have a failure record {which} each", hint="name one of the files"
        )
    return found


# --- how they look -------------------------------------------------------------------------------


def cells(failure: Failure) -> tuple[str, ...]:
    """One row of the table; in a terminal with the end of the request id, as the log of `run` has it."""
    request = short_name(failure.request_id) if sys.stdout.isatty() else failure.request_id
    return (
        str(failure.number),
        failure.at,
        failure.trigger,
        failure.condition,
        str(failure.attempts),
        str(failure.records),
        request,
    )


def as_row(one: Found) -> dict[str, object]:
    """The same for programs."""
    failure = one.failure
    return {
        "number": failure.number,
        "file": str(one.file),
        "timestamp": failure.document.get("timestamp"),
        "trigger": failure.trigger,
        "condition": failure.condition,
        "attempts": failure.attempts,
        "records": failure.records,
        "request_id": failure.request_id,
    }


def print_event(found: Sequence[Found]) -> None:
    """The event, ready for `invoke`. Raises UsageError: it is not there, or which one is meant is open."""
    if len(found) > 1:
        numbers = ", ".join(str(one.failure.number) for one in found)
        raise UsageError(
            f"{len(found)} failure records are of that request", hint=f"choose one: {numbers}"
        )
    text = found[0].failure.event_text
    if text is None:
        raise UsageError(
            f"failure record {found[0].failure.number} has no event in it",
            hint="only file: and S3 destinations keep the event; read the stream with `tail`",
        )
    print_json_text(text)


def print_failure(one: Found, sought: Sought) -> None:
    """Why, what, and how to run it again."""
    failure, batch = one.failure, one.failure.batch
    calls = counted(failure.attempts, "call")
    first, last = (str(batch.get(f"{end}SequenceNumber", "")) for end in ("start", "end"))
    title = f"failure record {failure.number} of {shown_path(one.file)}"
    say_bold(title)
    print_table(
        (
            ("trigger", failure.trigger),
            ("given up", f"{failure.at} UTC, {failure.condition} after {calls}"),
            ("request", failure.request_id),
            ("stream", str(batch.get("streamArn", ""))),
            ("shard", str(batch.get("shardId", ""))),
            ("sequence", first if first == last else f"{first} to {last}"),
        ),
        indent="  ",
    )
    print_changes(failure)
    place = f" {shell_word(shown_path(one.file))}"
    target = "" if not sought.said else f" {shell_word(sought.said)}"
    target = " TARGET" if sought.is_file else target
    say()
    say("run it again:")
    say(
        f"  triggerkit failures show {failure.number}{place} --event | "
        f"triggerkit invoke{target} -t {shell_word(failure.trigger)} -e -"
    )
    say()


def print_changes(failure: Failure) -> None:
    """The changes, one a line."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    events = failure.events
    if events:
        say()
        say(f"{counted(len(events), 'record')}:")
    for event in events:
        line = digest(event, width and width - 2, colours=wants_colours(sys.stdout))
        show_line(f"  {line}")
