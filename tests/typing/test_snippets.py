"""The public types hold under `mypy --strict`: each `# E: code` in a snippet is expected, no other."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

SNIPPETS = Path(__file__).parent / "snippets"
REPORTED = re.compile(
    r"(?P<file>[^:]+\.py):(?P<line>\d+): error: (?P<text>.*)\[(?P<code>[\w-]+)\]$"
)
MARKED = re.compile(r"# E: (?P<code>[\w-]+)$")


def expected(files: list[Path]) -> set[tuple[str, int, str]]:
    return {
        (file.name, number, mark["code"])
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if (mark := MARKED.search(line))
    }


def test_the_snippets_have_exactly_the_errors_that_they_mark(tmp_path: Path) -> None:
    files = sorted(SNIPPETS.glob("*.py"))
    options = ["--strict", "--config-file=", "--no-error-summary", "--hide-error-context"]
    out, complaint, _ = api.run(
        [*options, f"--cache-dir={tmp_path}", "--python-version=3.11", *map(str, files)]
    )
    assert complaint == ""
    found = {
        (Path(match["file"]).name, int(match["line"]), match["code"])
        for line in out.splitlines()
        if (match := REPORTED.match(line))
    }
    assert found == expected(files), out
