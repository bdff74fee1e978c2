"""Requests with one thing wrong or unusual, which both endpoints must answer alike.

Each is an operation and a request; TABLE has a partition key, SORTED also a numeric sort key with the
items that `sorted_items` gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TABLE = "odd"
SORTED = "odd_sorted"
ABSENT = "odd_absent"
KEY: dict[str, Any] = {"pk": {"S": "k"}}
Asked = tuple[str, dict[str, Any]]

KEYS: tuple[Any, ...] = (
    {},
    {"pk": {"N": "1"}},
    {"pk": {"S": ""}},
    {"pk": {"S": "a"}, "x": {"S": "b"}},
    {"x": {"S": "b"}},
    {"pk": {}},
    {"pk": {"S": "a", "N": "1"}},
    {"pk": {"X": "a"}},
    None,
    {"pk": {"S": "a" * 2049}},
    {"pk": {"S": "a" * 2048}},
)
VALUES: tuple[Any, ...] = (
    *({"N": text} for text in ("", "x", "1e", " 1", "1 ", "0x10", "1_0", "NaN", "Infinity")),
    *({"N": text} for text in ("9" * 38, "9" * 39, "9" * 38 + "000", "1E126", "-1E126", "1E-131")),
    {"N": "9.99999999999999999999999999999999999999E+125"},
    {"S": ""},
    {"S": None},
    {"N": None},
    {"S": "a", "SS": None},
    {"NULL": True},
    {"NULL": False},
    {"SS": []},
    {"NS": []},
    {"BS": []},
    {"SS": ["a", "a"]},
    {"NS": ["1", "1.0"]},
    {"NS": ["1", "x"]},
    {"BS": ["YQ==", "YQ=="]},
    {"SS": ["a", ""]},
    {"B": ""},
    {"B": "!!"},
    {"L": []},
    {"M": {}},
    {"L": [{}]},
    {"L": [{"SS": []}]},
    {"L": [{"N": "x"}]},
    {"L": {}},
    {"M": {"": {"S": "a"}}},
    {"M": {"a": {"S": ""}}},
    {},
    {"S": "a", "N": "1"},
    {"X": "1"},
    "a",
    None,
)
ITEMS: tuple[Any, ...] = (
    {},
    {"v": {"S": "a"}},
    {"pk": {"N": "1"}},
    {"pk": {"S": ""}},
    {"pk": {"S": "a"}, "": {"S": "x"}},
    {"pk": {"S": "a"}, "a" * 300: {"S": "x"}},
    {"pk": {"S": "a" * 2049}},
    {"pk": {"S": "a"}, "x": {"S": "y" * (400 * 1024 - 3)}},
    {"pk": {"S": "a"}, "x": {"S": "y" * (400 * 1024 - 4)}},
    None,
)
EXTRAS: tuple[dict[str, Any], ...] = (
    {"ExpressionAttributeValues": {":a": {"S": "a"}}},
    {"ExpressionAttributeNames": {"#a": "a"}},
    {"ConditionExpression": "pk = :a"},
    {"ConditionExpression": "pk = :a", "ExpressionAttributeValues": {}},
    {"ConditionExpression": "pk = :a", "ExpressionAttributeValues": {"a": {"S": "z"}}},
    {"ConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a-b": {"S": "z"}}},
    {"ConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {}}},
    {"ConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"SS": []}}},
    {
        "ConditionExpression": "pk = :a",
        "ExpressionAttributeValues": {":a": {"S": "z"}, ":b": {"S": "b"}},
    },
    {
        "ConditionExpression": "pk = :a",
        "ExpressionAttributeValues": {":a": {"S": "z"}},
        "ExpressionAttributeNames": {"#a": "x"},
    },
    {
        "ConditionExpression": "pk = :a",
        "ExpressionAttributeValues": {":a": {"S": "z"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    },
    {
        "ConditionExpression": "attribute_exists(absent)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    },
    {"ReturnValues": "ALL_NEW"},
    {"ReturnValues": "UPDATED_OLD"},
    {"TableName": ABSENT},
    {"TableName": "a"},
)
BATCH_WRITES: tuple[dict[str, Any], ...] = (
    {"RequestItems": {}},
    {},
    {"RequestItems": {TABLE: []}},
    {"RequestItems": {TABLE: [{}]}},
    {"RequestItems": {TABLE: [{"PutRequest": {"Item": KEY}}, {"DeleteRequest": {"Key": KEY}}]}},
    {"RequestItems": {TABLE: [{"PutRequest": {"Item": KEY}, "DeleteRequest": {"Key": KEY}}]}},
    {"RequestItems": {TABLE: [{"PutRequest": {"Item": {"pk": {"S": str(i)}}}} for i in range(26)]}},
    {"RequestItems": {TABLE: [{"PutRequest": {"Item": {"pk": {"S": str(i)}}}} for i in range(25)]}},
    {"RequestItems": {ABSENT: [{"PutRequest": {"Item": KEY}}]}},
    {"RequestItems": {TABLE: [{"PutRequest": {"Item": {}}}]}},
    {"RequestItems": {TABLE: [{"PutRequest": {}}]}},
    {"RequestItems": {TABLE: [{"DeleteRequest": {"Key": {"pk": {"S": ""}}}}]}},
    {"RequestItems": {TABLE: [{"PutRequest": {"Item": {**KEY, "v": {"SS": []}}}}]}},
    {
        "RequestItems": {
            SORTED: [
                {"PutRequest": {"Item": {**KEY, "sk": {"N": "1"}}}},
                {"PutRequest": {"Item": {**KEY, "sk": {"N": "1.0"}}}},
            ]
        }
    },
)
BATCH_READS: tuple[dict[str, Any], ...] = (
    {},
    {"RequestItems": {}},
    {"RequestItems": {TABLE: {"Keys": []}}},
    {"RequestItems": {TABLE: {}}},
    {"RequestItems": {TABLE: {"Keys": [KEY, KEY]}}},
    {"RequestItems": {TABLE: {"Keys": [KEY, {"pk": {"S": "zz"}}]}}},
    {"RequestItems": {TABLE: {"Keys": [{"pk": {"S": str(i)}} for i in range(101)]}}},
    {"RequestItems": {ABSENT: {"Keys": [KEY]}}},
    {"RequestItems": {TABLE: {"Keys": [{"pk": {"N": "1"}}]}}},
    {
        "RequestItems": {
            SORTED: {
                "Keys": [{"pk": {"S": "p"}, "sk": {"N": "1"}}],
                "ProjectionExpression": "#x, m.a",
                "ExpressionAttributeNames": {"#x": "x"},
            }
        }
    },
    {"RequestItems": {TABLE: {"Keys": [KEY], "ProjectionExpression": "a b"}}},
)
KEY_CONDITIONS = (
    "pk = :p",
    ":p = pk",
    "pk = :p AND sk = :n",
    "pk = :p AND sk < :n",
    "pk = :p AND sk >= :n",
    "pk = :p AND :n < sk",
    "pk = :p AND sk BETWEEN :n AND :m",
    "pk = :p AND sk BETWEEN :m AND :n",
    "sk > :n AND pk = :p",
    "pk = :p AND begins_with(sk, :n)",
    "pk = :p AND sk <> :n",
    "pk <> :p",
    "pk > :p",
    "begins_with(pk, :p)",
    "sk = :n",
    "pk = :p OR sk = :n",
    "NOT pk = :p",
    "pk = :p AND x = :n",
    "pk = :p AND sk = :n AND sk = :m",
    "pk = :p AND pk = :p",
    "(pk = :p) AND (sk = :n)",
    "pk = :n",
    "pk = :p AND sk = :s",
    "pk IN (:p)",
    "pk = sk",
    "pk = :p AND attribute_exists(sk)",
    "pk = :p AND contains(sk, :n)",
    "size(pk) = :n",
    "pk.a = :p",
    "pk[0] = :p",
    "pk = :q",
    "pk",
    "",
)
KEY_VALUES = {
    ":p": {"S": "p"},
    ":n": {"N": "1"},
    ":m": {"N": "5"},
    ":s": {"S": "x"},
    ":z": {"N": "0"},
}
QUERY = {
    "TableName": SORTED,
    "KeyConditionExpression": "pk = :p",
    "ExpressionAttributeValues": {":p": {"S": "p"}},
}
FILTER = {"FilterExpression": "x = :z", "ExpressionAttributeValues": {":z": {"N": "0"}}}
PAGES: tuple[dict[str, Any], ...] = (
    {},
    {"ScanIndexForward": False},
    *({"Limit": limit} for limit in (2, 6, 7, 0)),
    {"Limit": 2, "ScanIndexForward": False},
    {"Limit": 2, "ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "-1"}}},
    {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "0"}}},
    {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "0"}}, "ScanIndexForward": False},
    {"ExclusiveStartKey": {"pk": {"S": "p"}}},
    {"ExclusiveStartKey": {"pk": {"S": "other"}, "sk": {"N": "1"}}},
    {"ExclusiveStartKey": {"pk": {"S": "p"}, "sk": {"N": "1"}, "x": {"N": "1"}}},
    {
        "FilterExpression": "x = :z",
        "Limit": 3,
        "ExpressionAttributeValues": {":p": {"S": "p"}, ":z": {"N": "0"}},
    },
    {"FilterExpression": "sk = :p"},
    {"FilterExpression": ""},
    {"Select": "COUNT"},
    {"Select": "COUNT", "ProjectionExpression": "x"},
    {"Select": "ALL_ATTRIBUTES", "ProjectionExpression": "x"},
    {"Select": "SPECIFIC_ATTRIBUTES", "ProjectionExpression": "m.a, sk"},
    {"Select": "SPECIFIC_ATTRIBUTES"},
    {"Select": "ALL_PROJECTED_ATTRIBUTES"},
    {"IndexName": "absent"},
    {"ExpressionAttributeValues": {":p": {"S": "p"}, ":u": {"S": "p"}}},
    {"ExpressionAttributeNames": {"#u": "a"}},
    {"ConsistentRead": True},
    {"KeyConditionExpression": None, "ExpressionAttributeValues": None},
    {"TableName": ABSENT},
)
SCANS: tuple[dict[str, Any], ...] = (
    {},
    FILTER,
    {"Segment": 0, "TotalSegments": 1},
    {"Segment": 1, "TotalSegments": 1},
    {"Segment": 0},
    {"TotalSegments": 2},
    {"Segment": 0, "TotalSegments": 1_000_001},
    {"Limit": 0},
    {"Limit": 100},
    {"ProjectionExpression": "sk"},
    {"Select": "COUNT"},
    {"ExclusiveStartKey": {"x": {"S": "a"}}},
    {"TableName": ABSENT},
)


def sorted_items() -> list[dict[str, Any]]:
    """Return the items of SORTED: one partition, six sort keys from -3 to 7."""
    return [
        {
            "pk": {"S": "p"},
            "sk": {"N": str(index * 2 - 3)},
            "x": {"N": str(index % 2)},
            "m": {"M": {"a": {"N": str(index)}}},
        }
        for index in range(6)
    ]


def nested(depth: int) -> dict[str, Any]:
    """Return a value inside `depth` maps and lists."""
    value: dict[str, Any] = {"S": "a"}
    for level in range(depth):
        value = {"L": [value]} if level % 2 else {"M": {"a": value}}
    return value


def odd_requests() -> Iterator[Asked]:
    """Yield every request; each names its table."""
    for key in KEYS:
        for operation in ("GetItem", "DeleteItem", "UpdateItem"):
            yield operation, {"TableName": TABLE, "Key": key}
    for operation in ("GetItem", "DeleteItem", "UpdateItem"):
        yield operation, {"TableName": TABLE}
        yield operation, {"TableName": SORTED, "Key": {"pk": {"S": "p"}, "sk": {"N": "x"}}}
    for value in (*VALUES, *(nested(depth) for depth in range(29, 35))):
        yield "PutItem", {"TableName": TABLE, "Item": {**KEY, "v": value}}
        yield (
            "UpdateItem",
            {
                "TableName": TABLE,
                "Key": KEY,
                "UpdateExpression": "SET v = :v",
                "ExpressionAttributeValues": {":v": value},
            },
        )
    for item in ITEMS:
        yield "PutItem", {"TableName": TABLE, "Item": item}
    given: dict[str, dict[str, Any]] = {
        "PutItem": {"Item": KEY},
        "DeleteItem": {"Key": KEY},
        "UpdateItem": {"Key": KEY},
    }
    for operation, request in given.items():
        for extra in EXTRAS:
            yield operation, {"TableName": TABLE, **request, **extra}
    yield from (("BatchWriteItem", request) for request in BATCH_WRITES)
    yield from (("BatchGetItem", request) for request in BATCH_READS)
    for text in KEY_CONDITIONS:
        used = {name: KEY_VALUES[name] for name in re.findall(r":[pnmsz]\b", text)}
        values = {"ExpressionAttributeValues": used} if used else {}
        yield "Query", {"TableName": SORTED, "KeyConditionExpression": text, **values}
    yield from (("Query", {**QUERY, **page}) for page in PAGES)
    spelled = {"pk": {"S": "p"}, "sk": {"N": "01.0"}}
    yield "UpdateItem", {"TableName": SORTED, "Key": spelled, "ReturnValues": "ALL_NEW"}
    yield from (("Scan", {"TableName": SORTED, **page}) for page in SCANS)
