"""The simulations as they were before the bugs were planted. Rule: a change of theirs shows in the table.

Bugs are scored by tests that were not written for them. Two groups of files are followed: what the worlds of the
core need, with the checker that both simulations share, and the worlds of whole workers. Both were widened behind
the first round, by what it had shown, and frozen again for the second one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proof.mutants.mutant import CHECKOUT

FIRST_FROZEN_COMMIT = "d3cef3ae2d433eeb06eb1933d1120dc6e7856fdf"
FROZEN_COMMIT = "5c9aae88095e3cab69226020ecc042d3586bccfa"


@dataclass(frozen=True, slots=True)
class Group:
    """Files that make up a simulation. `frozen` is their digest in `FROZEN_COMMIT`."""

    name: str
    patterns: tuple[str, ...]
    frozen: str

    def digest(self) -> str:
        """Of the files as they are here."""
        paths = {path for pattern in self.patterns for path in CHECKOUT.glob(pattern)}
        return digest_of({_name(path): path.read_bytes() for path in paths})

    @property
    def row(self) -> str:
        """One line of the table."""
        now = self.digest()
        since = "as it was" if now == self.frozen else f"has changed since (was {self.frozen})"
        return f"{self.name}: {now}, {since}"


def _name(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def digest_of(files: Mapping[str, bytes]) -> str:
    """One short digest of names and contents, in the order of the names."""
    whole = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        whole.update(f"{name} {len(content)}\0".encode() + content)
    return whole.hexdigest()[:16]


GROUPS = (
    Group(
        "worlds of the core, and the checker",
        (
            "tests/simulation/*.py",
            "tests/proof/checker.py",
            "tests/proof/facts.py",
            "tests/proof/invariants/*.py",
        ),
        "e626d3088250fcd8",
    ),
    Group(
        "worlds of whole workers",
        ("tests/proof/[!ct]*.py",),
        "6234d6e13589b34d",
    ),
)
