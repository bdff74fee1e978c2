"""Indexes, paging, transactions and statements do in the emulator what they do in DynamoDB Local 3.3.1.

Every random choice comes from a seed that a failure prints. Items and stream records must not differ at
all; answers may differ only as `emulator/feature_divergences.py` lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from components import DynamoDBLocal
from emulator import random_reads, random_statements, random_writes
from emulator.comparison import (
    EmulatorEndpoint,
    Endpoint,
    HttpEndpoint,
    Outcome,
    all_items,
    by_key,
    read_stream,
)
from emulator.divergences import Divergence
from emulator.feature_divergences import RANDOM_DIVERGENCES, feature_divergence

pytestmark = pytest.mark.real

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
    kinds = ("put", "update", "delete", "batch", "transaction", "statement", "statements", "both")
    match random.choices(kinds, (15, 20, 8, 7, 20, 15, 7, 8))[0]:
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
        case "transaction":
            return "TransactWriteItems", random_writes.transaction(random, tables)
        case "statement":
            return "ExecuteStatement", random_statements.write(random, table, key)
        case "statements":
            return "BatchExecuteStatement", random_statements.batch(random, tables)
        case _:
            return "ExecuteTransaction", random_statements.transaction(random, tables)


def random_operation(random: Random, tables: list[str]) -> tuple[str, dict[str, Any]]:
    """Return an operation with its request; SELECT is told apart, since it is read to its end."""
    kind = random.random()
    if kind < 0.3:
        return random_reads.read(random, random.choice(tables))
    if kind < 0.4:
        return "TransactGetItems", random_writes.transact_get(random, tables)
    if kind < 0.5:
        return "SELECT", random_statements.select(random, random.choice(tables))
    return random_write(random, tables)


def answer(endpoint: Endpoint, operation: str, request: dict[str, Any]) -> Any:
    """Return what is comparable of an answer."""
    if operation in ("Query", "Scan"):
        return random_reads.walked(endpoint, operation, request)
    if operation == "SELECT":
        return random_statements.walked(endpoint, request)
    return random_statements.without_texts(endpoint.send(operation, request))


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
def test_mixed_writes_with_transactions_and_statements_leave_the_same_contents(
    reference: HttpEndpoint, seed: int
) -> None:
    random = Random(3000 + seed)
    tables = [f"features_{seed}_{index}" for index in range(2)]
    ours = prepared(reference, tables, VIEW_TYPES[seed % len(VIEW_TYPES)])
    for step in range(STEPS):
        operation, request = random_write(random, tables)
        answers = [answer(endpoint, operation, request) for endpoint in (ours, reference)]
        try:
            difference(*answers)
        except AssertionError as unlisted:
            raise AssertionError(f"seed {seed} step {step} {operation} {request}") from unlisted
    for table in tables:
        assert_same_contents(ours, reference, table)


def test_random_operations_answer_alike_but_for_the_list(reference: HttpEndpoint) -> None:
    shown: set[Divergence] = set()
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
            done[operation] += 1
        for table in tables:
            assert_same_contents(ours, reference, table)
    assert done.total() >= 5_000, done
    vanished = [each.reason for each in RANDOM_DIVERGENCES if each not in shown]
    assert not vanished, f"listed differences that never showed: {vanished}"
