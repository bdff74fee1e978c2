"""What runs beside a planted bug. Rule: the mutated copy comes first on the path, and that is checked.

`python -P child.py COPY RESULT core SEEDS` lives worlds of the core until one tells the bug, `workers` for `core`
worlds of whole workers;
`python -P child.py COPY RESULT tests FILE...` runs test files up to the first failure.
RESULT becomes JSON: `told`, what told the bug (empty: nothing did), `why`, its first line, and `seed`, if it was
a world.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
WORLD_SECONDS = 10.0
"""Of processor time; a world needs a tenth of a second."""


class NoEnd(Exception):  # noqa: N818 - what a world did
    """A world runs in circles."""


def simulated(live: Callable[[int], object], seeds: int) -> tuple[int | None, str]:
    """The first seed whose world does not keep every invariant, and which."""
    for seed in range(seeds):
        try:
            with limited_time():
                live(seed)
        except Exception as error:  # noqa: BLE001 - whatever fails a test of the suite tells the bug
            return seed, _first_line(str(error)) or type(error).__name__
    return None, ""


def core_world(seed: int) -> None:
    """A fleet of machines on a stream and a lease table of the tests."""
    from simulation.plan import make_plan
    from simulation.world import World

    World(make_plan(seed)).run()


def world_of_workers(seed: int) -> None:
    """A fleet of whole workers on the emulator."""
    from proof.harness import Harness, make_plan

    Harness(make_plan(seed)).run()


SIMULATIONS = {"core": core_world, "workers": world_of_workers}


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
        self.told = ""
        self.why = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.told:
            self.told = report.nodeid
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
    return first.told, first.why


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def main(copy: str, result: str, how: str, *rest: str) -> None:
    sys.path[:0] = [copy, str(TESTS)]
    import triggerkit

    assert Path(triggerkit.__file__).is_relative_to(copy), triggerkit.__file__
    live, seed = SIMULATIONS.get(how), None
    if live is None:
        told, why = tested(rest)
    else:
        seed, why = simulated(live, int(rest[0]))
        told = "" if seed is None else how
    found = {"told": told, "why": why, "seed": seed}
    Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
