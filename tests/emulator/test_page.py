"""The page on the embedded endpoint: its blocks run, and it names every verb and fault."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from triggerkit.emulator import Faults
from triggerkit.emulator.control import VERBS

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| (.*?) \| ?(.*?) ?\|$", re.MULTILINE)
FOR_WHO_ANSWERS = {"delay_seconds"}
"""Methods of `Faults` that the engine calls."""


def names_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_blocks_of_the_page_run_one_after_the_other() -> None:
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) == 4
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/emulator.md", "exec"), namespace)
    assert namespace["orders"].get_item(Key={"id": "2"})["Item"] == {"id": "2"}


def test_every_verb_is_on_the_page_with_its_members() -> None:
    rows = {
        verb: tuple(names_in(members.partition(";")[0].partition(":")[0]))
        for verbs, members in ROW.findall(PAGE)
        for verb in names_in(verbs)
        if verb in VERBS
    }
    assert rows == {verb: row.members for verb, row in VERBS.items()}


@pytest.mark.parametrize(
    "name", [name for name in dir(Faults) if callable(getattr(Faults, name)) and name[0] != "_"]
)
def test_every_fault_is_on_the_page(name: str) -> None:
    if name not in FOR_WHO_ANSWERS:
        assert re.search(rf"[.`]{name}\(", PAGE)
