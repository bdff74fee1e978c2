"""Indexes, transactions, Time to Live, limits and table definitions, with one thing wrong or unusual.

`odd_wide` is `random_reads.wide_table` with the items of `WIDE`; `odd_first` has a partition key and the items of
`FIRST`, `odd_second` also a numeric sort key and the items of `SECOND`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Asked = tuple[str, dict[str, Any]]

WIDE = tuple(
    {
        "pk": {"S": f"p{number % 2}"},
        "sk": {"S": f"s{number}"},
        "n": {"N": str(number)},
        "g": {"S": "g"},
        "v": {"S": f"v{number % 3}"},
        "t": {"BOOL": True},
        "x": {"S": "x"},
    }
    for number in range(6)
)
FIRST: tuple[dict[str, Any], ...] = (
    {
        "pk": {"S": "a"},
        "n": {"N": "5"},
        "m": {"M": {"x": {"S": "y"}, "l": {"L": [{"N": "1"}, {"N": "2"}]}}},
        "l": {"L": [{"N": "1"}, {"N": "2"}, {"N": "3"}]},
        "ss": {"SS": ["a", "b"]},
        "v": {"S": "abc"},
        "t": {"BOOL": True},
        "z": {"NULL": True},
    },
    {"pk": {"S": "b"}, "n": {"N": "7"}, "v": {"S": "q"}},
)
SECOND: tuple[dict[str, Any], ...] = tuple(
    {"pk": {"S": "p"}, "sk": {"N": str(number)}, "v": {"S": f"v{number}"}} for number in range(4)
)
KEY = {"pk": {"S": "p0"}, "sk": {"S": "s0"}}


def query(index: str, key: str, value: str, **request: Any) -> Asked:
    values = {":k": {"S": value}, **request.pop("values", {})}
    return "Query", {
        "TableName": "odd_wide",
        "IndexName": index,
        "KeyConditionExpression": f"{key} = :k",
        "ExpressionAttributeValues": values,
        **request,
    }


def index_reads() -> Iterator[Asked]:
    start = {"pk": {"S": "p0"}, "sk": {"S": "s0"}, "g": {"S": "g"}, "n": {"N": "0"}}
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"Limit": 2},
        {"ScanIndexForward": False, "Limit": 3},
        {"ConsistentRead": True},
        {"Select": "ALL_ATTRIBUTES"},
        {"Select": "ALL_PROJECTED_ATTRIBUTES"},
        {"Select": "COUNT"},
        {"ProjectionExpression": "x"},
        {"ProjectionExpression": "t, pk"},
        {"Select": "ALL_PROJECTED_ATTRIBUTES", "ProjectionExpression": "t"},
        {"FilterExpression": "x = :x", "values": {":x": {"S": "x"}}},
        {"FilterExpression": "pk = :x", "values": {":x": {"S": "p0"}}},
        {"FilterExpression": "n = :x", "values": {":x": {"N": "1"}}},
        {"ExclusiveStartKey": {"g": {"S": "g"}, "n": {"N": "0"}}},
        {"ExclusiveStartKey": start},
        {"ExclusiveStartKey": {**start, "x": {"S": "x"}}},
        {"ExclusiveStartKey": {**start, "n": {"S": "0"}}},
        {"ExclusiveStartKey": {**start, "g": {"S": "other"}}},
        {"KeyConditionExpression": "pk = :k"},
        {"KeyConditionExpression": "g = :k AND sk = :k"},
    )
    for change in changes:
        yield query("by_g_n", "g", "g", **change)
    for change in changes[:11]:
        yield query("local_n", "pk", "p0", **change)
    yield query("absent", "g", "g")
    for change in ({}, {"ConsistentRead": True}, {"Select": "ALL_ATTRIBUTES"}):
        yield "Scan", {"TableName": "odd_wide", "IndexName": "by_g_n", **change}
        yield "Scan", {"TableName": "odd_wide", "IndexName": "local_n", **change}


def index_writes() -> Iterator[Asked]:
    values: tuple[tuple[str, dict[str, Any]], ...] = (
        ("g", {"N": "1"}),
        ("g", {"S": ""}),
        ("g", {"S": "x" * 2049}),
        ("v", {"S": "x" * 2048}),
        ("g", {"NULL": True}),
    )
    for name, value in values:
        item = {**KEY, name: value}
        put = {"TableName": "odd_wide", "Item": item}
        yield "PutItem", put
        yield "BatchWriteItem", {"RequestItems": {"odd_wide": [{"PutRequest": {"Item": item}}]}}
        yield (
            "UpdateItem",
            {
                "TableName": "odd_wide",
                "Key": KEY,
                "UpdateExpression": f"SET {name} = :v",
                "ExpressionAttributeValues": {":v": value},
            },
        )
        yield "TransactWriteItems", {"TransactItems": [{"Put": put}]}


def put(name: str, **request: Any) -> dict[str, Any]:
    item = {"pk": {"S": name}, **request.pop("attributes", {})}
    return {"Put": {"TableName": "odd_first", "Item": item, **request}}


def of(kind: str, name: str, **request: Any) -> dict[str, Any]:
    return {kind: {"TableName": "odd_first", "Key": {"pk": {"S": name}}, **request}}


def update(expression: str, **request: Any) -> dict[str, Any]:
    values = {"ExpressionAttributeValues": {":x": request.pop("x")}} if "x" in request else {}
    return of("Update", "a", UpdateExpression=expression, **values, **request)


def transactions() -> Iterator[Asked]:
    exists, absent = "attribute_exists(pk)", "attribute_not_exists(pk)"
    told = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    first = {"TableName": "odd_first"}
    for actions in (
        [],
        [{}],
        [put("a"), put("a")],
        [put("a"), of("ConditionCheck", "a", ConditionExpression=exists)],
        [{**put("a"), **of("Delete", "b")}],
        [put(str(number)) for number in range(101)],
        [put("a", ConditionExpression=absent, **told), put("c")],
        [of("ConditionCheck", "none", ConditionExpression=exists, **told), put("c")],
        [of("ConditionCheck", "a", ConditionExpression=exists), of("Delete", "b"), put("c")],
        [of("ConditionCheck", "a")],
        [of("ConditionCheck", "a", ConditionExpression="a b")],
        [of("Update", "a")],
        [of("Delete", "a", ConditionExpression="n = :x")],
        [{"Delete": {**first, "Key": {"pk": {"N": "1"}}}}, put("c")],
        [{"Delete": {**first, "Key": {}}}, put("c")],
        [{"Put": {**first, "Item": {"pk": {"N": "1"}}}}, put("c")],
        [{"Put": {**first, "Item": {}}}, put("c")],
        [{"Put": first}],
        [{"Put": {"TableName": "odd_absent", "Item": {"pk": {"S": "a"}}}}],
        [put("")],
        [put("a", attributes={"s": {"SS": []}})],
        [put("a", attributes={"x": {"S": "x" * 409_600}})],
        [put(f"big{number}", attributes={"x": {"S": "x" * 400_000}}) for number in range(11)],
        [update("SET q = :x", x={"N": "1"}), put("c")],
        [update("SET q = zz"), put("c")],
        [update("SET v = v + :x", x={"N": "1"}), put("c")],
        [update("SET pk = :x", x={"S": "1"}), put("c")],
        [update("SET zz.y = :x", x={"S": "1"}), put("c")],
        [update("SET q = "), put("c")],
        [update("SET q = :y", x={"S": "1"}), put("c")],
        [update("SET q = v + :x", x={"S": "1"}), put("c")],
    ):
        yield "TransactWriteItems", {"TransactItems": actions}
    yield "TransactWriteItems", {"TransactItems": [put("a")], "ClientRequestToken": "x" * 37}
    adding = of("Update", "counter", UpdateExpression="ADD n :x")
    adding["Update"]["ExpressionAttributeValues"] = {":x": {"N": "1"}}
    for actions in ([adding], [adding], [put("other")]):
        yield "TransactWriteItems", {"TransactItems": actions, "ClientRequestToken": "odd actions"}
    for gets in (
        [],
        [{}],
        [of("Get", "a"), of("Get", "a")],
        [of("Get", "a"), of("Get", "none"), of("Get", "b", ProjectionExpression="n, zz")],
        [of("Get", "a", ProjectionExpression="zz")],
        [of("Get", "a", ProjectionExpression="a b")],
        [of("Get", str(number)) for number in range(101)],
        [{"Get": {**first, "Key": {"pk": {"N": "1"}}}}],
        [{"Get": {**first, "Key": {"pk": {"S": ""}}}}],
        [{"Get": {"TableName": "odd_absent", "Key": {"pk": {"S": "a"}}}}],
    ):
        yield "TransactGetItems", {"TransactItems": gets}


def time_to_live() -> Iterator[Asked]:
    def switch(enabled: Any, name: Any) -> Asked:
        asked = {"Enabled": enabled, "AttributeName": name}
        return "UpdateTimeToLive", {"TableName": "odd_first", "TimeToLiveSpecification": asked}

    described = "DescribeTimeToLive", {"TableName": "odd_first"}
    yield described
    yield switch(False, "expires")
    yield switch(True, "")
    yield switch(True, "expires")
    yield described
    yield switch(True, "expires")
    yield switch(True, "other")
    yield switch(False, "other")
    yield switch(False, "expires")
    yield described
    yield "DescribeTimeToLive", {"TableName": "odd_absent"}
    yield "UpdateTimeToLive", {"TableName": "odd_first"}
    yield switch(True, None)


def limits() -> Iterator[Asked]:
    first = {"TableName": "odd_first", "Key": {"pk": {"S": "a"}}}
    long = "n = :x" + " OR n = :x" * 500
    values = {"ExpressionAttributeValues": {":x": {"N": "1"}}}
    for text in (long[:4096].rpartition(" OR ")[0], long):
        yield "DeleteItem", {**first, "ConditionExpression": text, **values}
    choices = {f":c{number}": {"N": str(number)} for number in range(101)}
    for count in (100, 101):
        given = dict(list(choices.items())[:count])
        text = f"n IN ({', '.join(given)})"
        request = {**first, "ConditionExpression": text, "ExpressionAttributeValues": given}
        yield "DeleteItem", request
    deep = "m" + ".a" * 33
    yield "GetItem", {**first, "ProjectionExpression": deep}
    for name in ("ab", "a" * 256, "a b", "é" * 3):
        yield "DescribeTable", {"TableName": name}
        yield "GetItem", {**first, "TableName": name}
    keys = [{"pk": {"S": str(number)}} for number in range(100)]
    yield "BatchGetItem", {"RequestItems": {"odd_first": {"Keys": keys}}}


def index(name: str, keys: str, projection: Any = "ALL", **request: Any) -> dict[str, Any]:
    """Return an index definition; `keys` are attribute names, the partition key first."""
    schema = [
        {"AttributeName": key, "KeyType": kind}
        for key, kind in zip(keys.split(), ("HASH", "RANGE"), strict=False)
    ]
    if isinstance(projection, str):
        projection = {"ProjectionType": projection}
    return {"IndexName": name, "KeySchema": schema, "Projection": projection, **request}


def table(**request: Any) -> dict[str, Any]:
    """Return a definition of a table with the attributes pk, sk and g."""
    return {
        "TableName": "odd_new",
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "g")
        ],
        "BillingMode": "PAY_PER_REQUEST",
        **request,
    }


def definitions() -> Iterator[dict[str, Any]]:
    """Yield CreateTable requests."""
    for indexes in (
        [],
        [index("by_g", "g")],
        [index("by_g", "g"), index("by_g", "g")],
        [index("g", "g")],
        [index("by_z", "z")],
        [index("by_g", "g g")],
        [index("by_g", "")],
        [index("by_g", "g", {})],
        [index("by_g", "g", "NOPE")],
        [index("by_g", "g", "INCLUDE")],
        [index("by_g", "g", {"ProjectionType": "ALL", "NonKeyAttributes": ["x"]})],
        [index("by_g", "g", {"ProjectionType": "INCLUDE", "NonKeyAttributes": []})],
        [index("by_g", "g", {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "x"]})],
        [index("by_g", "g", {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "pk"]})],
        [index(f"by_g{number}", "g") for number in range(21)],
    ):
        yield table(GlobalSecondaryIndexes=indexes)
    for indexes in (
        [index("local", "pk g")],
        [index("local", "g pk")],
        [index("local", "pk")],
        [index(f"local{number}", "pk g") for number in range(6)],
    ):
        yield table(LocalSecondaryIndexes=indexes)
    same = index("same", "pk g")
    yield table(LocalSecondaryIndexes=[same], GlobalSecondaryIndexes=[same])
    provisioned = {
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    }
    yield table(GlobalSecondaryIndexes=[index("by_g", "g")], **provisioned)
    yield table()
    yield table(TableName="odd_first")


def odd_features() -> Iterator[Asked]:
    """Yield every request but the definitions."""
    yield from index_reads()
    yield from index_writes()
    yield from transactions()
    yield from time_to_live()
    yield from limits()
