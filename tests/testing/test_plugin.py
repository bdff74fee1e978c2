"""The pytest plugin, run as a user runs it: another pytest on another project."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
APP = """
from triggerkit import Triggers
handlers = Triggers("orders")
state = {}

@handlers.on("dynamodb://orders", batch_size=1)
def count(event, context):
    for record in event["Records"]:
        change = record["dynamodb"]
        state[change["Keys"]["id"]["S"]] = change["NewImage"]["n"]["N"]
"""


def run_pytest(folder: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(APP)
    (folder / "test_app.py").write_text(tests)
    return subprocess.run(
        [
            *(sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            # by name, whether or not the installed package has the entry point already
            *("-p", "no:triggerkit", "-p", "triggerkit.testing.plugin", "--strict-markers"),
            *arguments,
        ],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{CHECKOUT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_fixture_makes_simulations_from_a_target_and_closes_them(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        """
def test_once(triggerkit_sim):
    sim = triggerkit_sim("app:handlers", seed=7, workers=2)
    sim.table("orders").put(id="1", n=1)
    sim.run_until_idle()
    assert sim.calls("count").keys == ["1"]

def test_failing(triggerkit_sim):
    sim = triggerkit_sim("app:handlers")
    sim.table("orders").put(id="1", n=1)
    assert not sim.lost
""",
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "Delivery(trigger='count', table='orders', key='1', event_name='INSERT')" in done.stdout


CHAOS = """
import pytest
from app import handlers, state

@pytest.mark.triggerkit_chaos(seeds=SEEDS, faults="split,kill,throttle,expire")
def test_the_last_write_wins(triggerkit_sim, tmp_path):
    state.clear()
    sim = triggerkit_sim(handlers, workers=2)
    print("world", sim.seed)
    for number in range(12):
        sim.table("orders").put(id=str(number % 3), n=number)
    sim.run_until_idle()
    assert state == {"0": "9", "1": "10", "2": "11"}
    assert BROKEN
"""


def test_a_chaos_test_runs_in_all_its_worlds(tmp_path: Path) -> None:
    tests = CHAOS.replace("SEEDS", "25").replace("BROKEN", "True")
    done = run_pytest(tmp_path, tests, "-s")
    assert "25 passed" in done.stdout, done.stdout
    assert [f"world {seed}\n" in done.stdout for seed in range(26)] == [*[True] * 25, False]


def test_a_world_that_fails_is_named_and_can_be_repeated(tmp_path: Path) -> None:
    tests = CHAOS.replace("SEEDS", "range(5, 20)").replace("BROKEN", "sim.seed != 9")
    done = run_pytest(tmp_path, tests)
    assert "1 failed, 4 passed, 10 skipped" in done.stdout, done.stdout
    assert "triggerkit_chaos: this is world 9; run it again with" in done.stdout
    wanted = "test_app.py::test_the_last_write_wins"
    assert f"pytest '{wanted}' --triggerkit-seed 9" in done.stdout
    again = run_pytest(tmp_path, tests, wanted, "--triggerkit-seed", "9")
    assert "this is world 9" in again.stdout
    other = run_pytest(tmp_path, tests, wanted, "--triggerkit-seed", "8")
    assert "1 passed" in other.stdout, other.stdout


def test_a_promise_that_is_broken_fails_a_test_that_does_not_look(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        """
import pytest
from triggerkit import Triggers
handlers = Triggers("bad")

@handlers.on("dynamodb://orders")
def broken(event, context):
    raise ValueError("no")

@pytest.mark.triggerkit_chaos(seeds=1, faults="roll")
def test_nothing(triggerkit_sim):
    triggerkit_sim(handlers).table("orders").put(id="1")

@pytest.mark.triggerkit_chaos
def test_without_fixture():
    pass
""",
    )
    assert "2 failed" in done.stdout, done.stdout
    assert "SimulationError: no rest after 3600 simulated seconds: 1 records" in done.stdout
    assert "triggerkit_chaos needs the fixture triggerkit_sim" in done.stdout


WRAPPED = """
import pytest
from app import handlers

made = []

