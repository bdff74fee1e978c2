"""Indexes, paging and transactions do in the emulator what they do in DynamoDB Local 3.3.1.

Every random choice comes from a seed that a failure prints. Items and stream records must not differ at
all; answers may differ only as `emulator/feature_divergences.py` lists.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from components import DynamoDBLocal
from emulator import odd_features, random_reads, random_writes
from emulator.comparison import (
    EmulatorEndpoint,
    Endpoint,
    HttpEndpoint,
    Outcome,
    all_items,
    by_key,
    create_table,
    read_stream,
)
from emulator.divergences import Divergence
from emulator.feature_divergences import (
    CATALOGUE_DIVERGENCES,
    RANDOM_DIVERGENCES,
    catalogue_divergence,
    feature_divergence,
)
from emulator.listed import figures

pytestmark = pytest.mark.real

REFERENCE = "DynamoDB Local 3.3.1, "
SCENARIOS = 60
STEPS = 30
RUNS = 10
OPERATIONS = 500
VIEW_TYPES = ("NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY")


@pytest.fixture(scope="module")
def reference(dynamodb_local: DynamoDBLocal) -> Iterator[HttpEndpoint]:
    endpoint = HttpEndpoint(dynamodb_local.endpoint_url)
    yield endpoint
    endpoint.close()


def prepared(reference: HttpEndpoint, tables: list[str], view_type: str) -> EmulatorEndpoint:
    """Return an emulator that has the tables, as the reference has them now."""
    ours = EmulatorEndpoint()
    for table in tables:
        for endpoint in (ours, reference):
            created = endpoint.send("CreateTable", random_reads.wide_table(table, view_type))
            assert created.succeeded, created
    return ours


def assert_same_contents(ours: EmulatorEndpoint, reference: HttpEndpoint, table: str) -> None:
    assert all_items(ours, table) == all_items(reference, table)
    records = [by_key(read_stream(endpoint, table)) for endpoint in (ours, reference)]
    assert records[0] == records[1]
    reference.send("DeleteTable", {"TableName": table})


def random_write(random: Random, tables: list[str]) -> tuple[str, dict[str, Any]]:
    table, key = random.choice(tables), random_reads.wide_key(random)
    kinds = ("put", "update", "delete", "batch", "transaction")
    match random.choices(kinds, (20, 25, 10, 10, 35))[0]:
        case "put":
            request = random_writes.put(random, table, key)
            return "PutItem", random_writes.with_check(random, request, 0.3)
        case "update":
            request = random_writes.update(random, table, key)
            return "UpdateItem", random_writes.with_check(random, request, 0.3)
        case "delete":
            request = {"TableName": table, "Key": key}
            return "DeleteItem", random_writes.with_check(random, request, 0.3)
        case "batch":
            return "BatchWriteItem", random_writes.batch(random, tables)
        case _:
            return "TransactWriteItems", random_writes.transaction(random, tables)


def random_operation(random: Random, tables: list[str]) -> tuple[str, dict[str, Any]]:
    """Return an operation with its request."""
    kind = random.random()
    if kind < 0.3:
        return random_reads.read(random, random.choice(tables))
    if kind < 0.4:
        return "TransactGetItems", random_writes.transact_get(random, tables)
    return random_write(random, tables)


def answer(endpoint: Endpoint, operation: str, request: dict[str, Any]) -> Any:
    """Return what is comparable of an answer."""
    if operation in ("Query", "Scan"):
        return random_reads.walked(endpoint, operation, request)
    return endpoint.send(operation, request)


def difference(ours: Any, theirs: Any) -> Divergence | None:
    """Return the listed divergence between two answers, None when they are alike.

    Raises:
        AssertionError: they differ and it is not listed.
    """
    refused = isinstance(ours, Outcome) and isinstance(theirs, Outcome) and ours.error
    if ours == theirs or (refused and (ours.error, ours.body) == (theirs.error, theirs.body)):
        return None
    listed = feature_divergence(ours, theirs) if refused else None
    assert listed is not None, f"\nours   {ours}\ntheirs {theirs}"
    return listed


@pytest.mark.parametrize("seed", range(SCENARIOS))
def test_mixed_writes_with_transactions_leave_the_same_contents(
    reference: HttpEndpoint, seed: int, record_property: Callable[[str, object], None]
) -> None:
    random = Random(3000 + seed)
    tables = [f"features_{seed}_{index}" for index in range(2)]
    ours = prepared(reference, tables, VIEW_TYPES[seed % len(VIEW_TYPES)])
    differed = 0
    for step in range(STEPS):
        operation, request = random_write(random, tables)
        answers = [answer(endpoint, operation, request) for endpoint in (ours, reference)]
        try:
            differed += difference(*answers) is not None
        except AssertionError as unlisted:
            raise AssertionError(f"seed {seed} step {step} {operation} {request}") from unlisted
    for table in tables:
        assert_same_contents(ours, reference, table)
    record_property("comparison", figures(REFERENCE + "feature writes", 1, STEPS, differed))


@pytest.mark.slow
def test_random_operations_answer_alike_but_for_the_list(
    reference: HttpEndpoint, record_property: Callable[[str, object], None]
) -> None:
    shown: set[Divergence] = set()
    differed = 0
    done: Counter[str] = Counter()
    for seed in range(RUNS):
        random = Random(4000 + seed)
        tables = [f"operations_{seed}_{index}" for index in range(2)]
        ours = prepared(reference, tables, "NEW_AND_OLD_IMAGES")
        for step in range(OPERATIONS):
            operation, request = random_operation(random, tables)
            answers = [answer(endpoint, operation, request) for endpoint in (ours, reference)]
            try:
                listed = difference(*answers)
            except AssertionError as unlisted:
                raise AssertionError(f"seed {seed} step {step} {operation} {request}") from unlisted
            shown.update([listed] if listed is not None else [])
            differed += listed is not None
            done[operation] += 1
        for table in tables:
            assert_same_contents(ours, reference, table)
    assert done.total() >= 5_000, done
    vanished = [each.reason for each in RANDOM_DIVERGENCES if each not in shown]
    assert not vanished, f"listed differences that never showed: {vanished}"
    told = figures(REFERENCE + "feature operations", RUNS, done.total(), differed, len(shown))
    record_property("comparison", told)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("Query", {"ScanIndexForward": True}),
        ("Query", {"ScanIndexForward": False, "Select": "COUNT"}),
        ("Query", {"IndexName": "local_n", "Select": "ALL_ATTRIBUTES"}),
        ("Scan", {}),
    ],
)
def test_pages_end_at_one_megabyte_alike(
    reference: HttpEndpoint, operation: str, request_: dict[str, Any]
) -> None:
    """Not compared: with a filter, or in a small index, DynamoDB Local counts other bytes than AWS."""
    table = "megabytes"
    ours = prepared(reference, [table], "KEYS_ONLY")
    request = {"TableName": table, **request_}
    if operation == "Query":
        request["KeyConditionExpression"] = "pk = :p"
        request["ExpressionAttributeValues"] = {":p": {"S": "k"}}
    seen: list[list[Any]] = []
    for endpoint in (ours, reference):
        for number in range(30):
            item = {"pk": {"S": "k"}, "sk": {"S": f"{number:02d}"}, "n": {"N": str(number)}}
            item["z"] = {"S": "é" * (20_000 + 997 * number)}
            assert endpoint.send("PutItem", {"TableName": table, "Item": item}).succeeded
        pages = random_reads.pages_of(endpoint, operation, request)
        assert isinstance(pages, list)
        seen.append([(page["Count"], page.get("LastEvaluatedKey")) for page in pages])
    reference.send("DeleteTable", {"TableName": table})
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2


def prepared_catalogue(reference: HttpEndpoint) -> EmulatorEndpoint:
    ours = prepared(reference, ["odd_wide"], "NEW_AND_OLD_IMAGES")
    create_table(ours, reference, name="odd_first")
    create_table(ours, reference, name="odd_second", sort_key="N")
    return ours


def catalogue_answers(
    reference: HttpEndpoint, ours: EmulatorEndpoint
) -> Iterator[tuple[str, dict[str, Any], Outcome, Outcome]]:
    """Yield operation, request and both answers; before each, the items are as they were."""
    items = {
        "odd_wide": odd_features.WIDE,
        "odd_first": odd_features.FIRST,
        "odd_second": odd_features.SECOND,
    }
    for operation, request in odd_features.odd_features():
        outcomes: list[Outcome] = []
        for endpoint in (ours, reference):
            for table, listed in items.items():
                puts = [{"PutRequest": {"Item": item}} for item in listed]
                endpoint.send("BatchWriteItem", {"RequestItems": {table: puts}})
            outcomes.append(in_some_order(request, endpoint.send(operation, request)))
        yield operation, request, outcomes[0], outcomes[1]


def in_some_order(request: dict[str, Any], outcome: Outcome) -> Outcome:
    """Return an answer in a canonical order: the order of an index's items is not guaranteed."""
    scans_an_index = "IndexName" in request and "KeyConditionExpression" not in request
    if outcome.succeeded and outcome.body and scans_an_index:
        outcome.body.get("Items", []).sort(key=json.dumps)
    return outcome


