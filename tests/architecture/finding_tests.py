"""Which tests show which finding of docs/findings-2026-12-01.md: those whose names carry its id.

To write their files into the page: `PYTHONPATH=tests python -m architecture.finding_tests`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from architecture.package_tree import CHECKOUT, suite

PAGE = CHECKOUT / "docs/findings-2026-12-01.md"
COUNTS = {"A": 5, "B": 10, "C": 8, "D": 3, "E": 6, "F": 10, "G": 3}
IDS = tuple(f"{kind}{number}" for kind, count in COUNTS.items() for number in range(1, count + 1))
ROW = re.compile(r"^\| ([A-G]\d+) \| (.+?) \| (.*?) ?\|$", re.MULTILINE)
CITING_RULES = {
    f"tests/core/{name}.py"
    for name in ("test_batches", "test_consumer", "test_failure", "test_reading")
}
"""In these files `test_b4_` is about rule B-4 of docs/lambda-contract.md."""


def named_tests() -> Mapping[str, dict[str, list[str]]]:
    """By finding: the names of its tests, by file."""
    found: dict[str, dict[str, list[str]]] = {}
    for source in suite():
        if source.place in CITING_RULES:
            continue
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", source.text, re.MULTILINE):
            for spelt in re.findall(r"[a-g]\d+(?=_)", re.match(r"test_((?:[a-g]\d+_)*)", name)[1]):
                found.setdefault(spelt.upper(), {}).setdefault(source.place, []).append(name)
    return found


def with_files(text: str) -> str:
    """`text` with the third column made anew."""
    found = named_tests()

    def row(match: re.Match[str]) -> str:
        files = (
            f"[{path.rpartition('/')[2]}](../{path})" for path in sorted(found.get(match[1], {}))
        )
        return f"| {match[1]} | {match[2]} | {', '.join(files)} |"

    return ROW.sub(row, text)


def main() -> None:
    """Write the page."""
    PAGE.write_text(with_files(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
