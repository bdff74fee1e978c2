"""Blueprints: what they may say, what they become, and that a folder is written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import tempfile
import threading
import tomllib
from collections.abc import ItemsView, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from triggerkit.errors import UsageError
from triggerkit.scaffold import (
    Blueprint,
    Variable,
    check_free,
    find_blueprints,
    project_name,
    read_blueprint,
    read_shelf,
    render,
    write_folder,
)
from triggerkit.scaffold.blueprints import Kind

DESCRIPTION = """\
name = "orders"
title = "Orders"
sentence = "Counts orders."

[variables.table]
ask = "Table"
kind = "table"
default = "orders"

[variables.action]
ask = "Action"
kind = "choice"
default = "count"
choices = ["count", "sum_up"]
"""
FILES = {"app.py": b"print(1)\n", "docs/read.me": b"read\n"}


def blueprint(folder: Path, files: Mapping[str, str], description: str = DESCRIPTION) -> Path:
    """A blueprint's folder below `folder`, with these files."""
    place = folder / "orders"
    for name, text in {"blueprint.toml": description, **files}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def rendered(folder: Path, files: Mapping[str, str], **given: str) -> dict[str, str]:
    """What a blueprint with these files becomes."""
    made = render(read_blueprint(blueprint(folder, files)), given, project="shop")
    return {name: content.decode() for name, content in made.items()}


def variable(kind: Kind, default: str = "", **more: Any) -> Variable:
    return Variable(name="x", ask="X", kind=kind, default=default, **more)