def test_the_feature_catalogue_differs_only_as_listed(
    reference: HttpEndpoint, record_property: Callable[[str, object], None]
) -> None:
    ours = prepared_catalogue(reference)
    unlisted: list[str] = []
    shown: set[Divergence] = set()
    asked = differed = 0
    for operation, request, mine, theirs in catalogue_answers(reference, ours):
        asked, differed = asked + 1, differed + (mine != theirs)
        listed = catalogue_divergence(mine, theirs)
        if mine != theirs and listed is None:
            asked = str(request)[:400]
            unlisted.append(f"{operation} {asked}\n  ours   {mine}\n  theirs {theirs}")
        elif mine != theirs and listed is not None:
            shown.add(listed)
    for definition in odd_features.definitions():
        answers = [endpoint.send("CreateTable", definition).error for endpoint in (ours, reference)]
        if answers[0] != answers[1]:
            unlisted.append(f"CreateTable {definition}\n  {answers}")
        for endpoint in (ours, reference):
            endpoint.send("DeleteTable", {"TableName": "odd_new"})
    for table in ("odd_wide", "odd_first", "odd_second"):
        assert_same_contents(ours, reference, table)
    assert not unlisted, f"{len(unlisted)} differences are not listed:\n" + "\n".join(unlisted)
    vanished = [each for each in CATALOGUE_DIVERGENCES if each not in shown]
    assert not vanished, f"listed differences that never showed: {vanished}"
    told = figures(REFERENCE + "feature catalogue", asked, asked, differed, len(shown))
    record_property("comparison", told)
