"""The tables. A cell combines all seeds of a world and says in how many of them something was seen."""

from __future__ import annotations

from collections.abc import Sequence

from outside.judge import Verdict
from outside.published import PUBLISHED, Published
from outside.scenarios import Scenario
from outside.stage import Service
from outside.subjects import Subject

Outcomes = dict[tuple[Subject, str], list[Verdict]]


def print_tables(
    subjects: Sequence[Subject], scenarios: Sequence[Scenario], outcomes: Outcomes
) -> None:
    for service in Service:
        columns = [each for each in subjects if each.service is service]
        rows = [each for each in scenarios if service in each.services]
        if not columns or not rows:
            continue
        print(f"\n### {service.value}\n")
        print(_row("scenario", [column.name for column in columns]))
        print(_row("---", ["---"] * len(columns)))
        for row in rows:
            print(_row(row.name, [cell(outcomes.get((c, row.name), [])) for c in columns]))
    _print_published(subjects, outcomes)


def _print_published(subjects: Sequence[Subject], outcomes: Outcomes) -> None:
    rows = []
    for bug in PUBLISHED:
        told = {
            subject.version: _shows(bug, verdicts)
            for subject in subjects
            if subject.project == bug.project
            and (verdicts := outcomes.get((subject, bug.scenario), []))
        }
        seen = ", ".join(version for version, shows in told.items() if shows) or "-"
        unseen = ", ".join(version for version, shows in told.items() if not shows) or "-"
        cells = [bug.number, bug.tells, bug.fixed or "-", bug.scenario, seen, unseen]
        rows += [_row(bug.project, cells)] if told else []
    if rows:
        print("\n### Published bugs\n")
        print(
            _row("project", ["thread", "what it says", "fixed in", "scenario", "seen", "not seen"])
        )
        print(_row("---", ["---"] * 6))
        print("\n".join(rows))


def _shows(bug: Published, verdicts: Sequence[Verdict]) -> bool:
    return any(bug.sign in str(verdict) for verdict in verdicts)


def cell(verdicts: Sequence[Verdict]) -> str:
    """What the seeds of one scenario came to for one subject."""
    bad = [verdict for verdict in verdicts if not verdict.is_clean]
    twice = [verdict.duplicates for verdict in verdicts if verdict.duplicates]
    told = [
        f"{name} {_range(counts)}"
        for name, counts in (
            ("lost", [v.lost for v in bad if v.lost]),
            ("unreached", [v.unreached for v in bad if v.unreached]),
            ("out of order", [v.late for v in bad if v.late]),
        )
        if counts
    ]
    raised = dict.fromkeys(name for verdict in bad for name in verdict.raised)
    told += [f"raised {name}" for name in raised]
    if bad and len(bad) < len(verdicts):
        told[-1] += f" ({len(bad)} of {len(verdicts)} seeds)"
    if not told:
        told.append("ok" if verdicts else "-")
    if twice:
        told.append(f"twice {_range(twice)}")
    return ", ".join(told)


def _range(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    return str(most) if least == most else f"{least} to {most}"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join((name, *cells))} |"
