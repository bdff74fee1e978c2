"""Indexes, paging, transactions and statements do in the emulator what they do in DynamoDB Local 3.3.1.

Every random choice comes from a seed that a failure prints. Items and stream records must not differ at
all; answers may differ only as `emulator/feature_divergences.py` lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from components import DynamoDBLocal
from emulator import random_reads
from emulator.comparison import EmulatorEndpoint, HttpEndpoint, Outcome

pytestmark = pytest.mark.real

READ_RUNS = 6
READS = 150


@pytest.fixture(scope="module")
def reference(dynamodb_local: DynamoDBLocal) -> Iterator[HttpEndpoint]:
    endpoint = HttpEndpoint(dynamodb_local.endpoint_url)
    yield endpoint
    endpoint.close()


@pytest.mark.parametrize("seed", range(READ_RUNS))
def test_random_queries_and_scans_read_alike(reference: HttpEndpoint, seed: int) -> None:
    random = Random(2000 + seed)
    ours = EmulatorEndpoint()
    table = f"reads_{seed}"
    for endpoint in (ours, reference):
        created = endpoint.send("CreateTable", random_reads.wide_table(table))
        assert created.succeeded, created
    for _ in range(40):
        item = random_reads.wide_item(random, random_reads.wide_key(random))
        for endpoint in (ours, reference):
            put = endpoint.send("PutItem", {"TableName": table, "Item": item})
            assert put.succeeded, put
    for _ in range(READS):
        operation, request = random_reads.read(random, table)
        answers = [random_reads.walked(each, operation, request) for each in (ours, reference)]
        if isinstance(answers[0], Outcome) and isinstance(answers[1], Outcome):
            assert answers[0].error == answers[1].error, f"seed {seed} {operation} {request}"
            continue
        assert answers[0] == answers[1], (
            f"seed {seed} {operation} {request}\nours   {answers[0]}\ntheirs {answers[1]}"
        )
    reference.send("DeleteTable", {"TableName": table})
