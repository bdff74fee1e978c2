"""Which programs are judged: versions, where they come from, which script drives them.

Each version has an environment of its own, made by `pip` from pinned requirements when it is first
needed; nothing of a subject is kept in this repository.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from outside.stage import Service

DRIVERS = Path(__file__).parent / "drivers"
OURS = "triggerkit"
BOTO3 = "boto3==1.34.131"


@dataclass(frozen=True, slots=True)
class Subject:
    """One version of one program.

    `pace` is how many seconds pass for it in one second of the machine, `patience_seconds` how long (of
    the machine's) the judge waits for one more record.
    """

    project: str
    version: str
    service: Service
    driver: str
    requirements: tuple[str, ...] = ()
    pace: float = 1.0
    patience_seconds: float = 3.0
    workers: int = 1

    @property
    def name(self) -> str:
        """As the table's head shows it."""
        return f"{self.project} {self.version}".strip()


def bloop(version: str, *more: str) -> Subject:
    return Subject(
        "bloop",
        version,
        Service.DYNAMODB,
        "with_bloop.py",
        (f"bloop=={version}", BOTO3, *more),
        pace=20.0,
    )


def async_kinesis(version: str, *more: str, workers: int = 2) -> Subject:
    return Subject(
        "async-kinesis",
        version,
        Service.KINESIS,
        "with_async_kinesis.py",
        (f"async-kinesis=={version}", *more),
        pace=10.0,
        patience_seconds=12.0,
        workers=workers,
    )


def tutorial(service: Service) -> Subject:
    return Subject("boto3", "loop", service, "tutorial.py", (BOTO3,), pace=20.0)


def ours(service: Service) -> Subject:
    return Subject(OURS, "", service, "with_triggerkit.py", patience_seconds=60.0, workers=2)


SUBJECTS = (
    tutorial(Service.DYNAMODB),
    bloop("2.0.0", "blinker==1.8.2"),
    bloop("2.4.0", "blinker==1.8.2"),
    bloop("3.1.1", "blinker==1.8.2"),
    ours(Service.DYNAMODB),
    tutorial(Service.KINESIS),
    async_kinesis("1.2.1", "aiobotocore==2.25.1", workers=1),
    async_kinesis("2.2.5", "aioboto3==15.5.0"),
    async_kinesis("3.0.1", "aioboto3==15.5.0"),
)


def interpreter_of(subject: Subject, environments: Path) -> Path:
    """Return the interpreter that has a subject installed; it is installed when it is not there yet.

    Raises:
        RuntimeError: pip failed; says what it printed.
    """
    if not subject.requirements:
        return Path(sys.executable)
    place = environments / subject.name.replace(" ", "-")
    interpreter = place / "bin" / "python"
    done = place / "installed"
    if done.exists():
        return interpreter
    venv.create(place, with_pip=True, clear=True)
    # Old releases want releases that this Python cannot run; all that they need is named instead.
    package, *needs = subject.requirements
    _pip(interpreter, *needs, *([] if needs else [package]))
    _pip(interpreter, "--no-deps", package)
    done.touch()
    return interpreter


def _pip(interpreter: Path, *arguments: str) -> None:
    command = [str(interpreter), "-m", "pip", "install", "--quiet", *arguments]
    command.append("--disable-pip-version-check")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
