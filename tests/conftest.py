"""Fixtures that every test may use; real components come from `components.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from components import DynamoDBLocal, running_dynamodb_local


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[DynamoDBLocal]:
    """One DynamoDB Local 3.3.1 for each test process; give tables names of their own."""
    with running_dynamodb_local() as server:
        yield server
