"""Seeded random writes of a table with indexes: transactions, and what single writes are made of."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from emulator.random_reads import wide_item, wide_key

CHECKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("attribute_exists(pk)", {}),
    ("attribute_not_exists(pk)", {}),
    ("n > :c", {":c": {"N": "1"}}),
    ("attribute_exists(v) OR t = :c", {":c": {"BOOL": True}}),
    ("size(ss) >= :c AND NOT contains(ss, :d)", {":c": {"N": "2"}, ":d": {"S": "b"}}),
    ("m.a = :c", {":c": {"N": "1"}}),
)
SAFE_CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("SET n = if_not_exists(n, :u) + :u", {":u": {"N": "1.5"}}),
    ("SET v = :u, g = :w", {":u": {"S": "x"}, ":w": {"S": "g1"}}),
    ("REMOVE g, t", {}),
    ("ADD n :u", {":u": {"N": "3"}}),
    ("ADD ss :u REMOVE v", {":u": {"SS": ["c", "d"]}}),
    ("DELETE ss :u", {":u": {"SS": ["a"]}}),
    ("SET m = :u", {":u": {"M": {"a": {"N": "1"}, "l": {"L": [{"S": "q"}, {"S": "r"}]}}}}),
)
CHANGES = (
    *SAFE_CHANGES,
    ("SET n = n - :u", {":u": {"N": "2"}}),
    ("SET m.a = :u, m.l[1] = :u", {":u": {"N": "7"}}),
    ("SET l = list_append(l, :u) REMOVE m.l[0]", {":u": {"L": [{"S": "z"}]}}),
    ("SET l[0] = n", {}),
)
"""Updates; those that are not safe need attributes that an item may not have."""


def put(random: Random, table: str, key: dict[str, Any]) -> dict[str, Any]:
    return {"TableName": table, "Item": wide_item(random, key)}


def update(random: Random, table: str, key: dict[str, Any]) -> dict[str, Any]:
    text, values = random.choice(SAFE_CHANGES if random.random() < 0.7 else CHANGES)
    given = {"ExpressionAttributeValues": dict(values)} if values else {}
    return {"TableName": table, "Key": key, "UpdateExpression": text, **given}


def with_check(random: Random, request: dict[str, Any], share: float) -> dict[str, Any]:
    """Return the request, sometimes with a condition."""
    if random.random() >= share:
        return request
    text, values = random.choice(CHECKS)
    given = {**request.get("ExpressionAttributeValues", {}), **values}
    if given:
        request = {**request, "ExpressionAttributeValues": given}
    returned = random.choice(("NONE", "ALL_OLD"))
    return {
        **request,
        "ConditionExpression": text,
        "ReturnValuesOnConditionCheckFailure": returned,
    }


def transaction(random: Random, tables: list[str]) -> dict[str, Any]:
    """Return a TransactWriteItems request over the tables, one action for each item."""
    actions: dict[str, dict[str, Any]] = {}
    for _ in range(random.choice((1, 2, 2, 3, 4))):
        table, key = random.choice(tables), wide_key(random)
        kind = random.choice(
            ("Put", "Put", "Put", "Update", "Update", "Update", "Delete", "ConditionCheck")
        )
        match kind:
            case "Put":
                request = with_check(random, put(random, table, key), 0.15)
            case "Update":
                request = with_check(random, update(random, table, key), 0.15)
            case "Delete":
                request = with_check(random, {"TableName": table, "Key": key}, 0.15)
            case _:
                request = with_check(random, {"TableName": table, "Key": key}, 1.0)
        actions[json.dumps([table, key], sort_keys=True)] = {kind: request}
    return {"TransactItems": list(actions.values())}


def transact_get(random: Random, tables: list[str]) -> dict[str, Any]:
    gets: dict[str, dict[str, Any]] = {}
    for _ in range(random.randrange(1, 6)):
        table, key = random.choice(tables), wide_key(random)
        get: dict[str, Any] = {"TableName": table, "Key": key}
        if random.random() < 0.4:
            get["ProjectionExpression"] = random.choice(("pk, n", "m.l[0], t", "absent"))
        gets[json.dumps([table, key], sort_keys=True)] = {"Get": get}
    return {"TransactItems": list(gets.values())}


def batch(random: Random, tables: list[str]) -> dict[str, Any]:
    """Return a BatchWriteItem over the tables, one request for each key."""
    asked: dict[str, dict[str, Any]] = {name: {} for name in tables}
    for _ in range(random.randrange(1, 7)):
        table, key = random.choice(tables), wide_key(random)
        entry: dict[str, Any] = {"DeleteRequest": {"Key": key}}
        if random.random() < 0.7:
            entry = {"PutRequest": {"Item": wide_item(random, key)}}
        asked[table][json.dumps(key, sort_keys=True)] = entry
    return {"RequestItems": {name: [*each.values()] for name, each in asked.items() if each}}