def below(folder: Path) -> list[str]:
    """Everything in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class TestVariables:
    @pytest.mark.parametrize(
        ("asked", "said", "read"),
        [
            (variable("table"), "orders", "orders"),
            (variable("table"), " or.d_e-rs ", "or.d_e-rs"),
            (variable("number", minimum=1, maximum=10_000), "010", "10"),
            (variable("choice", choices=("TRIM_HORIZON", "LATEST")), "latest", "LATEST"),
            (
                variable("choice", choices=("TRIM_HORIZON", "LATEST")),
                "trim horizon",
                "TRIM_HORIZON",
            ),
            (variable("choice", choices=("TRIM_HORIZON",)), "trim-horizon", "TRIM_HORIZON"),
            (variable("switch"), "Yes", "true"),
            (variable("switch"), "off", "false"),
            (variable("text"), "a-b/c", "a-b/c"),
            (variable("text", pattern="[a-z]+[.]fifo"), "events.fifo", "events.fifo"),
        ],
    )
    def test_what_is_allowed_is_read(self, asked: Variable, said: str, read: str) -> None:
        assert asked.read(said) == read

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            (variable("table"), "ab"),
            (variable("table"), "or ders"),
            (variable("table"), "o" * 256),
            (variable("number", minimum=1, maximum=10_000), "0"),
            (variable("number", minimum=1, maximum=10_000), "10001"),
            (variable("number", minimum=1, maximum=10_000), "-5"),
            (variable("number", minimum=1, maximum=10_000), "1.5"),
            (variable("number", minimum=1, maximum=10_000), "9" * 5000),
            (variable("number", minimum=1, maximum=10_000), "\N{ARABIC-INDIC DIGIT ONE}"),
            (variable("choice", choices=("TRIM_HORIZON", "LATEST")), "AT_TIMESTAMP"),
            (variable("switch"), "perhaps"),
            (variable("text", pattern="[a-z]+[.]fifo"), "events"),
        ],
    )
    def test_what_is_not_allowed_is_refused_with_the_rule(self, asked: Variable, said: str) -> None:
        with pytest.raises(UsageError, match=r"x .* is not allowed") as caught:
            asked.read(said)
        assert caught.value.hint == asked.rule != ""

    @pytest.mark.parametrize(
        "said", ['a"b', "a'b", "a\\b", "a\nb", "a$b", "a{b", "@a", "a`b", "\0"]
    )
    def test_no_value_can_end_the_string_that_it_is_put_in(self, said: str) -> None:
        with pytest.raises(UsageError, match="is not allowed"):
            variable("text", pattern=r"(?s).*").read(said)

    def test_a_variable_matters_only_with_the_value_that_it_names(self) -> None:
        asked = variable("text", when="destination=sqs")
        assert asked.matters({"destination": "sqs"})
        assert not asked.matters({"destination": "eventbridge"})
        assert variable("text").matters({})


class TestDescriptions:
    def test_a_description_is_read(self, tmp_path: Path) -> None:
        read = read_blueprint(blueprint(tmp_path, {}))
        assert (read.name, read.title, read.sentence) == ("orders", "Orders", "Counts orders.")
        assert [one.name for one in read.variables] == ["table", "action"]

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ('name = "orders"', 'name = "other"', "name 'other' is not the folder's"),
            ('title = "Orders"', "", "title is not text"),
            ('title = "Orders"', "title = 5", "title is not text"),
            ('title = "Orders"', 'title = "Orders"\ntags = []', "unknown key 'tags'"),
            ('title = "Orders"', 'title = "Orders"\nextras = "local"', "extras is not a list"),
            ('ask = "Table"', "", "ask is not text"),
            ('ask = "Table"', 'ask = "Table"\nminimum = "1"', "minimum is not a whole number"),
            ('ask = "Table"', 'ask = "Table"\nasks = 1', "unknown key 'asks'"),
            ('kind = "table"', 'kind = "word"', "kind 'word'"),
            ('default = "count"', 'default = "guess"', "action 'guess' is not allowed"),
            ("[variables.action]", "[variables.project]", "is no variable"),
            ("[variables.action]", "[variables.Action]", "is no variable"),
            ('kind = "table"', 'kind = "text"\npattern = "("', "missing \\)"),
            ("[variables.table]", "[variables.table", "is not TOML"),
        ],
    )
    def test_a_fault_is_named_with_its_file(
        self, tmp_path: Path, old: str, new: str, named: str
    ) -> None:
        folder = blueprint(tmp_path, {}, DESCRIPTION.replace(old, new))
        with pytest.raises(UsageError, match=named) as caught:
            read_blueprint(folder)
        assert "blueprint.toml" in caught.value.message
        assert caught.value.hint


class TestRendering:
    def test_variables_are_filled_in(self, tmp_path: Path) -> None:
        files = {"a/app.py.template": "@{project} @{blueprint} @{table} @{action}"}
        made = rendered(tmp_path, files, table="users", action="SUM-UP")
        assert made == {"a/app.py": "shop orders users sum_up"}

    def test_what_only_looks_like_a_variable_stays(self, tmp_path: Path) -> None:
        text = "${VAR} {x} $x @handlers.on @@{table} a@b %s"
        made = rendered(tmp_path, {"a.template": text})
        assert made == {"a": text.replace("@@{", "@{")}

    @pytest.mark.parametrize("place", ["@{tabel}", "@{}", "@{table", "@{ table }", "@{Table}"])
    def test_an_unknown_variable_is_an_error_with_its_line(
        self, tmp_path: Path, place: str
    ) -> None:
        with pytest.raises(UsageError, match=r"a\.template, line 2: @\{.* is no variable"):
            rendered(tmp_path, {"a.template": f"first\n{place}\n"})

    def test_a_file_that_is_no_template_is_copied(self, tmp_path: Path) -> None:
        folder = blueprint(tmp_path, {})
        (folder / "logo.png").write_bytes(b"\xff@{table}")
        assert render(read_blueprint(folder), {}, project="p") == {"logo.png": b"\xff@{table}"}

    def test_a_template_that_is_not_text_is_an_error(self, tmp_path: Path) -> None:
        folder = blueprint(tmp_path, {})
        (folder / "logo.template").write_bytes(b"\xff")
        with pytest.raises(UsageError, match="is not UTF-8"):
            render(read_blueprint(folder), {}, project="p")

    def test_a_folder_of_a_value_is_taken_with_that_value(self, tmp_path: Path) -> None:
        files = {"action=count/a": "counting", "action=sum_up/a": "summing", "b": "always"}
        assert rendered(tmp_path, files) == {"a": "counting", "b": "always"}
        assert rendered(tmp_path, files, action="sum_up")["a"] == "summing"

    def test_a_folder_of_an_unknown_variable_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="has no variable 'acton'"):
            rendered(tmp_path, {"acton=count/a": "x"})

    def test_one_file_from_two_places_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="makes a twice"):
            rendered(tmp_path, {"a": "1", "a.template": "2"})

    def test_what_python_leaves_behind_is_no_part(self, tmp_path: Path) -> None:
        files = {"__pycache__/app.cpython-311.pyc": "x", "old.pyc": "x", "app.py": "x"}
        assert list(rendered(tmp_path, files)) == ["app.py"]

    def test_a_link_is_refused(self, tmp_path: Path) -> None:
        folder = blueprint(tmp_path, {})
        (folder / "passwords").symlink_to("/etc/passwd")
        with pytest.raises(UsageError, match="is not a plain file"):
            render(read_blueprint(folder), {}, project="p")

    def test_a_value_for_an_unknown_variable_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="has no variable 'tabel'") as caught:
            rendered(tmp_path, {}, tabel="x")
        assert caught.value.hint == "did you mean table?"

    @pytest.mark.parametrize(
        ("folder", "name"),
        [
            ("/a/orders", "orders"),
            ("/a/my orders!", "my-orders"),
            ("/", "triggers"),
            ("/ü", "triggers"),
        ],
    )
    def test_a_project_is_named_after_its_folder(self, folder: str, name: str) -> None:
        assert project_name(Path(folder)) == name


class TestShelf:
    def test_ours_are_found_and_whole(self) -> None:
        shelf = find_blueprints()
        assert {
            "dynamodb-archive-s3",
            "dynamodb-process-stream",
            "enforce-rules",
            "outbox-relay",
        } <= {one.name for one in shelf.blueprints}
        assert all(one.sentence.endswith(".") for one in shelf.blueprints)

    def test_one_that_is_broken_hinders_no_other(self, tmp_path: Path) -> None:
        blueprint(tmp_path, {})
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad/blueprint.toml").write_text("=")
        shelf = read_shelf([("acme", tmp_path)])
        assert [one.name for one in shelf.blueprints] == ["orders"]
        assert "bad/blueprint.toml" in shelf.faults[0].message

    def test_of_two_of_one_name_the_first_stays_and_that_is_said(self, tmp_path: Path) -> None:
        for origin in ("one", "two"):
            blueprint(tmp_path / origin, {})
        shelf = read_shelf([("one", tmp_path / "one"), ("two", tmp_path / "two")])
        assert [one.origin for one in shelf.blueprints] == ["one"]
        assert "'orders' of two is left out: one has one" in shelf.faults[0].message

    def test_an_unknown_name_is_answered_with_a_near_one(self, tmp_path: Path) -> None:
        blueprint(tmp_path, {})
        with pytest.raises(UsageError, match="there is no blueprint 'order'") as caught:
            read_shelf([("acme", tmp_path)]).find("order")
        assert caught.value.hint == "did you mean orders?"

    @staticmethod
    def install(site: Path, module: str) -> None:
        """A distribution with an entry point, as pip would leave it."""
        record = site / "acme-1.dist-info"
        record.mkdir(parents=True)
        (record / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
        (record / "entry_points.txt").write_text(f"[triggerkit.blueprints]\nacme = {module}\n")

    def test_an_entry_point_adds_a_company_s_own_and_is_not_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.install(tmp_path, "acme_blueprints")
        blueprint(tmp_path / "acme_blueprints", {"app.py": "x"})
        (tmp_path / "acme_blueprints/__init__.py").write_text("raise SystemExit('was run')")
        monkeypatch.syspath_prepend(str(tmp_path))
        shelf = find_blueprints()
        assert shelf.find("orders").origin == "acme_blueprints"
        assert not shelf.faults

    def test_an_entry_point_may_name_a_module_beside_the_folders(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.install(tmp_path, "acme_all.marker")
        blueprint(tmp_path / "acme_all", {})
        for name in ("__init__.py", "marker.py"):
            (tmp_path / "acme_all" / name).write_text("")
        monkeypatch.syspath_prepend(str(tmp_path))
        assert find_blueprints().find("orders").origin == "acme_all.marker"

    def test_an_entry_point_that_leads_nowhere_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.install(tmp_path, "acme_missing.blueprints")
        monkeypatch.syspath_prepend(str(tmp_path))
        shelf = find_blueprints()
        assert "'acme' of acme cannot be found" in shelf.faults[0].message
        assert shelf.find("enforce-rules").origin == "triggerkit"


class Acting(dict[str, bytes]):
    """Files; something happens while the last one is written."""

    def __init__(self, act: Any) -> None:
        super().__init__(FILES)
        self.act = act

    def items(self) -> ItemsView[str, bytes]:
        class View(ItemsView[str, bytes]):
            def __iter__(view) -> Iterator[tuple[str, bytes]]:  # noqa: N805
                yield from super().__iter__()
                self.act()

        return View(self)


class TestFolders:
    @pytest.mark.parametrize("place", ["new", "a/b/new", "empty"])
    def test_all_files_are_written(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "empty").mkdir()
        write_folder(FILES, tmp_path / place)
        assert below(tmp_path / place) == ["app.py", "docs", "docs/read.me"]
        assert (tmp_path / place / "app.py").read_bytes() == FILES["app.py"]

    def test_permissions_are_the_user_s_own(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            write_folder(FILES, tmp_path / "new")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750
        assert stat.S_IMODE((tmp_path / "new/app.py").stat().st_mode) == 0o640

    def test_an_empty_folder_stays_the_same_folder(self, tmp_path: Path) -> None:
        before = tmp_path.stat().st_ino
        write_folder(FILES, tmp_path)
        assert tmp_path.stat().st_ino == before

    def test_a_folder_with_files_is_refused_and_they_are_named(self, tmp_path: Path) -> None:
        for name in "abcdefg":
            (tmp_path / name).touch()
        with pytest.raises(UsageError, match="is not empty: it has a, b, c, d, e and 2 more"):
            write_folder(FILES, tmp_path)
        assert below(tmp_path) == list("abcdefg")

    @pytest.mark.parametrize("place", ["file", "file/below", "file/far/below", "link"])
    def test_a_file_in_the_way_is_named(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "file").write_text("mine")
        (tmp_path / "link").symlink_to("nowhere")
        with pytest.raises(UsageError, match=f"{place.partition('/')[0]} is a "):
            check_free(tmp_path / place)

    @pytest.mark.parametrize("place", ["new", "a/b/new", "empty"])
    def test_an_error_in_the_middle_leaves_nothing(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "empty").mkdir()
        impossible = {"app.py": b"1", "docs/a": b"2", "app.py/inside": b"3"}
        with pytest.raises(UsageError, match="cannot write"):
            write_folder(impossible, tmp_path / place)
        assert below(tmp_path) == ["empty"]

    def test_what_comes_into_the_way_meanwhile_is_not_touched(self, tmp_path: Path) -> None:
        target = tmp_path / "new"

        def come() -> None:
            target.mkdir()
            (target / "mine").write_text("mine")

        with pytest.raises(UsageError, match="cannot write"):
            write_folder(Acting(come), target)
        assert below(tmp_path) == ["new", "new/mine"]

    def test_a_file_that_comes_into_an_empty_folder_is_not_touched(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="File exists"):
            write_folder(Acting(lambda: (tmp_path / "docs").write_text("mine")), tmp_path)
        assert below(tmp_path) == ["docs"]
        assert (tmp_path / "docs").read_text() == "mine"

    @pytest.mark.parametrize("place", ["new", "empty"])
    def test_a_signal_waits_until_the_folder_is_whole(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "empty").mkdir()
        # to this thread: a test runner's other threads do not hold signals back
        here = threading.get_ident()
        interrupt = Acting(lambda: signal.pthread_kill(here, signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            write_folder(interrupt, tmp_path / place)
        assert below(tmp_path / place) == ["app.py", "docs", "docs/read.me"]

    @pytest.mark.parametrize("place", ["new", "a/new", ""])
    def test_no_permission_is_told_and_leaves_nothing(self, place: str) -> None:
        folder = Path(tempfile.mkdtemp())  # not below tmp_path, which is the owner's alone
        folder.chmod(0o555)
        as_root = os.geteuid() == 0
        try:
            if as_root:
                os.seteuid(65534)
            with pytest.raises(UsageError, match="Permission denied"):
                write_folder(FILES, folder / place)
        finally:
            if as_root:
                os.seteuid(0)
            folder.chmod(0o755)
            left = below(folder)
            shutil.rmtree(folder)
        assert left == []


def test_a_blueprint_without_variables_is_fine(tmp_path: Path) -> None:
    folder = blueprint(tmp_path, {"a.template": "@{project}"}, DESCRIPTION.partition("[")[0])
    plain: Blueprint = read_blueprint(folder)
    assert render(plain, {}, project="p") == {"a": b"p"}


class TestDocumentation:
    """The example of docs/blueprints.md is one that works."""

    PAGE = (Path(__file__).parents[1] / "docs/blueprints.md").read_text(encoding="utf-8")

    def test_the_example_is_found_and_filled_in(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = dict(re.findall(r"^```text (\S+)\n(.*?)^```", self.PAGE, re.M | re.S))
        [entry_point] = tomllib.loads(files.pop("pyproject.toml"))["project"]["entry-points"][
            "triggerkit.blueprints"
        ].values()
        TestShelf.install(tmp_path, entry_point)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        shelf = find_blueprints()
        made = render(shelf.find("count-changes"), {"unit": "batch"}, project="counts")
        names: dict[str, Any] = {}
        exec(made["app.py"], names)
        [trigger] = names["handlers"].triggers
        assert trigger.sources == ("dynamodb://${PREFIX:-}orders",)
        assert b'print("batch"' in made["app.py"]

    def test_its_list_is_the_real_one(self) -> None:
        shown = {one.name: one.sentence for one in find_blueprints().blueprints}
        listed = re.findall(r"^([a-z0-9-]+)  +(\S.*)$", self.PAGE, re.M)
        assert dict(listed) == shown
