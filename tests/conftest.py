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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables that tests recorded as their property `table`, also where they ran in another process."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, text in getattr(report, "user_properties", ()):
                if name == "table":
                    terminalreporter.section(report.nodeid)
                    terminalreporter.write_line(str(text))
