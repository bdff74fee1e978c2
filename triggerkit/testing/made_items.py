"""Items for tables whose readers are typed: drawn from a seed, and read by every handler before they are written.

An item of a table must fit all types that its triggers are annotated with, since every trigger gets every record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, TypeAlias

from triggerkit.core.changes import Item
from triggerkit.core.item_json import decoded, wire_item
from triggerkit.errors import UsageError
from triggerkit.invokers.models import Reader, adapter_of, name_of, reader_of
from triggerkit.settings import MappingPlan
from triggerkit.testing.made_values import NotBuildableError, ValueMaker

Keys: TypeAlias = Sequence[tuple[str, str]]
"""Name and type of each key attribute, partition key first."""
WireItem: TypeAlias = Mapping[str, Any]

KEYS = 5
"""Different keys of a table: few, so that items are changed and deleted."""
DRAWS = 40


@dataclass(frozen=True, slots=True)
class _Wish:
    """One type of one trigger."""

    trigger: str
    type_name: str
    maker: ValueMaker
    read: Reader

    def complaint(self, item: Item) -> str:
        """Why the trigger cannot read `item`; empty when it can."""
        try:
            self.read(item)
        except Exception as error:  # noqa: BLE001 - validators are code of the user
            return f"{type(error).__name__}: {error}"
        return ""


class PlainItems:
    """Items for handlers that take any: a key out of five, and a number."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def draw(self, rng: Random, number: int) -> WireItem:
        """One item; `number` tells it from the others."""
        key = made_up_key(self._keys, rng.randrange(KEYS))
        return wire_item({"value" if "number" in key else "number": number, **key}, "an item")


class TypedItems:
    """Items that fit every type which a trigger of the table is annotated with.

    Args:
        table: its name, for messages.
        keys: the table's.
        plans: the triggers that read it.

    Raises:
        UsageError: no such item can be made; says of which type and why.
        HandlerSignatureError: a type cannot be read from items at all.
    """

    def __init__(self, table: str, keys: Keys, plans: Iterable[MappingPlan]) -> None:
        self._table = table
        self._keys = keys
        self._wishes = list(_wishes_of(plans))
        rng = Random(f"keys of {table}")  # noqa: S311 - of the table alone, so that a world is its seed
        self._pool = [self._key_of(self._whole(rng)) for _ in range(KEYS)]

    @classmethod
    def if_typed(
        cls, table: str, keys: Keys, plans: Sequence[MappingPlan]
    ) -> TypedItems | PlainItems:
        """Those of a table; plain ones where no trigger says what it takes."""
        typed = any(True for _ in _wishes_of(plans))
        return cls(table, keys, plans) if typed else PlainItems(keys)

    def draw(self, rng: Random, number: int) -> WireItem:
        """One item, with a key that others have too wherever its type allows it."""
        del number
        item = self._whole(rng)
        for key in rng.sample(self._pool, len(self._pool)):
            if not self._complaint({**item, **key}):
                return wire_item({**item, **key}, "a made-up item")
        return wire_item(item, "a made-up item")

    def _whole(self, rng: Random) -> Item:
        complaint = ""
        for _ in range(DRAWS):
            item = self._merged(rng)
            for candidate in self._with_keys(item, rng):
                complaint = self._complaint(candidate)
                if not complaint:
                    return candidate
        raise self._refused(complaint)

    def _merged(self, rng: Random) -> dict[str, object]:
        """The attributes of all types; where two have one of the same name, either may win."""
        merged: dict[str, object] = {}
        for wish in rng.sample(self._wishes, len(self._wishes)):
            try:
                made = wish.maker.make(rng)
            except NotBuildableError as error:
                raise self._unmade(wish, str(error)) from None
            if not isinstance(made, dict):
                raise self._unmade(wish, "it is no map of attributes")
            merged.update(made)
        return merged

    def _with_keys(self, item: dict[str, object], rng: Random) -> Iterable[Item]:
        """The item with all keys of the table, of the right type: its own values first."""
        number = rng.randrange(KEYS)
        own = {
            name: fitting
            for name, kind in self._keys
            if (fitting := _as_key(item.get(name), kind)) is not None
        }
        made_up = made_up_key(self._keys, number)
        yield {**item, **made_up, **own}
        yield {**item, **made_up}

    def _complaint(self, item: Item) -> str:
        try:
            wire = wire_item(item, "the item")
        except UsageError as error:
            return error.message
        for wish in self._wishes:
            if complaint := wish.complaint(decoded(wire)):
                return f"trigger {wish.trigger!r} cannot read it ({complaint})"
        return ""

    def _key_of(self, item: Item) -> Item:
        return {name: item[name] for name, _ in self._keys}

    def _unmade(self, wish: _Wish, why: str) -> UsageError:
        return UsageError(
            f"table {self._table!r}: no item can be made for trigger {wish.trigger!r}: "
            f"{wish.type_name}: {why}",
            hint=_hint(self._table),
        )

    def _refused(self, complaint: str) -> UsageError:
        key = ",".join(map(":".join, self._keys))
        wanted = list(dict.fromkeys(f"{one.type_name} ({one.trigger})" for one in self._wishes))
        all_of = "all of " if len(wanted) > 1 else ""
        return UsageError(
            f"table {self._table!r}: no item was found that has the key {key} and fits "
            f"{all_of}{', '.join(wanted)}: {complaint}",
            hint=_hint(self._table),
        )


def made_up_key(keys: Keys, number: int) -> dict[str, object]:
    """A key out of five, of the types that the table has."""
    values: Mapping[str, object] = {
        "S": str(number),
        "N": number,
        "B": f"00{number}".encode(),
    }
    return {name: values[kind] for name, kind in keys}


def _wishes_of(plans: Iterable[MappingPlan]) -> Iterable[_Wish]:
    seen: set[tuple[str, str]] = set()
    for plan in plans:
        typing = plan.trigger.typing
        if typing is None:
            continue
        for model in typing.annotation.checked_models().values():
            adapter = adapter_of(model, typing.annotation.where)
            if adapter is None or (plan.name, repr(model)) in seen:
                continue
            seen.add((plan.name, repr(model)))
            read = reader_of(model, typing.annotation.where)
            yield _Wish(plan.name, name_of(model), ValueMaker(adapter.core_schema), read)


def _as_key(value: object, kind: str) -> object:
    """`value` as a key of that type; None when it cannot be one."""
    match kind, value:
        case (_, None | "" | b""):
            return None
        case ("S", str()) | ("B", bytes()):
            return value
        case ("N", _) if _is_number(value):
            return value
        case ("S", _) if _is_number(value):
            return str(value)
        case _:
            return None


def _is_number(value: object) -> bool:
    return isinstance(value, Decimal)


def _hint(table: str) -> str:
    return (
        f'write items yourself: --items FILE, or seed = "FILE" under [tool.triggerkit.dev.tables.{table}], '
        "without tool.triggerkit in triggerkit.toml"
    )
