"""What the emulator keeps: tables and streams, as their definitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from triggerkit.emulator.indexes import Index, key_schema
from triggerkit.emulator.shards import ShardGraph

ItemKey: TypeAlias = tuple[str, str]
"""Canonical text of partition key and sort key; the second is empty where the table has none."""


@dataclass(frozen=True, slots=True)
class Billing:
    """How a table is paid for; units are 0 on demand."""

    mode: str
    read_units: int
    write_units: int


@dataclass(slots=True)
class Table:
    """One table's definition and the stream that it writes now."""

    name: str
    table_id: str
    arn: str
    created_seconds: float
    hash_key: str
    sort_key: str | None
    key_types: dict[str, str]
    billing: Billing
    deletion_protected: bool = False
    stream_arn: str | None = None
    expiry_attribute: str | None = None
    indexes: list[Index] = field(default_factory=list)

    def key_names(self) -> tuple[str, ...]:
        """Return the names of the key attributes, partition key first."""
        return (self.hash_key,) if self.sort_key is None else (self.hash_key, self.sort_key)

    def key_schema(self) -> list[dict[str, str]]:
        """Return the KeySchema as the wire has it."""
        return key_schema(self.hash_key, self.sort_key)


@dataclass(slots=True)
class Stream:
    """One stream, of Kinesis or of a table, which it outlives by the retention.

    A Kinesis stream has its own name in `table_name`, and no label, view type or key schema.
    """

    arn: str
    label: str
    table_name: str
    view_type: str
    key_schema: list[dict[str, str]]
    created_seconds: float
    graph: ShardGraph
    enabled: bool = True
    is_kinesis: bool = False