@pytest.fixture
def orders(triggerkit_sim):
    sim = triggerkit_sim(handlers, workers=2)
    sim.table("orders").put(id="0", n=0)
    made.append(sim.seed)
    yield sim
    assert not sim.lost

@pytest.fixture
def items():
    return []

@pytest.mark.triggerkit_chaos(seeds=4)
def test_wrapped(orders, items, tmp_path, monkeypatch):
    assert items == [] and list(tmp_path.iterdir()) == []
    items.append(orders.seed)
    (tmp_path / "seen").write_text("x")
    assert orders.seed == made[-1] == len(made) - 1
    orders.run_until_idle()
    assert orders.calls("count").keys.count("0") >= 1

@pytest.mark.triggerkit_chaos(seeds=[3, 5])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("items")
class TestInAClass:
    def test_parameters_and_worlds(self, triggerkit_sim, workers):
        sim = triggerkit_sim(handlers, workers=workers)
        sim.table("orders").put(id="1", n=1)
        assert sim.seed in (3, 5)
"""


def test_f8_a_fixture_may_wrap_the_simulation_and_every_world_has_fresh_fixtures(
    tmp_path: Path,
) -> None:
    done = run_pytest(tmp_path, WRAPPED)
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout
    again = run_pytest(tmp_path, WRAPPED, "test_app.py::TestInAClass", "--triggerkit-seed", "7")
    one = "test_app.py::TestInAClass::test_parameters_and_worlds[1-world7]"
    assert f"FAILED {one}" in again.stdout  # 7 is none of the seeds that it knows
    assert f"pytest '{one}' --triggerkit-seed 7" in again.stdout


def test_f8_a_project_may_override_the_fixture_itself(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom app import handlers\n"
        "@pytest.fixture\ndef triggerkit_sim(triggerkit_sim):\n"
        "    return lambda: triggerkit_sim(handlers)\n"
    )
    tests = (
        "import pytest\n@pytest.mark.triggerkit_chaos(seeds=range(4, 7))\n"
        "def test_it(triggerkit_sim):\n"
        "    sim = triggerkit_sim()\n    print('world', sim.seed)\n"
        "    sim.table('orders').put(id='1', n=1)\n"
    )
    done = run_pytest(tmp_path, tests, "-s")
    assert "3 passed" in done.stdout, done.stdout
    assert [f"world {seed}" in done.stdout for seed in (3, 4, 5, 6, 7)] == [
        *(False, True, True, True, False)
    ]


def test_f8_a_fixture_that_fails_in_a_world_names_it_and_the_other_worlds_are_left_out(
    tmp_path: Path,
) -> None:
    done = run_pytest(
        tmp_path,
        """
import pytest
from app import handlers

@pytest.fixture
def orders(triggerkit_sim):
    sim = triggerkit_sim(handlers)
    assert sim.seed != 2
    return sim

@pytest.mark.triggerkit_chaos(seeds=5)
def test_it(orders):
    pass

@pytest.mark.triggerkit_chaos(seeds=2)
def test_other(orders):
    pass

@pytest.mark.triggerkit_chaos(seeds=2)
def test_asks_late(request):
    request.getfixturevalue("orders")
""",
    )
    assert "1 failed, 4 passed, 2 skipped, 1 error" in done.stdout, done.stdout
    assert "this is world 2; run it again with" in done.stdout
    assert "as an argument of the test, or of a fixture that it uses" in done.stdout


def test_the_plugin_is_found_by_its_entry_point() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"triggerkit": "triggerkit.testing.plugin"}


def test_a_run_that_does_not_use_the_plugin_does_not_pay_for_it() -> None:
    look = (
        "import sys, json, pytest; before = set(sys.modules); import triggerkit.testing.plugin\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = [name for name in json.loads(done.stdout) if "." not in name or "triggerkit" in name]
    assert loaded == ["triggerkit", "triggerkit.testing", "triggerkit.testing.plugin"]


def test_one_module_alone_imports_pytest() -> None:
    users = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "triggerkit").rglob("*.py")
        if "import pytest" in path.read_text() or "from pytest" in path.read_text()
    }
    assert users == {"triggerkit/testing/plugin.py"}
