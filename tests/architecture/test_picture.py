"""The phases in the documentation are those of the code."""

from __future__ import annotations

from architecture.picture import BEGIN, END, PAGE, phases_picture, with_picture

from triggerkit.core.phases import TRANSITIONS


def test_the_picture_of_the_phases_is_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    assert text == with_picture(text), "run python tests/architecture/picture.py"


def test_the_picture_has_one_line_a_transition() -> None:
    lines = phases_picture().splitlines()
    assert (lines[0], lines[-1]) == ("```text", "```")
    assert lines[1] == "running   -- stop asked ------->  draining"
    assert len(set(lines[1:-1])) == len(TRANSITIONS)
