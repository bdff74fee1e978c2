"""The public types hold under `mypy --strict`: each `# E: code` in a snippet is expected, no other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
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
        if (match := REPORTED.match(line)) and Path(match["file"]).parent.name == SNIPPETS.name
    }
    assert found == expected(files), out


def test_pyright_accepts_and_refuses_the_same_lines() -> None:
    beside = Path(sys.executable).with_name("pyright")
    pyright = str(beside) if beside.exists() else shutil.which("pyright")
    if pyright is None:
        pytest.skip("pyright is not installed: pip install pyright")
    files = sorted(SNIPPETS.glob("typed_handlers*.py"))
    done = subprocess.run(
        [pyright, "--outputjson", "--pythonpath", sys.executable, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    found = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in json.loads(done.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    }
    assert found == {(name, line) for name, line, _ in expected(files)}, done.stdout
