"""The pytest plugin, found by its entry point; a test run that does not use it imports nothing else of triggerkit.

Fixture `triggerkit_sim`; marker `triggerkit_chaos(seeds=100, faults="split,kill,throttle,expire")`, which makes a
test into one test for each of so many random worlds, so that every world has fixtures of its own;
`--triggerkit-seed N` runs world N alone; marker `triggerkit_cassette("orders.jsonl.gz")`, which plays a recorded
stream into the test's simulations. The only module of triggerkit that imports pytest.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from triggerkit.testing.factory import PlayedCassette, SimulationFactory

MARKER = "triggerkit_chaos"
CASSETTE = "triggerkit_cassette"
FIXTURE = "triggerkit_sim"
SEEDS = 100
FAULTS = "split,kill,throttle,expire"
_SEED_FLAG = "--triggerkit-seed"
_WORLD = "_triggerkit_world"


@dataclass(frozen=True, slots=True)
class World:
    """One world of a test: the seed that draws it, and what happens in it."""

    seed: int
    faults: str

    def __str__(self) -> str:
        return f"world{self.seed}"


_FACTORIES = pytest.StashKey["list[SimulationFactory]"]()
"""What the fixture made for a test."""
_FAILED = pytest.StashKey["dict[str, int]"]()
"""Of each test the world that has failed."""

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


@pytest.hookimpl(trylast=True)  # the test's own parameters come first in its id
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test with the marker into one test for each world."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None or _WORLD not in metafunc.fixturenames:
        return
    worlds = _read_marker(*marker.args, **marker.kwargs)
    only = metafunc.config.getoption(_SEED_FLAG)
    if only is not None:
        worlds = [World(only, worlds[0].faults if worlds else FAULTS)]
    metafunc.parametrize(_WORLD, worlds, indirect=True, ids=str)


@pytest.fixture
def _triggerkit_world(request: pytest.FixtureRequest) -> World | None:
    """The world of a test with the marker."""
    world: World | None = getattr(request, "param", None)
    return world


@pytest.fixture
def triggerkit_sim(
    request: pytest.FixtureRequest, _triggerkit_world: World | None
) -> Iterator[SimulationFactory]:
    """Make simulations, each closed after the test; call it with the triggers."""
    from triggerkit.testing.factory import SimulationFactory
    from triggerkit.testing.faults import read_faults

    world, cassettes = _triggerkit_world, _read_cassettes(request.node)
    factory = SimulationFactory(
        None if world is None else world.seed,
        () if world is None else read_faults(world.faults),
        request.path.parent,
        cassettes,
    )
    request.node.stash.setdefault(_FACTORIES, []).append(factory)
    yield factory
    factory.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Leave out the other worlds of a test that has failed in one; name the world in which a fixture fails."""
    world = _world_of(item)
    if world is None:
        return (yield)
    failed = item.config.stash.get(_FAILED, {}).get(_of_all_worlds(item, world))
    if failed is not None:
        pytest.skip(f"world {failed} of this test has failed")
    with _naming(item, world):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Check the world of a test with the marker once the test has passed."""
    if pyfuncitem.get_closest_marker(MARKER) is None:
        return (yield)
    world = _world_of(pyfuncitem)
    if world is None:
        pytest.fail(
            f"{MARKER} needs the fixture {FIXTURE} as an argument of the test, or of a fixture that it uses",
            pytrace=False,
        )
    with _naming(pyfuncitem, world):
        result = yield
        for factory in pyfuncitem.stash.get(_FACTORIES, []):
            factory.settle()
        return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which tests have failed in a world."""
    report = yield
    world = _world_of(item)
    if world is not None and report.failed:
        failed = item.config.stash.setdefault(_FAILED, {})
        failed.setdefault(_of_all_worlds(item, world), world.seed)
    return report


def _read_marker(seeds: int | range = SEEDS, faults: str = FAULTS) -> list[World]:
    return [World(seed, faults) for seed in (range(seeds) if isinstance(seeds, int) else seeds)]


def _read_cassettes(item: pytest.Item) -> list[PlayedCassette]:
    """What the test's own marker names comes first."""
    from triggerkit.testing.factory import PlayedCassette

    return [PlayedCassette(*one.args, **one.kwargs) for one in item.iter_markers(CASSETTE)]


def _world_of(item: pytest.Item) -> World | None:
    """The world that a test runs in; None without the marker."""
    callspec = getattr(item, "callspec", None)
    world: World | None = None if callspec is None else callspec.params.get(_WORLD)
    return world


def _of_all_worlds(item: pytest.Item, world: World) -> str:
    """The id that all worlds of a test share."""
    name, bracket, parameters = item.nodeid.rpartition("[")
    others = [part for part in parameters.removesuffix("]").split("-") if part != str(world)]
    return f"{name}{bracket}{'-'.join(others)}]" if others else name


@contextmanager
def _naming(item: pytest.Item, world: World) -> Iterator[None]:
    """What fails inside tells its world, and what repeats it."""
    try:
        yield
    except pytest.skip.Exception:
        raise
    except BaseException as error:
        shared = _of_all_worlds(item, world)
        again = item.nodeid if shared.endswith("]") else shared
        error.add_note(
            f"{MARKER}: this is world {world.seed}; run it again with\n"
            f"  pytest {again!r} {_SEED_FLAG} {world.seed}"
        )
        raise
