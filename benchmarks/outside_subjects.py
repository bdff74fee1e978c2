"""Other projects' stream readers, from PyPI, on the engine of triggerkit; triggerkit beside them.

Plays each scenario of `outside/scenarios.py` for each subject and seed: the engine answers over HTTP on
loopback, the subject runs in a process and an environment of its own, one judge compares what was written
with what was handed over.

    python benchmarks/outside_subjects.py [--seeds 3] [--only bloop] [--scenario late] [--keep FOLDER]

Printed: a table a service, what each subject lost, got out of order, twice, or raised; behind it the bugs
that the projects have published, and whether they showed up.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from outside.processes import ProcessCrew
from outside.report import Outcomes, print_tables
from outside.scenarios import SCENARIOS, Scenario
from outside.stage import Stage
from outside.subjects import SUBJECTS, Subject, interpreter_of


def main() -> None:
    arguments = read_arguments()
    subjects = [each for each in SUBJECTS if arguments.only in each.name]
    scenarios = [each for each in SCENARIOS if arguments.scenario in each.name]
    outcomes: Outcomes = {}
    with ExitStack() as stack:
        folder = arguments.keep or stack.enter_context(tempfile.TemporaryDirectory())
        interpreters = {each.name: interpreter_of(each, Path(folder)) for each in subjects}
        pool = stack.enter_context(ThreadPoolExecutor(arguments.parallel))
        worlds = [
            (subject, scenario, seed)
            for scenario in scenarios
            for subject in subjects
            for seed in range(1, arguments.seeds + 1)
            if subject.service in scenario.services and scenario.workers <= subject.workers
        ]

        def play(world: tuple[Subject, Scenario, int]) -> None:
            subject, scenario, seed = world
            with ProcessCrew(subject, interpreters[subject.name], scenario, seed) as crew:
                stage = Stage(crew, subject.service, seed, scenario.shards)
                scenario.play(stage)
                verdict = stage.verdict()
                outcomes.setdefault((subject, scenario.name), []).append(verdict)
                told = f"{scenario.name}, {subject.name}, seed {seed}: {verdict}"
                print(told, file=sys.stderr, flush=True)
                if arguments.logs:
                    print(crew.log, file=sys.stderr, flush=True)

        list(pool.map(play, worlds))
    print_tables(subjects, scenarios, outcomes)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="subjects whose name has this")
    parser.add_argument("--scenario", default="", help="scenarios whose name has this")
    parser.add_argument("--keep", help="a folder that keeps the environments for the next run")
    parser.add_argument("--parallel", type=int, default=3, help="worlds at a time")
    parser.add_argument("--logs", action="store_true", help="show what the subjects printed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
