"""Seeded random requests: items of all types, writes with and without conditions, batches."""

from __future__ import annotations

import base64
import json
import re
from random import Random
from typing import Any

from emulator.catalogue import CONDITIONS, NAMES, UPDATES, VALUES

STRINGS = ("", "a", "abc", "é", "漢字", "x" * 40)
NUMBERS = ("0", "1", "2", "-1", "10", "100", "0.5", "-2.25", "123456789", "1234.5678", "7000000")
ODD_NUMBERS = ("1.0", "100.00", "1e2", "1E-3", "-0", "+5", "007", ".5", "12e-5", "1E120", "5E-100")
MEMBERS = {
    "SS": ("a", "b", "c", "é"),
    "NS": ("1", "2.0", "3e1", "-4"),
    "BS": ("YQ==", "YWJj", "ZGVm"),
}
NAMED = ("n", "v", "m", "l", "ss", "ns", "b", "t", "z", "bs")
MISSING_NAMES = ("q", "a1")


def key(random: Random, keys: int, sort_key: str | None) -> dict[str, Any]:
    """Return one of `keys` partition keys, with one of three sort keys."""
    chosen: dict[str, Any] = {"pk": {"S": f"k{random.randrange(keys)}"}}
    if sort_key == "N":
        chosen["sk"] = {"N": random.choice(("1", "2.0", "-3e1"))}
    elif sort_key == "B":
        chosen["sk"] = {"B": base64.b64encode(bytes([random.randrange(3)])).decode()}
    elif sort_key == "S":
        chosen["sk"] = {"S": random.choice(("a", "b", "é"))}
    return chosen


def value(random: Random, depth: int = 0) -> dict[str, Any]:
    """Return a random attribute value; numbers may be spelled oddly."""
    scalars = ("S", "N", "B", "BOOL", "NULL")
    every = ("S", "S", "N", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS")
    kind = random.choice(scalars if depth > 1 else every)
    return {kind: content(random, kind, depth)}


def content(random: Random, kind: str, depth: int) -> Any:
    match kind:
        case "S":
            return random.choice(STRINGS)
        case "N":
            return random.choice(NUMBERS + ODD_NUMBERS)
        case "B":
            return base64.b64encode(random.randbytes(random.randrange(5))).decode()
        case "L":
            return [value(random, depth + 1) for _ in range(random.randrange(4))]
        case "M":
            names = random.sample(("a", "l", "ss", "x"), random.randrange(4))
            return {name: value(random, depth + 1) for name in names}
        case "SS" | "NS" | "BS":
            return random.sample(MEMBERS[kind], random.randrange(1, 4))
        case _:
            return kind == "NULL" or random.random() < 0.5


TYPED: dict[str, tuple[dict[str, Any], ...]] = {
    "n": ({"N": "5"}, {"N": "1"}, {"N": "-2.5"}),
    "v": ({"S": "abc"}, {"S": "a"}),
    "m": (
        {"M": {"a": {"N": "1"}, "l": {"L": [{"N": "1"}, {"N": "2"}]}, "ss": {"SS": ["x"]}}},
        {"M": {"a": {"N": "4"}}},
    ),
    "l": ({"L": [{"N": "1"}, {"N": "2"}, {"N": "3"}]}, {"L": []}),
    "ss": ({"SS": ["a", "b"]}, {"SS": ["c"]}),
    "ns": ({"NS": ["1", "2"]},),
    "b": ({"B": "YWJj"},),
    "t": ({"BOOL": True},),
    "z": ({"NULL": True},),
    "bs": ({"BS": ["YWJj", "ZGVm"]},),
}


def item(random: Random, of: dict[str, Any]) -> dict[str, Any]:
    """Return an item of that key: usual attributes that expressions can work on, and odd ones."""
    names = random.sample(NAMED, random.randrange(len(NAMED)))
    attributes = {
        name: random.choice(TYPED[name]) if random.random() < 0.7 else value(random)
        for name in names
    }
    for name in MISSING_NAMES:
        if random.random() < 0.1:
            attributes[name] = value(random)
    return {**attributes, **of}


def placeholders(*expressions: str) -> dict[str, Any]:
    """Return the ExpressionAttributeNames and Values that the expressions use."""
    text = " ".join(expressions)
    found: dict[str, Any] = {}
    values = {name: VALUES[name] for name in re.findall(r":[A-Za-z0-9_]+", text) if name in VALUES}
    names = {name: NAMES[name] for name in re.findall(r"#[A-Za-z0-9_]+", text) if name in NAMES}
    if values:
        found["ExpressionAttributeValues"] = values
    if names:
        found["ExpressionAttributeNames"] = names
    return found


def condition(random: Random) -> str | None:
    return random.choice(CONDITIONS) if random.random() < 0.4 else None


def put(random: Random, table: str, of: dict[str, Any]) -> dict[str, Any]:
    request = {
        "TableName": table,
        "Item": item(random, of),
        "ReturnValues": random.choice(("NONE", "ALL_OLD")),
    }
    return with_condition(random, request, condition(random))


def delete(random: Random, table: str, of: dict[str, Any]) -> dict[str, Any]:
    request = {
        "TableName": table,
        "Key": of,
        "ReturnValues": random.choice(("NONE", "ALL_OLD")),
    }
    return with_condition(random, request, condition(random))


def update(random: Random, table: str, of: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"TableName": table, "Key": of}
    if random.random() < 0.95:
        request["UpdateExpression"] = random.choice(UPDATES)
    request["ReturnValues"] = random.choice(
        ("NONE", "ALL_NEW", "ALL_OLD", "UPDATED_NEW", "UPDATED_OLD")
    )
    return with_condition(random, request, condition(random))


def with_condition(random: Random, request: dict[str, Any], chosen: str | None) -> dict[str, Any]:
    if chosen is not None:
        request["ConditionExpression"] = chosen
        request["ReturnValuesOnConditionCheckFailure"] = random.choice(("NONE", "ALL_OLD"))
    expressions = [request.get("UpdateExpression", ""), chosen or ""]
    return {**request, **placeholders(*expressions)}


def batch(random: Random, tables: list[tuple[str, str | None]], keys: int) -> dict[str, Any]:
    """Return a BatchWriteItem over several tables, one request for each key."""
    asked: dict[str, dict[str, Any]] = {name: {} for name, _ in tables}
    for _ in range(random.randrange(1, 8)):
        table, sort_key = random.choice(tables)
        of = key(random, keys, sort_key)
        if random.random() < 0.6:
            entry: dict[str, Any] = {"PutRequest": {"Item": item(random, of)}}
        else:
            entry = {"DeleteRequest": {"Key": of}}
        asked[table][json.dumps(of, sort_keys=True)] = entry
    requests = {name: list(entries.values()) for name, entries in asked.items() if entries}
    return {"RequestItems": requests}
