"""The pytest plugin, found by its entry point. Rule: a test run that does not use it pays nothing for it.

Fixture `triggerkit_sim`; marker `triggerkit_chaos(seeds=100, faults="split,kill,throttle,expire")`, which runs a
test once in each of so many random worlds; `--triggerkit-seed N` runs it in world N alone; marker
`triggerkit_cassette("orders.jsonl.gz")`, which plays a recorded stream into the test's simulations. The only
module of triggerkit that imports pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from triggerkit.testing.factory import PlayedCassette, SimulationFactory

MARKER = "triggerkit_chaos"
CASSETTE = "triggerkit_cassette"
FIXTURE = "triggerkit_sim"
SEEDS = 100
FAULTS = "split,kill,throttle,expire"
_SEED_FLAG = "--triggerkit-seed"

pytest.register_assert_rewrite("triggerkit.testing.contracts")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that repeats one world."""
    group = parser.getgroup("triggerkit")
    group.addoption(
        _SEED_FLAG, type=int, metavar="N", help=f"run {MARKER} tests in the world of this seed only"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line(
        "markers",
        f'{MARKER}(seeds={SEEDS}, faults="{FAULTS}"): run the test in so many random worlds, in which '
        "these things happen; a number or a range of seeds",
    )
    config.addinivalue_line(
        "markers",
        f'{CASSETTE}(path, table=None, pace="at once"): play what `triggerkit record` wrote, a file beside '
        "the test, into its simulations",
    )


@pytest.fixture
def triggerkit_sim(request: pytest.FixtureRequest) -> Iterator[SimulationFactory]:
    """Make simulations, each closed behind the test; call it with the triggers."""
    from triggerkit.testing.factory import SimulationFactory

    cassettes = _read_cassettes(request.node)
    factory = SimulationFactory(folder=request.path.parent, cassettes=cassettes)
    yield factory
    factory.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test with the marker once in each world."""
    marker = pyfuncitem.get_closest_marker(MARKER)
    if marker is None:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}  # noqa: SLF001
    if FIXTURE not in arguments:
        pytest.fail(f"{MARKER} needs the fixture {FIXTURE} as an argument of the test", False)
    given = _read_marker(*marker.args, **marker.kwargs)
    only = pyfuncitem.config.getoption(_SEED_FLAG)
    for seed in given["seeds"] if only is None else [only]:
        _run_world(pyfuncitem, arguments, seed, given["faults"])
    return True


def _read_marker(seeds: int | range = SEEDS, faults: str = FAULTS) -> dict[str, Any]:
    return {"seeds": range(seeds) if isinstance(seeds, int) else seeds, "faults": faults}


def _read_cassettes(item: pytest.Item) -> list[PlayedCassette]:
    """What the test's own marker names comes first."""
    from triggerkit.testing.factory import PlayedCassette

    return [PlayedCassette(*one.args, **one.kwargs) for one in item.iter_markers(CASSETTE)]


def _run_world(item: pytest.Function, arguments: dict[str, Any], seed: int, faults: str) -> None:
    from triggerkit.testing.factory import SimulationFactory
    from triggerkit.testing.faults import read_faults

    factory = SimulationFactory(seed, read_faults(faults), item.path.parent, _read_cassettes(item))
    try:
        item.obj(**{**arguments, FIXTURE: factory})
        factory.settle()
    except pytest.skip.Exception:
        raise
    except BaseException as error:
        error.add_note(
            f"{MARKER}: this is world {seed}; run it again with\n"
            f"  pytest {item.nodeid!r} {_SEED_FLAG} {seed}"
        )
        raise
    finally:
        factory.close()
