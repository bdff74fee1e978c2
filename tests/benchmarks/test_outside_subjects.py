"""The judge of the outside subjects: it finds what is planted, and triggerkit passes all scenarios."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from benchmarks.toy import Fault, Toy
from outside.judge import Judge, Verdict
from outside.published import PUBLISHED, Published
from outside.report import cell
from outside.scenarios import SCENARIOS, Scenario
from outside.simulated import SimulatedCrew
from outside.stage import Service, Stage
from outside.subjects import SUBJECTS

CHECKOUT = Path(__file__).resolve().parents[2]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
OF_TABLES = [each for each in SCENARIOS if Service.DYNAMODB in each.services]


def play(scenario: Scenario, fault: Fault) -> Verdict:
    stage = Stage(Toy(fault, scenario.position), Service.DYNAMODB, 1, scenario.shards)
    scenario.play(stage)
    return stage.verdict()


@pytest.mark.parametrize("scenario", OF_TABLES, ids=lambda each: each.name)
def test_triggerkit_loses_nothing_and_keeps_the_order(scenario: Scenario) -> None:
    seed = 1
    with SimulatedCrew(scenario, seed) as crew:
        stage = Stage(crew, Service.DYNAMODB, seed, scenario.shards)
        scenario.play(stage)
        verdict = stage.verdict()
    assert verdict.is_clean, f"seed {seed}: {verdict}"


@pytest.mark.parametrize(
    "name",
    ["steady", "split unread", "roll chain", "roll while reading", "expired, busy", "crash"],
)
def test_a_right_reader_is_found_to_be_right(name: str) -> None:
    assert play(BY_NAME[name], Fault.NONE) == Verdict()


@pytest.mark.parametrize(
    ("fault", "name", "sign"),
    [
        (Fault.LAST_PAGE_DROPPED, "roll while reading", "lost"),
        (Fault.CHILDREN_AT_ONCE, "long backlog", "out of order"),
        (Fault.NO_CHILDREN, "roll when drained", "unreached"),
        (Fault.CHILDREN_AT_TIP, "rolled from the tip", "lost"),
        (Fault.EMPTY_IS_END, "empty pages", "unreached"),
        (Fault.RAISES, "expired, busy", "raised ExpiredIteratorException"),
        (Fault.SAVES_TOO_EARLY, "crash", "lost"),
    ],
    ids=lambda each: each.name if isinstance(each, Fault) else each,
)
def test_a_planted_fault_is_found(fault: Fault, name: str, sign: str) -> None:
    verdict = play(BY_NAME[name], fault)
    assert sign in str(verdict)
    assert not verdict.is_clean


def test_a_record_is_lost_once_a_later_one_of_its_key_has_come() -> None:
    judge = Judge()
    first, second, other = judge.write("a"), judge.write("a"), judge.write("b")
    judge.deliver(second)
    assert judge.verdict() == Verdict(lost=1, unreached=1)
    judge.deliver(first)
    judge.deliver(other)
    judge.deliver(other)
    assert judge.verdict() == Verdict(late=1, duplicates=1)


def test_probes_and_what_was_forgiven_are_not_counted() -> None:
    judge = Judge()
    judge.write("a")
    judge.forgive()
    record = judge.write("a")
    judge.write("a", is_probe=True)
    assert judge.owed == 2
    judge.deliver(record)
    assert judge.verdict() == Verdict()


def test_a_cell_tells_in_how_many_seeds_something_went_wrong() -> None:
    verdicts = [Verdict(duplicates=2), Verdict(lost=3), Verdict(lost=5, raised=("KeyError",))]
    assert cell(verdicts) == "lost 3 to 5, raised KeyError (2 of 3 seeds), twice 2"
    assert cell([Verdict(), Verdict()]) == "ok"


@pytest.mark.parametrize("bug", PUBLISHED, ids=lambda each: each.number)
def test_every_published_bug_names_a_scenario_and_a_subject(bug: Published) -> None:
    assert bug.scenario in BY_NAME
    assert bug.project in {subject.project for subject in SUBJECTS}


def test_the_page_tells_of_every_scenario_subject_and_published_bug() -> None:
    page = (CHECKOUT / "docs" / "outside-subjects.md").read_text(encoding="utf-8")
    assert [each for each in SCENARIOS if f"| {each.name} | {each.tells} |" not in page] == []
    assert [each for each in SUBJECTS if each.version not in page] == []
    assert [each for each in PUBLISHED if f"| {each.number} | {each.tells} |" not in page] == []
