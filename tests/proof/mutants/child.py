"""Runs worlds or tests on a copy of the package that has a bug planted in it.

`python -P child.py COPY RESULT worlds SEEDS` runs worlds until one finds the bug.
`python -P child.py COPY RESULT tests FILE...` runs test files up to the first failure.
RESULT becomes JSON: `found_by`, what found the bug (empty: nothing did), `why`, its first line, and `seed`, if it
was a world.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
WORLD_SECONDS = 10.0
"""Of processor time; a world needs a fifth of a second."""


class NoEnd(Exception):  # noqa: N818 - what a world did
    """A world runs in circles."""


def simulated(seeds: int) -> tuple[int | None, str]:
    """The first seed whose world does not keep every invariant, and which."""
    from proof.harness import Harness, make_plan  # from behind the copy on the path

    for seed in range(seeds):
        try:
            with limited_time():
                Harness(make_plan(seed)).run()
        except Exception as error:  # noqa: BLE001 - whatever fails a test of the suite finds the bug
            return seed, _first_line(str(error)) or type(error).__name__
    return None, ""


@contextmanager
def limited_time() -> Generator[None]:
    """End what runs in circles."""

    def end(_signal: int, _frame: object) -> None:
        raise NoEnd(f"no end within {WORLD_SECONDS:g} s of processor time")

    signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, WORLD_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)


class FirstFailure:
    """A pytest plugin: the test that failed first."""

    def __init__(self) -> None:
        self.test = ""
        self.why = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.test:
            self.test = report.nodeid
            crash = getattr(report.longrepr, "reprcrash", None)
            self.why = _first_line(crash.message if crash else str(report.longrepr))


def tested(files: Sequence[str]) -> tuple[str, str]:
    """The first test that fails.

    Raises:
        RuntimeError: the tests could not be run, which tells nothing.
    """
    first = FirstFailure()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-c", str(TESTS.parent / "pyproject.toml")]
    code = pytest.main([*options, *(str(TESTS / file) for file in files)], plugins=[first])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {code!r}")
    return first.test, first.why


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def main(copy: str, result: str, how: str, *rest: str) -> None:
    sys.path[:0] = [copy, str(TESTS)]
    import triggerkit

    assert Path(triggerkit.__file__).is_relative_to(copy), triggerkit.__file__
    seed = None
    if how == "tests":
        found_by, why = tested(rest)
    else:
        seed, why = simulated(int(rest[0]))
        found_by = "" if seed is None else "a world"
    found = {"found_by": found_by, "why": why, "seed": seed}
    Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
