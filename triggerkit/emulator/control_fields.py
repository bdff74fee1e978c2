"""Reading what a control was asked for.

Rule: a member that is missing, mistyped, out of range or not known is named with its value and with what
would be right; nothing is guessed, and nothing is done before all members are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.errors import validation
from triggerkit.errors import nearest

MOST_TIMES = 10_000
MOST_SECONDS = 366 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Fields:
    """The members of one request. All methods raise EmulatorError: a ValidationException that says why."""

    verb: str
    given: Mapping[str, Any]
    emulator: Emulator

    def check(self, known: Sequence[str]) -> None:
        """Refuse members that this verb does not have."""
        for name in self.given:
            if name not in known:
                raise validation(f"{self.verb} has no member {name!r}; {nearest(name, known)}")

    def has(self, name: str) -> bool:
        """Tell whether a member is given and not null."""
        return self.given.get(name) is not None

    def text(self, name: str) -> str:
        """Return a required text."""
        value = self.optional_text(name)
        if not value:
            raise validation(f"{self.verb} needs {name!r}: a text")
        return value

    def optional_text(self, name: str) -> str:
        """Return a text, "" when absent."""
        value = self.given.get(name)
        if value is not None and not isinstance(value, str):
            raise validation(f"{name} is {value!r}; write a text")
        return value or ""

    def chosen(self, name: str, allowed: Sequence[str]) -> str:
        """Return a required text out of a few."""
        value = self.text(name)
        if value not in allowed:
            raise validation(f"{name} is {value!r}; write one of {_listed(allowed)}")
        return value

    def count(self, name: str, otherwise: int = 1, most: int = MOST_TIMES) -> int:
        """Return a whole number of at least 1, `otherwise` when absent."""
        value = self.given.get(name)
        if value is None:
            return otherwise
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise validation(f"{name} is {value!r}; write a whole number from 1 to {most}")
        if value > most:
            raise validation(f"{name} is {value}, at most {most}")
        return value

    def optional_count(self, name: str) -> int | None:
        """Return a whole number of at least 1, None when absent or null."""
        return self.count(name) if self.has(name) else None

    def seconds(self, name: str = "seconds", otherwise: float | None = None) -> float:
        """Return a number of seconds; required unless there is an `otherwise`."""
        return self.number(name, otherwise, MOST_SECONDS)

    def number(
        self, name: str, otherwise: float | None = None, most: float = float(2**63)
    ) -> float:
        """Return a number of at least 0; required unless there is an `otherwise`."""
        value = self.given.get(name)
        if value is None and otherwise is not None:
            return otherwise
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
            return float(value)
        shown = "missing" if value is None else repr(value)
        raise validation(f"{name} is {shown}; write a number from 0 to {most:.0f}")

    def switch(self, name: str, otherwise: bool) -> bool:
        """Return true or false."""
        value = self.given.get(name, otherwise)
        if not isinstance(value, bool):
            raise validation(f"{name} is {value!r}; write true or false")
        return value

    def operation(self, otherwise: str = "") -> str:
        """Return the name of an operation that the emulator has."""
        name = self.optional_text("operation") or otherwise
        if not name:
            raise validation(f"{self.verb} needs 'operation', such as PutItem")
        if not self.emulator.knows(name):
            raise validation(f"there is no operation {name!r}; write one such as GetRecords")
        return name

    def stream(self) -> str:
        """Return a table whose stream is on, or a stream of Kinesis."""
        name = self.text("stream")
        self.emulator.open_shards(name)  # says what is wrong
        return name

    def shard(self) -> str:
        """Return the id of a shard of any stream, "" for all of them."""
        shard_id = self.optional_text("shard")
        if shard_id and not self.emulator.knows_shard(shard_id):
            raise validation(
                f"shard is {shard_id!r}, which no stream has; "
                "`DescribeStream` and `ListShards` show their ids"
            )
        return shard_id

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a required JSON object."""
        value = self.given.get(name)
        if not isinstance(value, Mapping):
            raise validation(f"{self.verb} needs {name!r}: a JSON object")
        return value


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) if names else "none"
