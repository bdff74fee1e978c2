"""The host's wall clock decides nothing. Only the places named here read it, each for a stated reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from architecture.package_tree import check, dotted, package, scoped

WALL_CLOCK = {
    "time.time", "time.time_ns", "time.gmtime", "time.localtime", "time.ctime", "time.strftime",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
}  # fmt: skip
WITHOUT_ARGUMENT = {"time.gmtime": 0, "time.localtime": 0, "time.ctime": 0, "time.strftime": 1}
"""These read the clock only when no moment is given; the number is how many arguments come before it."""

EXEMPT = {
    "triggerkit.emulator.site.RealClock.now_seconds": "it plays the service, whose clock this is",
    "triggerkit.lease_stores.sqlite.SqliteLeaseStore.beat.write": "the day of a row, for deleting it later",
    "triggerkit.lease_stores.sqlite.SqliteLeaseStore.expire": "the day of a row, for deleting it later",
    "triggerkit.runtime.clock.SystemClock.__init__": "a first guess of service time, before any answer",
}
"""Module and function to the reason why the host's clock is right there."""


def readings() -> Iterator[tuple[str, str]]:
    """(function, where) of every place that reads the wall clock, aliases of `from` imports seen too."""
    for source in package():
        direct = {
            f"{alias.asname or alias.name}": f"time.{alias.name}"
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom) and node.module == "time"
            for alias in node.names
        }
        for around, node in scoped(source.tree):
            name = dotted(node) if isinstance(node, ast.Attribute | ast.Name) else ""
            if direct.get(name, name) in WALL_CLOCK - set(WITHOUT_ARGUMENT):
                yield f"{source.module}.{around}".rstrip("."), f"{source.place}:{node.lineno}"
            if isinstance(node, ast.Call):
                called = dotted(node.func)
                called = direct.get(called, called)
                if len(node.args) <= WITHOUT_ARGUMENT.get(called, -1):
                    yield f"{source.module}.{around}".rstrip("."), f"{source.place}:{node.lineno}"


def test_the_wall_clock_is_read_only_where_the_table_says_why() -> None:
    check(dict(readings()), EXEMPT)
