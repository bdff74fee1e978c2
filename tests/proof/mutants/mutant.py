"""One planted bug. The text that it replaces stands exactly once in one file, so it cannot miss its place."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
PACKAGE = CHECKOUT / "triggerkit"


class PlantingFault(Exception):  # noqa: N818 - the catalogue is wrong, not the package
    """The bug cannot be planted as it is written."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug that somebody could write, or did, here or elsewhere.

    `file` is its place below the package, `real` the text there and `planted` what stands there instead; `harm` is
    what it would do to a user if nothing else stood in its way. `tests` are the files that must find it when no
    world does; empty, those that belong to `file` do.
    """

    name: str
    file: str
    real: str
    planted: str
    harm: str
    tests: tuple[str, ...] = ()

    def applied(self) -> str:
        """The text of the file with the bug in it.

        Raises:
            PlantingFault: the real text does not stand there exactly once, or Python cannot read the result.
        """
        text = (PACKAGE / self.file).read_text(encoding="utf-8")
        found = text.count(self.real)
        if found != 1:
            raise PlantingFault(
                f"mutant no longer applies: {self.name!r} looks for this in {self.file}"
                f" and finds it {found} times; write the bug anew:\n{self.real}"
            )
        mutated = text.replace(self.real, self.planted)
        try:
            compile(mutated, self.file, "exec")
        except SyntaxError as error:
            raise PlantingFault(f"{self.name!r} is no Python: {error}") from error
        return mutated

    def plant(self, folder: Path) -> None:
        """Copy the package below `folder`, with the bug in it."""
        copy = folder / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / self.file).write_text(self.applied(), encoding="utf-8")
