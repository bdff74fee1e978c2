"""What an on-failure destination `file:` holds; a damaged line is reported, and hides no other.

A line is Lambda's document with the event as a JSON string under `payload`, and the trigger's name. Lines
are numbered from 1 as they stand in the file, damaged ones too: a number stays what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from triggerkit.core.locators import Locator
from triggerkit.core.safe_text import shell_word
from triggerkit.errors import UsageError
from triggerkit.files import MIB, LongLine, lines_of, open_file, parse_json

LINE_BYTES = 64 * MIB
"""An event of 6 MiB, escaped as text in JSON, with room to spare."""
_HINT = "name the file that on_failure='file:PATH' appends to"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure record; `document` is the whole line of `file`."""

    file: Path
    number: int
    document: Mapping[str, Any]

    @property
    def trigger(self) -> str:
        """Whose batch it was; empty in a file of another origin."""
        return str(self.document.get("trigger", ""))

    @property
    def at(self) -> str:
        """When it was given up, UTC, to the second: `2026-01-31 10:20:30`."""
        return str(self.document.get("timestamp", ""))[:19].replace("T", " ")

    @property
    def request_id(self) -> str:
        """Of its last call; `run` logs the same."""
        return str(self._called.get("requestId", ""))

    @property
    def condition(self) -> str:
        """Why it was given up, as Lambda says it (D-3)."""
        return str(self._called.get("condition", ""))

    @property
    def attempts(self) -> int:
        """Calls made for it; 0 where the line does not tell."""
        return _whole(self._called.get("approximateInvokeCount"))

    @property
    def batch(self) -> Mapping[str, Any]:
        """Shard, sequence numbers, times of arrival, number of records."""
        found = (self.document.get(name) for name in ("DDBStreamBatchInfo", "KinesisBatchInfo"))
        return next((facts for facts in found if isinstance(facts, dict)), {})

    @property
    def records(self) -> int:
        """How many records."""
        return _whole(self.batch.get("batchSize"))

    @property
    def event_text(self) -> str | None:
        """The event that the handler failed on, as JSON text; None where the line has none."""
        payload = self.document.get("payload")
        return payload if isinstance(payload, str) else None

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """The elements of `Records`; none where they cannot be read."""
        try:
            event = parse_json(self.event_text or "{}", "the event", hint="")
        except UsageError:
            return []
        found = event.get("Records") if isinstance(event, dict) else None
        return [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []

    def is_named(self, text: str) -> bool:
        """Whether `text` is its request id, or the beginning or end of it."""
        name = text.lstrip("~").lower()
        return bool(name) and (self.request_id.startswith(name) or self.request_id.endswith(name))

    @property
    def _called(self) -> Mapping[str, Any]:
        found = self.document.get("requestContext")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line that is no failure record; `why` in words."""

    file: Path
    number: int
    why: str


FileLine: TypeAlias = Failure | DamagedLine


def failure_file(locator: Locator, base_path: str) -> Path | None:
    """Where `file:PATH` appends; None for a destination of another kind."""
    return Path(base_path) / locator.name if locator.scheme == "file" else None


def show_command(locator: Locator, base_path: str, request_id: str) -> str:
    """What shows the failure record of that request, from the current folder; empty for no `file:`."""
    path = failure_file(locator, base_path)
    if path is None or not request_id:
        return ""
    return f"triggerkit failures show {shell_word(request_id)} {shell_word(shown_path(path))}"


def shown_path(path: Path) -> str:
    """As short as it can be from the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def read_failures(path: Path) -> Iterator[FileLine]:
    """Every line, oldest first; empty lines are passed over.

    Raises:
        UsageError: the file cannot be read.
    """
    what = f"failure records in {str(path)!r}"
    try:
        with open_file(path, what, hint=_HINT) as stream:
            for number, line in enumerate(lines_of(stream, LINE_BYTES), start=1):
                if isinstance(line, LongLine):
                    yield DamagedLine(path, number, str(line))
                elif line.strip():
                    yield _read_line(path, number, line)
    except OSError as error:
        raise UsageError(f"{what} cannot be read: {error.strerror}", hint=_HINT) from None


def _read_line(path: Path, number: int, line: bytes) -> FileLine:
    try:
        document = parse_json(line.decode("utf-8-sig"), "it", hint="")
    except UnicodeDecodeError:
        return DamagedLine(path, number, "it is not UTF-8 text")
    except UsageError as error:
        cut = "" if line.endswith(b"\n") else "; its end is missing"
        return DamagedLine(path, number, f"{error.message}{cut}")
    if not (isinstance(document, dict) and isinstance(document.get("requestContext"), dict)):
        return DamagedLine(path, number, "it is JSON, but no failure record")
    return Failure(path, number, document)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
