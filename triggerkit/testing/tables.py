"""A table of a simulation, as a test writes to it: plain Python values in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from triggerkit.core.item_json import decoded, wire_item
from triggerkit.emulator import Emulator, EmulatorError
from triggerkit.errors import UsageError
from triggerkit.runtime.item_json import to_wire
from triggerkit.runtime.tables import DevTable, read_key
from triggerkit.testing.ledger import Ledger


class SimulatedTable:
    """One table with its stream on; each write is a record at once.

    `written` is called after each write: in a troubled world time passes between two of them.
    """

    def __init__(self, emulator: Emulator, table: DevTable, written: Callable[[], None]) -> None:
        self._emulator = emulator
        self._table = table
        self._written = written

    @property
    def name(self) -> str:
        """The table's name."""
        return self._table.name

    @property
    def key(self) -> str:
        """The key as the configuration writes it, such as `id:S` or `pk:S,sk:N`."""
        return self._table.key_text

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """Name and type of each key attribute, partition key first."""
        return self._table.keys

    def put(self, item: Mapping[str, object] | None = None, /, **attributes: object) -> None:
        """Write a whole item, as PutItem: `put(id="1", status="paid")`.

        Args:
            item: attributes whose names are no Python names.
            attributes: the others, the key among them.

        Raises:
            UsageError: the key is missing or of another type, or a value that no item can have.
        """
        given = {**(item or {}), **attributes}
        self._call("PutItem", {"Item": wire_item(given, f"item of {self.name}")})
        self._written()

    def update(self, item: Mapping[str, object] | None = None, /, **attributes: object) -> None:
        """Change the attributes given and leave the others as they are; creates the item if need be.

        Raises:
            UsageError: as `put`.
        """
        given = {**(item or {}), **attributes}
        wire = wire_item(given, f"item of {self.name}")
        found = self._call("GetItem", {"Key": self._key_of(wire)}).get("Item", {})
        self._call("PutItem", {"Item": {**found, **wire}})
        self._written()

    def delete(self, **key: object) -> None:
        """Delete the item of that key: `delete(id="1")`; nothing happens where there is none."""
        wire = wire_item(key, f"key of {self.name}")
        self._call("DeleteItem", {"Key": self._key_of(wire)})
        self._written()

    def expire(self, **key: object) -> None:
        """Delete the item as Time to Live does: `change.expired` is true.

        Raises:
            UsageError: there is no such item.
        """
        wire = self._key_of(wire_item(key, f"key of {self.name}"))
        if "Item" not in self._call("GetItem", {"Key": wire}):
            raise UsageError(
                f"table {self.name!r} has no item {key}", hint="put it first, then let it expire"
            )
        self._emulator.expire_item(self.name, wire)
        self._written()

    def get(self, **key: object) -> dict[str, Any] | None:
        """The item of that key, numbers as Decimal; None where there is none."""
        wire = wire_item(key, f"key of {self.name}")
        found = self._call("GetItem", {"Key": self._key_of(wire)}).get("Item")
        return None if found is None else decoded(found)

    def write_wire(self, item: Mapping[str, Any], *, deletes: bool = False) -> None:
        """Write an item in DynamoDB JSON, or delete the item of its key. Raises UsageError."""
        if deletes:
            self._call("DeleteItem", {"Key": self._key_of(item)})
        else:
            self._call("PutItem", {"Item": item})
        self._written()

    def __repr__(self) -> str:
        return f"SimulatedTable({self.name!r}, key={self.key!r})"

    def _key_of(self, wire: Mapping[str, Any]) -> dict[str, Any]:
        return {name: wire[name] for name, _ in self._table.keys if name in wire}

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._emulator.call(operation, {"TableName": self.name, **request})
        except EmulatorError as error:
            raise UsageError(
                f"{operation} on table {self.name!r}: {error.message}",
                hint=f"its key is {self.key}; name another one: sim.table({self.name!r}, key=...)",
            ) from None


class Tables:
    """All tables of a simulation, each made when it is first asked for.

    `described` are those of the configuration; a table that it does not know has the key `id:S`.
    """

    def __init__(
        self,
        emulator: Emulator,
        described: Mapping[str, DevTable],
        ledger: Ledger,
        written: Callable[[], None],
    ) -> None:
        self._emulator = emulator
        self._described = described
        self._ledger = ledger
        self._written = written
        self._made: dict[str, tuple[DevTable, SimulatedTable]] = {}

    @property
    def names(self) -> list[str]:
        """In the order in which they were made."""
        return list(self._made)

    def get(
        self, name: str, key: str | None = None, view_type: str | None = None
    ) -> SimulatedTable:
        """The table of that name. Raises UsageError: it is there with another key or view type."""
        known = self._made.get(name)
        return self.fit(self._wanted(name, key, view_type, known[0] if known else None))

    def fit(self, wanted: DevTable) -> SimulatedTable:
        """The table as it is described. Raises UsageError: it is there with another key or view type."""
        known = self._made.get(wanted.name)
        if known is None:
            return self._make(wanted)
        if (known[0].keys, known[0].view_type) != (wanted.keys, wanted.view_type):
            raise UsageError(
                f"table {wanted.name!r} is there with the key {known[0].key_text}, {known[0].view_type}",
                hint="give key= and view_type= when it is first asked for, before anything runs",
            )
        return known[1]

    def shards(self, name: str) -> list[str]:
        """The ids of all listed shards of the table's streams."""
        found: list[str] = []
        for arn in self._emulator.stream_arns(name):
            answer = self._emulator.peek("DescribeStream", {"StreamArn": arn})
            found += [shard["ShardId"] for shard in answer["StreamDescription"]["Shards"]]
        return found

    def _wanted(
        self, name: str, key: str | None, view_type: str | None, known: DevTable | None
    ) -> DevTable:
        table = known or self._described.get(name) or DevTable(name)
        keys = table.keys if key is None else read_key(key, f"sim.table({name!r})")
        return replace(table, keys=keys, view_type=view_type or table.view_type)

    def _make(self, table: DevTable) -> SimulatedTable:
        try:
            self._emulator.call("CreateTable", table.request())
            for item in table.items:
                put = {"TableName": table.name, "Item": to_wire(item)}
                self._emulator.call("PutItem", put)
        except EmulatorError as error:
            raise UsageError(
                f"table {table.name!r}: {error.message}", hint="correct its name, key or seed"
            ) from None
        made = SimulatedTable(self._emulator, table, self._changed)
        self._made[table.name] = (table, made)
        self._ledger.know_table(table.name, tuple(name for name, _ in table.keys))
        return made

    def _changed(self) -> None:
        self._ledger.reread()
        self._written()
