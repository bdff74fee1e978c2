"""TARGET: found in all its forms, and each way to miss it has its own message."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from triggerkit.errors import DuplicateTriggerError, TargetError
from triggerkit.runtime.target import load_target, user_traceback

GOOD = (
    "from triggerkit import Triggers\n"
    "handlers = Triggers('shop')\n"
    "other = Triggers('other')\n"
    "number = 7\n"
    "@handlers.on('dynamodb://orders')\n"
    "def first(event, context): ...\n"
)
ONE = "from triggerkit import Triggers\nmine = also_mine = Triggers('one')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of user code; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def refusal_of(target: str, folder: Path) -> TargetError:
    with pytest.raises(TargetError) as caught:
        load_target(target, folder=folder)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("tk_good:handlers", "shop"),
        ("tk_good:other", "other"),
        ("tk_good", "shop"),
        ("tk_good.py", "shop"),
        ("tk_good.py:other", "other"),
        ("./tk_good.py", "shop"),
        ("tk_one", "one"),
        ("tk_pack.inner:handlers", "shop"),
        ("tk_pack/inner.py", "shop"),
        ("tk_pack/__init__.py", "one"),
        ("tk_pack", "one"),
        ("tk_pack:inner.other", "other"),
    ],
)
def test_every_form_of_target_finds_its_triggers(folder: Path, target: str, name: str) -> None:
    write(folder, "tk_good.py", GOOD)
    write(folder, "tk_one.py", ONE)
    write(folder, "tk_pack/__init__.py", ONE + "from tk_pack import inner\n")
    write(folder, "tk_pack/inner.py", GOOD)
    assert load_target(target, folder=folder).name == name


def test_the_current_folder_is_importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "tk_here.py", GOOD)
    monkeypatch.chdir(folder)
    assert load_target("tk_here").name == "shop"


def test_a_file_sees_its_neighbours(folder: Path) -> None:
    write(folder, "sub/tk_near.py", GOOD)
    write(folder, "sub/tk_app.py", "from tk_near import handlers\n")
    assert load_target("sub/tk_app.py", folder=folder).name == "shop"


def test_a_missing_module_gets_the_nearest_name(folder: Path) -> None:
    write(folder, "tk_orders.py", GOOD)
    error = refusal_of("tk_order:handlers", folder)
    assert "there is no module 'tk_order'" in error.message
    assert "did you mean tk_orders?" in error.hint
    assert user_traceback(error) == ""


def test_a_missing_module_inside_a_package_is_named_in_full(folder: Path) -> None:
    write(folder, "tk_pack/__init__.py", "")
    assert "'tk_pack.inner'" in refusal_of("tk_pack.inner", folder).message


def test_a_missing_dependency_is_told_from_a_missing_module(folder: Path) -> None:
    write(folder, "tk_needs.py", "import os\nimport tk_not_installed\n")
    error = refusal_of("tk_needs:handlers", folder)
    assert "needs the module 'tk_not_installed', which is not installed" in error.message
    assert "tk_needs.py, line 2" in error.message
    assert "pip install" in error.hint


def test_a_package_that_needs_a_missing_part_of_itself_is_a_missing_dependency(
    folder: Path,
) -> None:
    write(folder, "tk_pack/__init__.py", "import tk_pack.inner\n")
    error = refusal_of("tk_pack.inner", folder)
    assert "__init__.py, line 1" in error.message


def test_a_missing_attribute_gets_the_nearest_name(folder: Path) -> None:
    write(folder, "tk_good.py", GOOD)
    error = refusal_of("tk_good:handler", folder)
    assert "module tk_good has no attribute 'handler'" in error.message
    assert error.hint == "did you mean handlers?"


@pytest.mark.parametrize(("attribute", "kind"), [("number", "int"), ("first", "function")])
def test_what_is_no_triggers_is_refused_with_those_there_are(
    folder: Path, attribute: str, kind: str
) -> None:
    write(folder, "tk_good.py", GOOD)
    error = refusal_of(f"tk_good:{attribute}", folder)
    assert f"{attribute} is a {kind}, not a Triggers" in error.message
    assert error.hint == "Triggers in tk_good: handlers, other"


def test_a_module_without_triggers_and_one_with_several_are_told(folder: Path) -> None:
    write(folder, "tk_none.py", "x = 1\n")
    write(folder, "tk_two.py", GOOD.replace("handlers", "shop"))
    assert "tk_none has no Triggers" in refusal_of("tk_none", folder).message
    error = refusal_of("tk_two", folder)
    assert "has 2 Triggers" in error.message
    assert error.hint == "choose one: tk_two:shop, tk_two:other"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def wrong():\n    raise ValueError('boom')\nwrong()\n", "raised ValueError: boom"),
        ("import sys\nsys.exit(3)\n", "raised SystemExit: 3"),
        ("from os import nothing_like_this\n", "raised ImportError"),
        ("def broken(:\n", "raised SyntaxError"),
    ],
)
def test_a_module_that_raises_shows_the_users_frames_only(
    folder: Path, text: str, told: str
) -> None:
    write(folder, "tk_raises.py", text)
    error = refusal_of("tk_raises:handlers", folder)
    assert told in error.message
    shown = user_traceback(error)
    assert "tk_raises.py" in shown
    assert "runtime/target.py" not in shown
    assert "importlib" not in shown


def test_what_a_decorator_refuses_passes_through_with_the_line(folder: Path) -> None:
    write(folder, "tk_twice.py", GOOD + "handlers.on('dynamodb://orders')(first)\n")
    with pytest.raises(DuplicateTriggerError) as caught:
        load_target("tk_twice", folder=folder)
    assert caught.value.__notes__ == [f"at {folder / 'tk_twice.py'}, line 7"]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("", "names no module"),
        (":handlers", "names no module"),
        ("tk..app:handlers", "'tk..app' is not a module name"),
        ("tk-app:handlers", "there is no module 'tk-app' in"),
        ("template.yaml", "not available in this version"),
        ("missing/app.py", "does not exist"),
    ],
)
def test_a_target_that_cannot_be_one_is_refused(folder: Path, target: str, told: str) -> None:
    assert told in refusal_of(target, folder).message


@pytest.mark.parametrize("name", ["tk-app", "tk app", "1tk", "tk-folder/tk-app"])
def test_f10_a_file_whose_name_is_no_identifier_is_a_target(name: str, folder: Path) -> None:
    (folder / f"{name}.py").parent.mkdir(exist_ok=True)
    write(folder, f"{name}.py", GOOD)
    forms = [f"{name}.py", f"{name}.py:handlers"]
    forms += [] if "/" in name else [f"{name}:handlers", name]
    for form in forms:
        assert [one.name for one in load_target(form, folder=folder).triggers] == ["first"]
    for module in {name, name.rpartition("/")[2]} & sys.modules.keys():
        del sys.modules[module]


def test_f10_a_file_that_cannot_be_imported_gets_the_right_advice(folder: Path) -> None:
    write(folder, "tk.app.py", GOOD)
    error = refusal_of("tk.app.py", folder)
    assert (error.message, error.hint) == (
        "target 'tk.app.py': a file name with a dot in it cannot be imported",
        "rename it tk_app.py",
    )
    write(folder, "tk-bad.py", "1 / 0\n")
    assert '__import__("tk-bad")' in refusal_of("tk-bad.py", folder).hint


def test_a_missing_file_gets_the_nearest_name(folder: Path) -> None:
    write(folder, "tk_orders.py", GOOD)
    assert refusal_of("tk_order.py", folder).hint == "did you mean tk_orders.py?"


def test_a_file_whose_name_is_taken_is_refused(folder: Path) -> None:
    write(folder, "json.py", GOOD)
    error = refusal_of("json.py", folder)
    assert "its module name 'json' is that of" in error.message
