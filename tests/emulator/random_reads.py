"""Seeded random reads of a table with indexes, and how two endpoints' answers are compared.

Where an index gives several items one sort key, their order is nobody's promise; so a read of an index is
walked to its end and compared as a whole: pages' sizes, sort keys in order, and the items as a bag.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from emulator.comparison import Endpoint, Outcome
from emulator.requests_of import value

INDEXES: dict[str, tuple[str, str | None]] = {
    "local_n": ("pk", "n"),
    "by_v": ("v", None),
    "by_g_n": ("g", "n"),
    "by_g_sk": ("g", "sk"),
}
GROUPS = ("g0", "g1", "gé")
KEYS = 4
MAX_PAGES = 60


def wide_table(name: str, view_type: str = "NEW_AND_OLD_IMAGES") -> dict[str, Any]:
    """Return the CreateTable request of a table with all kinds of indexes."""

    def index(index_name: str, projection: dict[str, Any]) -> dict[str, Any]:
        hash_key, sort_key = INDEXES[index_name]
        schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
        if sort_key is not None:
            schema.append({"AttributeName": sort_key, "KeyType": "RANGE"})
        return {"IndexName": index_name, "KeySchema": schema, "Projection": projection}

    types = {"pk": "S", "sk": "S", "n": "N", "v": "S", "g": "S"}
    return {
        "TableName": name,
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": each, "AttributeType": kind} for each, kind in types.items()
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "LocalSecondaryIndexes": [index("local_n", {"ProjectionType": "KEYS_ONLY"})],
        "GlobalSecondaryIndexes": [
            index("by_v", {"ProjectionType": "ALL"}),
            index("by_g_n", {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["m", "t"]}),
            index("by_g_sk", {"ProjectionType": "KEYS_ONLY"}),
        ],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": view_type},
    }


def wide_key(random: Random) -> dict[str, Any]:
    return {
        "pk": {"S": f"k{random.randrange(KEYS)}"},
        "sk": {"S": random.choice(("a", "b", "ba", "c", "é", "Z", "10", "9"))},
    }


def wide_item(random: Random, key: dict[str, Any]) -> dict[str, Any]:
    """Return an item; attributes that index it are often absent, never of a wrong type."""
    item: dict[str, Any] = {}
    if random.random() < 0.8:
        item["n"] = {"N": random.choice(("1", "2", "2.0", "-1.5", "10", "1e2", "0"))}
    if random.random() < 0.6:
        item["v"] = {"S": random.choice(("x", "y", "é"))}
    if random.random() < 0.7:
        item["g"] = {"S": random.choice(GROUPS)}
    if random.random() < 0.5:
        item["m"] = {"M": {"a": {"N": "1"}, "l": {"L": [{"S": "q"}, value(random)]}}}
    if random.random() < 0.5:
        item["t"] = {"BOOL": random.random() < 0.5}
    if random.random() < 0.3:
        item["ss"] = {"SS": random.sample(("a", "b", "c"), 2)}
    if random.random() < 0.2:
        item["l"] = {"L": [{"N": "1"}, {"N": "2"}, value(random)]}
    return {**item, **key}


FILTERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("t = :t", {":t": {"BOOL": True}}),
    ("attribute_exists(m.a)", {}),
    ("size(ss) > :one", {":one": {"N": "1"}}),
    ("NOT t = :t OR contains(ss, :a)", {":t": {"BOOL": True}, ":a": {"S": "a"}}),
    ("m.l[0] IN (:q, :one)", {":q": {"S": "q"}, ":one": {"N": "1"}}),
)
PROJECTIONS = ("pk, sk", "t, m.a", "m.l[1], n", "#g, v, ss", "pk, l[2]")
SORT_CONDITIONS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "S": (
        ("{} = :s", {":s": {"S": "b"}}),
        ("{} > :s", {":s": {"S": "a"}}),
        ("{} <= :s", {":s": {"S": "c"}}),
        ("begins_with({}, :s)", {":s": {"S": "b"}}),
        ("{} BETWEEN :s AND :e", {":s": {"S": "9"}, ":e": {"S": "b"}}),
    ),
    "N": (
        ("{} = :s", {":s": {"N": "2"}}),
        ("{} >= :s", {":s": {"N": "1.0"}}),
        ("{} < :s", {":s": {"N": "1e1"}}),
        ("{} BETWEEN :s AND :e", {":s": {"N": "-2"}, ":e": {"N": "2"}}),
    ),
}


def read(random: Random, table: str) -> tuple[str, dict[str, Any]]:
    """Return a Query or Scan of the table or one of its indexes."""
    index = random.choice((None, None, *INDEXES))
    hash_key, sort_key = ("pk", "sk") if index is None else INDEXES[index]
    request: dict[str, Any] = {"TableName": table}
    values: dict[str, Any] = {}
    if index is not None:
        request["IndexName"] = index
    operation = random.choice(("Query", "Query", "Scan"))
    if operation == "Query":
        request["KeyConditionExpression"] = f"{hash_key} = :h"
        partitions = {"pk": f"k{random.randrange(KEYS)}", "v": "x", "g": random.choice(GROUPS)}
        values[":h"] = {"S": partitions[hash_key]}
        if sort_key is not None and random.random() < 0.6:
            kind = "N" if sort_key == "n" else "S"
            text, given = random.choice(SORT_CONDITIONS[kind])
            request["KeyConditionExpression"] += " AND " + text.format(sort_key)
            values |= given
        if random.random() < 0.5:
            request["ScanIndexForward"] = random.random() < 0.5
    elif random.random() < 0.4:
        request["TotalSegments"] = random.choice((1, 2, 3))
        request["Segment"] = 0
    add_view(random, request, values)
    if values:
        request["ExpressionAttributeValues"] = values
    condition = request.get("KeyConditionExpression", "")
    if index in ("by_g_n", "by_g_sk") and ("BETWEEN" in condition or "<=" in condition):
        # Where several items lie at such an upper bound, DynamoDB Local forgets those behind the first page.
        request.pop("Limit", None)
    return operation, request


def add_view(random: Random, request: dict[str, Any], values: dict[str, Any]) -> None:
    """Add filter, projection, limit and the rest."""
    if random.random() < 0.4:
        text, given = random.choice(FILTERS)
        request["FilterExpression"] = text
        values |= given
    if random.random() < 0.3:
        request["ProjectionExpression"] = random.choice(PROJECTIONS)
        if "#g" in request["ProjectionExpression"]:
            request["ExpressionAttributeNames"] = {"#g": "g"}
    elif random.random() < 0.3:
        request["Select"] = random.choice(("COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"))
    if random.random() < 0.6:
        request["Limit"] = random.choice((1, 2, 3, 5, 50))
    if random.random() < 0.3:
        request["ConsistentRead"] = random.random() < 0.7


def walked(endpoint: Endpoint, operation: str, request: dict[str, Any]) -> Any:
    """Return the outcome of a failed read, else what is comparable of all pages of all segments."""
    segments = range(request["TotalSegments"]) if "TotalSegments" in request else (None,)
    found: list[Any] = []
    for segment in segments:
        asked = request if segment is None else {**request, "Segment": segment}
        pages = pages_of(endpoint, operation, asked)
        if isinstance(pages, Outcome):
            return pages
        found.append(pages)
    return comparable(operation, request, [without_empty_end(pages) for pages in found])


def without_empty_end(pages: list[Any]) -> list[Any]:
    """Return pages without an end that read nothing.

    Where the Limit is met exactly at the end of what a condition allows, DynamoDB Local sometimes knows
    that nothing follows and names no position; DynamoDB promises neither.
    """
    kept = pages[:-1] if len(pages) > 1 and not pages[-1]["ScannedCount"] else pages
    last = {name: part for name, part in kept[-1].items() if name != "LastEvaluatedKey"}
    return [*kept[:-1], last]


def pages_of(endpoint: Endpoint, operation: str, request: dict[str, Any]) -> list[Any] | Outcome:
    pages: list[Any] = []
    start: dict[str, Any] = {}
    while len(pages) < MAX_PAGES:
        answer = endpoint.send(operation, {**request, **start})
        if not answer.succeeded:
            return answer
        pages.append(answer.body)
        if "LastEvaluatedKey" not in answer.body:
            return pages
        start = {"ExclusiveStartKey": answer.body["LastEvaluatedKey"]}
    raise AssertionError(f"no end after {MAX_PAGES} pages: {request}")


def comparable(operation: str, request: dict[str, Any], segments: list[list[Any]]) -> Any:
    pages = [page for segment in segments for page in segment]
    items = [item for page in pages for item in page.get("Items", ())]
    bag = sorted(json.dumps(item, sort_keys=True) for item in items)
    totals = [sum(page[count] for page in pages) for count in ("Count", "ScannedCount")]
    if operation == "Query" and "IndexName" not in request:
        return pages
    if operation == "Scan":
        return bag, totals
    sort_key = INDEXES[request["IndexName"]][1]
    order = [item.get(sort_key) for item in items]
    read_by_page = [
        (page["ScannedCount"], sorted(page.get("LastEvaluatedKey", ()))) for page in pages
    ]
    return bag, totals, order if "FilterExpression" not in request else None, read_by_page
