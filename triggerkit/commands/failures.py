"""`triggerkit failures`: finds and shows failure records. A damaged line is reported on stderr and left out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from triggerkit.commands.digest import digest
from triggerkit.commands.loading import load, read_configuration
from triggerkit.commands.output import (
    print_json,
    print_json_text,
    print_table,
    say,
    say_bold,
    show_line,
)
from triggerkit.core.safe_text import shell_word
from triggerkit.core.words import counted, short_name
from triggerkit.errors import UsageError, nearest
from triggerkit.runtime.colours import is_terminal, wants_colours
from triggerkit.runtime.failure_files import (
    DamagedLine,
    Failure,
    failure_file,
    read_failures,
    shown_path,
)
from triggerkit.settings import Settings

LONGEST_NUMBER = 7
"""Of `failures show N`; eight digits may be the first of a request id."""
HEADER = ("N", "UTC", "TRIGGER", "CONDITION", "CALLS", "RECORDS", "REQUEST")


def list_all(given: Mapping[str, Any]) -> None:
    """Print one line a failure record. Raises UsageError and what `load` raises."""
    files, globs = find_files(given), given["trigger"]
    everything = list(read_all(files, must_exist=is_file_name(given["place"] or "")))
    found = [one for one in everything if is_chosen(one, globs)]
    if given["as_json"]:
        print_json([as_row(one) for one in found])
        return
    if not found:
        others = sorted({one.trigger for one in everything})
        of, hint = ("", "")
        if others:
            of, hint = f" of {' '.join(globs)}", f"; {nearest(' '.join(globs), others)}"
        say(f"no failure records{of} in {_names(files)}{hint}")
        return
    for file in files:
        rows = [
            (
                str(one.number),
                one.at,
                one.trigger,
                one.condition,
                str(one.attempts),
                str(one.records),
                # in a terminal its end, as the log of `run` has it
                short_name(one.request_id) if is_terminal(sys.stdout) else one.request_id,
            )
            for one in found
            if one.file == file
        ]
        if len(files) > 1:
            say(f"{shown_path(file)}:")
        if rows:
            print_table([HEADER, *rows])


def show_one(which: str, given: Mapping[str, Any]) -> None:
    """Print what `which` names. Raises UsageError: nothing is, or for an event more than one."""
    files, place = find_files(given), given["place"] or ""
    found = named(which, files, given["trigger"], must_exist=is_file_name(place))
    if given["as_event"]:
        print_json_text(event_of(found))
    elif given["as_json"]:
        documents = [one.document for one in found]
        print_json(documents if len(documents) > 1 else documents[0])
    else:
        if len(found) > 1:
            say(f"{which} names {len(found)} failure records: {_numbers(found)}")
            say()
        for one in found:
            print_failure(one, place, is_only=len(files) == 1 and not is_file_name(place))


# --- which files ---------------------------------------------------------------------------------


def find_files(given: Mapping[str, Any]) -> tuple[Path, ...]:
    """The files that are meant.

    Raises:
        UsageError: no file and no target was named, or no trigger has a `file:` destination.
    """
    place = given["place"] or ""
    if is_file_name(place):
        return (Path(place.removeprefix("file://").removeprefix("file:")),)
    if not (place or read_configuration(given).target):
        raise UsageError(
            "no FILE and no TARGET", hint="name the file: triggerkit failures ls failures.jsonl"
        )
    # --trigger chooses records here
    settings = load({**given, "target": place or None, "trigger": ()}).settings
    return files_of(settings, place)


def files_of(settings: Settings, target: str) -> tuple[Path, ...]:
    """Where the triggers keep failure records. Raises UsageError: none has a `file:` destination."""
    paths = [
        failure_file(plan.on_failure, settings.base_path)
        for plan in settings.mappings
        if plan.on_failure is not None
    ]
    files = tuple(dict.fromkeys(path for path in paths if path is not None))
    if not files:
        raise UsageError(
            f"no trigger of {target or 'the target'} has a file: destination",
            hint="set on_failure='file:failures.jsonl' on one, or name a file",
        )
    return files


def is_file_name(text: str) -> bool:
    """Whether `text` is a file of failure records, rather than a TARGET such as `app.py`."""
    if text.startswith("file:"):
        return True
    path = Path(text)
    return path.suffix in {".json", ".jsonl", ".ndjson"} or (
        bool(text) and path.suffix != ".py" and path.is_file()
    )


# --- which records -------------------------------------------------------------------------------


def read_all(files: Sequence[Path], *, must_exist: bool) -> Iterator[Failure]:
    """Every failure record; damaged lines are reported on stderr."""
    for file in files:
        if not must_exist and not file.exists():
            continue  # no failure was recorded yet
        for line in read_failures(file):
            if isinstance(line, DamagedLine):
                place = f"{shown_path(file)}, line {line.number}"
                say(f"triggerkit: {place} is left out: {line.why}", err=True)
            else:
                yield line


def is_chosen(failure: Failure, globs: Sequence[str]) -> bool:
    """Whether `--trigger` chooses it; without any glob everything is chosen."""
    return not globs or any(fnmatchcase(failure.trigger, glob) for glob in globs)


def named(
    which: str, files: Sequence[Path], globs: Sequence[str], *, must_exist: bool
) -> list[Failure]:
    """What `which` names among the triggers of `globs`, at least one.

    Raises:
        UsageError: there is none, or its number stands for one in each of several files.
    """
    by_number = which.isdecimal() and len(which) <= LONGEST_NUMBER
    found = [
        one
        for one in read_all(files, must_exist=must_exist)
        if is_chosen(one, globs)
        and (one.number == int(which) if by_number else one.is_named(which))
    ]
    if not found:
        raise UsageError(
            f"no failure record {which!r} in {_names(files)}",
            hint="give a number or a request id that `triggerkit failures ls` shows",
        )
    if by_number and len(found) > 1:
        raise UsageError(
            f"{_names(files)} have a failure record {which} each", hint="name one of the files"
        )
    return found


def _names(files: Sequence[Path]) -> str:
    return ", ".join(map(shown_path, files))


def _numbers(found: Sequence[Failure]) -> str:
    return ", ".join(str(one.number) for one in found)


# --- how they look -------------------------------------------------------------------------------


def as_row(failure: Failure) -> dict[str, object]:
    """One line of the list, for programs."""
    return {
        "number": failure.number,
        "file": str(failure.file),
        "timestamp": failure.document.get("timestamp"),
        "trigger": failure.trigger,
        "condition": failure.condition,
        "attempts": failure.attempts,
        "records": failure.records,
        "request_id": failure.request_id,
    }


def event_of(found: Sequence[Failure]) -> str:
    """The event, ready for `invoke`. Raises UsageError: it has none, or several records are named."""
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} failure records are of that request",
            hint=f"choose one: {_numbers(found)}",
        )
    text = found[0].event_text
    if text is None:
        raise UsageError(
            f"failure record {found[0].number} has no event in it",
            hint="only file: and S3 destinations keep the event; read the stream with `tail`",
        )
    return text


def print_failure(failure: Failure, place: str, *, is_only: bool) -> None:
    """Why, what, and how to run it again.

    `place` is FILE or TARGET as it was given; `is_only`: the target's triggers have no other file.
    """
    batch, file = failure.batch, shown_path(failure.file)
    first, last = (str(batch.get(f"{end}SequenceNumber", "")) for end in ("start", "end"))
    why = f"{failure.condition} after {counted(failure.attempts, 'call')}"
    say_bold(f"failure record {failure.number} of {file}")
    print_table(
        (
            ("trigger", failure.trigger),
            ("given up", f"{failure.at} UTC, {why}"),
            ("request", failure.request_id),
            ("stream", str(batch.get("streamArn", ""))),
            ("shard", str(batch.get("shardId", ""))),
            ("sequence", first if first == last else f"{first} to {last}"),
        ),
        indent="  ",
    )
    print_changes(failure.events)
    target = f" {shell_word(place)}" if place else ""
    say()
    say("run it again:")
    if is_only:
        say(f"  triggerkit invoke{target} --failure {failure.number}")
    else:  # `invoke` may find other records by that number, or none
        target = " TARGET" if is_file_name(place) else target
        say(
            f"  triggerkit failures show {failure.number} {shell_word(file)} --event | "
            f"triggerkit invoke{target} -t {shell_word(failure.trigger)} -e -"
        )
    say()


def print_changes(events: Sequence[Mapping[str, Any]]) -> None:
    """The changes, one a line."""
    width = shutil.get_terminal_size().columns - 2 if sys.stdout.isatty() else None
    if events:
        say()
        say(f"{counted(len(events), 'record')}:")
    for event in events:
        show_line(f"  {digest(event, width, colours=wants_colours(sys.stdout))}")
