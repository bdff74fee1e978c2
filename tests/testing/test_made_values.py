"""Values made from types: they fit the type, DynamoDB can hold them, and a seed makes the same ones."""

from __future__ import annotations

import collections
import enum
import fractions
import ipaddress
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar
from uuid import UUID

import pydantic
import pytest
from pydantic import AfterValidator, AliasChoices, AliasPath, BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from triggerkit.core.item_json import decoded, wire_item
from triggerkit.testing.made_values import NotBuildableError, ValueMaker
from triggerkit.testing.patterns import matching_text

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Tree(BaseModel):
    name: str
    kids: list[Tree] = []
    left: Tree | None = None


class Endless(BaseModel):
    inner: Endless


class Page(BaseModel, Generic[T]):
    items: list[T] = Field(min_length=1)


class Cat(BaseModel, extra="forbid"):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str = Field(alias="dogName")


class Shape(TypedDict, total=False):
    sides: int
    label: NotRequired[str]


@dataclass
class Box:
    width: int
    labels: list[str] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: str


class Aliased(BaseModel):
    city: str = Field(validation_alias=AliasPath("address", "city"))
    second: int = Field(validation_alias=AliasChoices(AliasPath("numbers", 1), "second"))


class Checked(BaseModel):
    code: str

    @pydantic.field_validator("code")
    @classmethod
    def begins_with_a(cls, code: str) -> str:
        if not code.startswith("a"):
            raise ValueError("no")
        return code


def odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("even")
    return number


UserId = NewType("UserId", str)

FITTING: tuple[Any, ...] = (
    *(str, int, float, bool, bytes, Decimal, datetime, date, time, timedelta, UUID, None, Any),
    *(Colour, Level, Literal["x", 1, None, True], UserId, int | None, int | str, object),
    *(list[int], set[str], set[Colour], set[bytes], frozenset[UUID], set[tuple[int, int]]),
    *(tuple[int, ...], tuple[int, str], dict[str, int], dict[int, str], dict[Colour, list[int]]),
    *(Tree, Page[Cat], Annotated[Cat | Dog, Field(discriminator="kind")], Shape, Box, Point),
    *(Aliased, Checked, pydantic.RootModel[list[int]], collections.deque[int]),
    *(collections.abc.Sequence[int], collections.abc.Mapping[str, int]),
    Annotated[int, Field(gt=5, lt=7)],
    Annotated[int, Field(multiple_of=7, ge=50)],
    Annotated[int, Field(ge=10**40)],
    Annotated[int, Field(le=-5)],
    Annotated[int, AfterValidator(odd)],
    Annotated[float, Field(gt=0, lt=0.001)],
    Annotated[Decimal, Field(max_digits=4, decimal_places=2, gt=90)],
    Annotated[Decimal, Field(max_digits=1)],
    Annotated[str, Field(min_length=3, max_length=4)],
    Annotated[str, Field(max_length=0)],
    Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{2,4}$")],
    Annotated[str, Field(pattern=r"^(foo|bar)+\.[^abc]$", max_length=6)],
    Annotated[list[int], Field(min_length=4, max_length=5)],
    Annotated[set[int], Field(min_length=3)],
    Annotated[dict[str, int], Field(min_length=2)],
    Annotated[datetime, Field(ge=datetime(2030, 1, 1), lt=datetime(2030, 1, 2))],  # noqa: DTZ001
    Annotated[date, Field(gt=date(2030, 1, 1), lt=date(2030, 1, 3))],
    Annotated[timedelta, Field(gt=timedelta(minutes=5))],
    *(pydantic.PastDate, pydantic.FutureDatetime, pydantic.AwareDatetime, pydantic.NaiveDatetime),
    *(pydantic.HttpUrl, pydantic.PostgresDsn, pydantic.SecretStr, pydantic.Json[list[int]]),
    *(pydantic.UUID1, pydantic.ByteSize, ipaddress.IPv4Address, pathlib.Path, fractions.Fraction),
)


@pytest.mark.parametrize(
    "wanted", FITTING, ids=lambda wanted: re.sub(r" at 0x[0-9a-f]+", "", str(wanted))
)
def test_d1_what_is_made_for_a_type_is_stored_and_fits_it(wanted: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(wanted)
    maker = ValueMaker(adapter.core_schema)
    for seed in range(60):
        value = maker.make(Random(seed))
        wire = wire_item({"value": value}, f"seed {seed}")
        assert '"SS": []' not in str(wire)
        adapter.validate_python(decoded(wire)["value"])


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Annotated[int, Field(gt=5, lt=6)], "no number is within its limits"),
        (Annotated[list[collections.abc.Callable[[], int]], Field(min_length=1)], "callable"),
        (Endless, "it contains itself without an end"),
        (Annotated[set[bool], Field(min_length=3)], "no 3 different values"),
    ],
    ids=str,
)
def test_d1_a_type_without_values_says_why(wanted: Any, said: str) -> None:
    maker = ValueMaker(TypeAdapter(wanted).core_schema)
    with pytest.raises(NotBuildableError, match=said):
        maker.make(Random(0))


def test_d1_optional_fields_are_sometimes_there_and_sometimes_not() -> None:
    maker = ValueMaker(TypeAdapter(Shape).core_schema)
    seen = {tuple(sorted(maker.make(Random(seed)))) for seed in range(60)}  # type: ignore[call-overload]
    assert seen == {(), ("label",), ("sides",), ("label", "sides")}


@pytest.mark.parametrize(
    "pattern",
    ["^a+b*c?$", r"\d{3}-\w+", "[^a-z]{2}", "(x|yy)(?:z)", r"^[A-F0-9]{8}$", ".+@.+", "(?i)abc"],
)
def test_d1_texts_match_their_pattern_and_differ(pattern: str) -> None:
    assert len({matching_text(pattern, Random(seed)) for seed in range(20)}) >= 1


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "^b$(?<=a)", "["])
def test_d1_patterns_that_are_not_simple_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="no text can be made"):
        matching_text(pattern, Random(0))


def test_d1_a_seed_makes_the_same_under_any_hash_seed() -> None:
    script = (
        "from random import Random\nfrom pydantic import TypeAdapter\n"
        "from triggerkit.testing.made_values import ValueMaker\n"
        "from triggerkit.core.item_json import wire_item\n"
        "maker = ValueMaker(TypeAdapter(dict[str, set[str] | int]).core_schema)\n"
        "print([wire_item({'v': maker.make(Random(n))}, 'x') for n in range(20)])\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
