"""One item among many, named by its key. Rule: what is compared is what DynamoDB would compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triggerkit.commands.digest import plain_text
from triggerkit.runtime.item_json import Item, read_item, same_item, to_wire


@dataclass(frozen=True, slots=True)
class SoughtKey:
    """Attributes that a key must have, or else the text of any one of them."""

    attributes: Item | None
    text: str = ""

    def fits(self, event: Mapping[str, Any]) -> bool:
        """Whether a record is of that item, or of that partition key."""
        record = event.get("kinesis")
        if isinstance(record, Mapping):
            return self.attributes is None and record.get("partitionKey") == self.text
        change = event.get("dynamodb")
        keys = change.get("Keys") if isinstance(change, Mapping) else None
        if not isinstance(keys, Mapping):
            return False
        if self.attributes is None:
            return any(plain_text(value) == self.text for value in keys.values())
        return all(
            name in keys and same_item({name: value}, {name: keys[name]})
            for name, value in to_wire(self.attributes).items()
        )


def read_key(text: str) -> SoughtKey:
    """Read `{"id": "o-1"}`, plain or DynamoDB JSON, or a value such as `o-1`.

    Raises:
        UsageError: it begins as an object and is none.
    """
    if text.lstrip().startswith("{"):
        return SoughtKey(read_item(text, "--key"))
    return SoughtKey(None, text)
