"""Which configuration, target and endpoint a command uses: from subfolders, for other targets, without triggers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli.stage import endpoint_of_dev
from cli.test_dev import developing
from e2e.harness import DUMMY_ACCESS, Place

from triggerkit.configuration import load_configuration
from triggerkit.errors import UsageError

USAGE = 2
OTHER = """\
from triggerkit import Triggers

handlers = Triggers("audits")

@handlers.on("dynamodb://${PREFIX}users")
def audit(event, context): pass
"""


def inside(place: Place, folder: str) -> Place:
    """The same user in a folder below."""
    below = place.folder / folder
    below.mkdir(parents=True, exist_ok=True)
    return replace(place, folder=below)


# --- from subfolders -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["list", "check"])
def test_f6_the_configuration_is_found_from_a_subfolder(command: str, project: Place) -> None:
    project.write("triggerkit.toml", 'target = "app:handlers"\napp = "found"\nstate = "memory:"\n')
    done = inside(project, "src/deep").run(command, "--json")
    assert (done.code, done.json["app"]) == (0, "found"), done.stderr


def test_f6_paths_are_relative_to_the_configuration_and_not_to_the_subfolder(
    project: Place, tmp_path: Path
) -> None:
    project.write(
        "triggerkit.toml",
        'target = "app:handlers"\nstate = "sqlite:///kept/state.db"\n'
        '[triggers.bill]\non_failure = "file:given-up.jsonl"\n',
    )
    project.write("given-up.jsonl", "not JSON\n")
    below = inside(project, "src/deep")
    done = below.run("failures", "ls")
    assert f"{project.folder / 'given-up.jsonl'}, line 1 is left out" in done.stderr
    with endpoint_of_dev(project) as endpoint:
        endpoint.create("orders", id="S")
        address = {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": endpoint.server.endpoint_url}
        assert below.run("put", "orders", '{"id": "1"}').code == 0
        ran = below.run("run", "--burst", environment=address)
        assert ran.code == 0, ran.stderr
        tailed = below.run("tail", "orders", "--from-start", "-n", "1")
        assert (tailed.code, "INSERT" in tailed.stdout) == (0, True), tailed.stderr
    assert "billed 1" in ran.stderr
    assert (project.folder / "kept/state.db").is_file()
    assert list(below.folder.iterdir()) == []


def test_f6_a_target_of_the_command_line_is_imported_from_a_subfolder(project: Place) -> None:
    project.write("other.py", OTHER.replace("${PREFIX}", ""))
    below = inside(project, "src/deep")
    below.write("near.py", OTHER.replace("${PREFIX}", ""))
    for target in ("other:handlers", "near:handlers", "near.py", "../../other.py"):
        done = below.run("list", target, "--json")
        assert [one["name"] for one in done.json["triggers"]] == ["audit"], target


def test_f6_the_nearest_configuration_wins_and_a_repository_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / "triggerkit.toml").write_text('app = "outer"\n')
    deep = tmp_path / "inner/repository/src"
    deep.mkdir(parents=True)
    (tmp_path / "inner/pyproject.toml").write_text("[project]\nname = 'x'\n")
    found = load_configuration(None, folder=deep)
    assert (found.app, found.folder) == ("outer", tmp_path)
    (tmp_path / "inner/pyproject.toml").write_text('[tool.triggerkit]\napp = "inner"\n')
    assert load_configuration(None, folder=deep).app == "inner"
    (tmp_path / "inner/repository/.git").mkdir()
    ended = load_configuration(None, folder=deep)
    assert (ended.path, ended.folder) == (None, deep)
    (tmp_path / "inner/repository/triggerkit.toml").write_text('app = "repository"\n')
    assert load_configuration(None, folder=deep).app == "repository"


def test_f6_two_files_in_one_folder_above_are_refused(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "triggerkit.toml").write_text('app = "a"\n')
    (tmp_path / "pyproject.toml").write_text('[tool.triggerkit]\napp = "b"\n')
    with pytest.raises(UsageError, match="hold configuration"):
        load_configuration(None, folder=tmp_path / "src")


# --- other targets ---------------------------------------------------------------------------------

CONFIGURED = """\
target = "app:handlers"
app = "shop"
state = "memory:"
[vars]
PREFIX = "dev-"
[defaults]
maximum_retry_attempts = 3
[triggers.bill]
batch_size = 7
"""


def test_f6_another_target_runs_with_what_of_the_configuration_applies(project: Place) -> None:
    project.write("triggerkit.toml", CONFIGURED)
    project.write("other.py", OTHER)
    done = project.run("list", "other:handlers", "--json")
    assert done.code == 0, done.stderr
    (trigger,) = done.json["triggers"]
    assert (done.json["app"], done.json["state"]) == ("shop", "memory:")
    assert trigger["source"] == "dynamodb://dev-users"
    assert trigger["options"]["maximum_retry_attempts"] == 3
    said = "triggerkit.toml [triggers.bill] is left out: other:handlers has no such trigger"
    assert said in done.stderr
    assert "bill" not in project.run("list").stderr


def test_f6_another_target_really_runs(project: Place) -> None:
    project.write("triggerkit.toml", CONFIGURED)
    project.write("other.py", OTHER)
    with endpoint_of_dev(project) as endpoint:
        endpoint.create("dev-users", id="S")
        address = {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": endpoint.server.endpoint_url}
        done = project.run("run", "other:handlers", "--burst", environment=address)
    assert done.code == 0, done.stderr
    assert "configuration_left_out" in done.events


def test_f6_a_mistake_in_the_table_of_the_configured_target_is_still_refused(
    project: Place,
) -> None:
    project.write("triggerkit.toml", CONFIGURED.replace("[triggers.bill]", "[triggers.bil]"))
    for arguments in (("list",), ("list", "app:handlers")):
        done = project.run(*arguments)
        assert (done.code, "did you mean bill?" in done.stderr) == (USAGE, True), done.stderr


def test_f10_a_file_with_a_hyphen_runs_under_its_own_name(project: Place) -> None:
    (project.folder / "triggerkit.toml").unlink()
    project.write("my-app.py", OTHER.replace('"audits"', "").replace("${PREFIX}", ""))
    for target in ("my-app.py", "my-app", "my-app:handlers", "./my-app.py:handlers"):
        done = project.run("list", target, "--json")
        assert (done.code, done.json["app"]) == (0, "my-app"), done.stderr


def test_f10_what_is_read_only_at_lambda_is_left_out_with_a_note(project: Place) -> None:
    pasted = 'UUID = "1"\nState = "Enabled"\nLastModified = 1.5\nBatchSize = 7\n'
    project.write(
        "triggerkit.toml", f'target = "app:handlers"\nstate = "memory:"\n[triggers.bill]\n{pasted}'
    )
    for command in ("list", "check"):
        done = project.run(command, "--json")
        assert done.code == 0, done.stderr
        assert "[triggers.bill]: UUID, State, LastModified left out" in done.stderr
    (trigger,) = project.run("list", "--json").json["triggers"]
    assert trigger["options"]["batch_size"] == 7


def test_f10_an_env_file_settles_the_locators(project: Place) -> None:
    project.write("app.py", OTHER)
    (project.folder / ".env").write_bytes(b'\xef\xbb\xbfexport PREFIX="dev-" # mine\r\n')
    done = project.run("list", "--env-file", ".env", "--json")
    assert (done.code, done.json["triggers"][0]["source"]) == (0, "dynamodb://dev-users")


# --- dev without triggers --------------------------------------------------------------------------


def test_f6_dev_without_triggers_serves_a_worker_in_another_process(project: Place) -> None:
    project.write("triggerkit.toml", '[dev.tables.orders]\nkey = "id:S"\n')
    with developing(project, "--no-triggers") as dev:
        dev.until_ready()
        dev.put("orders", '{"id": "1"}')
        address = {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": dev.url}
        arguments = ("run", "app:handlers", "--burst", "--state", "memory:")
        done = project.run(*arguments, environment=address)
        assert (done.code, "billed 1" in done.stderr) == (0, True), done.stderr
        assert dev.printed("billed 1") == 0
        dev.change("triggerkit.toml", "orders", "users")
        dev.running.until_logged("table_made", table="users")
        assert dev.end() == 0


def test_f6_dev_without_triggers_makes_the_tables_of_a_target(project: Place) -> None:
    with developing(project, "--no-triggers") as dev:
        dev.until_ready()
        assert dev.running.logged("table_made", table="orders")
        assert not dev.running.logged("lease_taken")
        assert dev.end() == 0
