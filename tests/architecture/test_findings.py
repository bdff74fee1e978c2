"""Every finding has a row in its page, and tests that carry its id."""

from __future__ import annotations

from architecture.finding_tests import IDS, PAGE, ROW, named_tests
from architecture.package_tree import findings


def test_f1_every_finding_has_a_row() -> None:
    assert tuple(row[0] for row in ROW.findall(PAGE.read_text(encoding="utf-8"))) == IDS


def test_f1_every_finding_has_a_test_with_its_id() -> None:
    found = named_tests()
    assert [one for one in IDS if one not in found] == []
    assert sorted(set(found) - set(IDS)) == [], "no finding has that id"


def test_f1_the_files_of_a_row_have_tests_of_that_finding() -> None:
    found = named_tests()
    bad = []
    for finding, _, files in ROW.findall(PAGE.read_text(encoding="utf-8")):
        paths = [part.partition("](../")[2].rstrip(")") for part in files.split(", ")]
        bad += [f"{finding}: {path!r}" for path in paths if path not in found.get(finding, {})]
    assert not bad, f"run: PYTHONPATH=tests python -m architecture.finding_tests{findings(bad)}"
