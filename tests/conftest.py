"""Fixtures that every test may use; real components come from `components.py`."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from components import DynamoDBLocal, running_dynamodb_local


def pytest_configure() -> None:
    """Hear SIGINT, also where a shell has it ignored (`nohup`, `&` in a script): children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
    _show_comparisons(terminalreporter)


def _show_comparisons(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how much was compared with each real server, as tests recorded it as `comparison`."""
    totals: dict[str, list[int]] = {}
    for report in terminalreporter.getreports("passed"):
        for name, recorded in getattr(report, "user_properties", ()):
            if name == "comparison":
                reference, *figures = recorded
                so_far = totals.get(reference, [0] * len(figures))
                totals[reference] = [one + more for one, more in zip(so_far, figures, strict=True)]
    if totals:
        terminalreporter.section("compared with real servers")
        shown = ("scenarios", "answers", "differed", "rows that list it")
        for reference, figures in sorted(totals.items()):
            told = (f"{count} {word}" for count, word in zip(figures, shown, strict=True))
            terminalreporter.write_line(f"{reference}: {', '.join(told)}")
