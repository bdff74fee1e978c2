"""Items as the handler's type: what fits is read exactly, what does not is told without a value."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NotRequired, Required, TypedDict

import pytest
import typing_extensions
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from triggerkit.errors import HandlerSignatureError, ImageMismatchError
from triggerkit.invokers.models import reader_of

SECRET = "s3cr3t"


class Line(TypedDict):
    sku: str
    count: NotRequired[int]


class Row(TypedDict, total=False):
    id: Required[str]
    lines: list[Line]
    first: Line | None
    size: Annotated[int, Field(gt=3)]


class NewerRow(typing_extensions.TypedDict):
    id: str


class Order(BaseModel):
    id: str
    cents: int = 0
    rate: Decimal = Decimal(0)
    tags: set[str] = set()
    blob: bytes = b""
    prices: dict[str, int] = {}
    total: int = Field(0, alias="Total-Amount")

    @field_validator("id")
    @classmethod
    def _no_secrets(cls, value: str) -> str:
        if SECRET in value:
            raise ValueError(f"never {value}")
        return value


@dataclass
class Plain:
    id: str
    count: int = 0


def test_dict_gets_the_item_as_it_is() -> None:
    item = {"n": Decimal("1.10")}
    for kind in (dict, dict[str, Any], dict[str, object], Any):
        assert reader_of(kind, "f")(item) is item


@pytest.mark.parametrize(
    ("model", "item", "expected"),
    [
        (Plain, {"id": "1", "count": Decimal(3), "more": 1}, Plain("1", 3)),
        (dict[str, int], {"a": Decimal(3)}, {"a": 3}),
        (Row, {"id": "1", "lines": [{"sku": "a"}]}, {"id": "1", "lines": [{"sku": "a"}]}),
        (
            Row,
            {"id": "1", "first": {"sku": "a", "count": Decimal(2)}, "size": Decimal(4)},
            {"id": "1", "first": {"sku": "a", "count": 2}, "size": 4},
        ),
        (NewerRow, {"id": "1"}, {"id": "1"}),
        (Order | Plain, {"id": "1", "count": Decimal(2)}, Plain("1", 2)),
        (Annotated[Plain, "note"], {"id": "1"}, Plain("1")),
    ],
    ids=str,
)
def test_an_item_becomes_what_the_handler_asks_for(model: Any, item: Any, expected: Any) -> None:
    assert reader_of(model, "f")(item) == expected


def test_a_model_reads_numbers_sets_and_binary_exactly() -> None:
    digits = "12345678901234567890123456789012345678"
    order = reader_of(Order, "f")(
        {
            "id": "1",
            "cents": Decimal(digits),
            "rate": Decimal("1.10"),
            "tags": {"a", "b"},
            "blob": b"\x00\xff",
            "Total-Amount": Decimal(7),
        }
    )
    assert (order.cents, str(order.rate)) == (int(digits), "1.10")
    assert (order.tags, order.blob, order.total) == ({"a", "b"}, b"\x00\xff", 7)


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({}, "id (missing)"),
        ({"id": SECRET}, "id (value_error)"),
        ({"id": "1", "cents": SECRET}, "cents (int_parsing)"),
        ({"id": "1", "cents": Decimal("1.5")}, "cents (int_from_float)"),
        ({"id": "1", "Total-Amount": SECRET}, "Total-Amount (int_parsing)"),
        ({"id": "1", "prices": {SECRET: SECRET}}, "prices.* (int_parsing)"),
        (
            {"id": 5, "cents": SECRET, "tags": SECRET},
            "id (string_type), cents (int_parsing), tags (set_type)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mismatch_names_field_and_type_and_no_value(item: Any, told: str) -> None:
    with pytest.raises(ImageMismatchError) as caught:
        reader_of(Order, "f")(item)
    assert str(caught.value) == f"an item does not fit Order: {told}"
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "ValidationError" not in shown
    assert caught.value.__context__ is None
    assert "Order" in caught.value.hint


def test_many_mismatches_are_counted() -> None:
    class Wide(BaseModel):
        a: int
        b: int
        c: int
        d: int
        e: int
        f: int
        g: int

    with pytest.raises(ImageMismatchError, match=r"e \(missing\) and 2 more$"):
        reader_of(Wide, "f")({})


def test_a_model_may_be_strict_about_more_attributes() -> None:
    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        id: str

    with pytest.raises(ImageMismatchError, match=r"\* \(extra_forbidden\)"):
        reader_of(Closed, "f")({"id": "1", SECRET: 1})


def test_what_a_validator_raises_itself_is_the_users_own() -> None:
    class Odd(BaseModel):
        id: str

        @field_validator("id")
        @classmethod
        def _looked_up(cls, value: str) -> str:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        reader_of(Odd, "f")({"id": "1"})


class NotReadable: ...


@dataclass
class Holder:
    inner: NotReadable


@dataclass
class Unfinished:
    inner: Nowhere  # type: ignore[name-defined] # noqa: F821


@pytest.mark.parametrize("model", [Holder, Unfinished, Holder | Plain])
def test_a_model_that_cannot_be_built_is_told_with_the_handler(model: Any) -> None:
    with pytest.raises(
        HandlerSignatureError, match=r"shop\.notify: \S+.* cannot be read"
    ) as caught:
        reader_of(model, "shop.notify")
    assert not isinstance(caught.value, ValidationError)
    assert caught.value.hint
