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
    assert "1 passed" in done.stdout, done.stdout
    assert [f"world {seed}" in done.stdout.splitlines() for seed in range(26)] == [
        *[True] * 25,
        False,
    ]


def test_a_world_that_fails_is_named_and_can_be_repeated(tmp_path: Path) -> None:
    tests = CHAOS.replace("SEEDS", "range(5, 20)").replace("BROKEN", "sim.seed != 9")
    done = run_pytest(tmp_path, tests)
    assert "1 failed" in done.stdout, done.stdout
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
