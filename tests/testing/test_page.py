"""Every block of "Test your triggers" runs, as a newcomer runs it: files in one folder, and pytest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def written(folder: Path) -> list[str]:
    """Write the files of the page; their names."""
    names = []
    for language, text in BLOCK.findall(PAGE):
        if language in ("python", "py"):
            name = text.partition("\n")[0].removeprefix("# ")
            assert re.fullmatch(r"[a-z_]+\.py", name), (
                f"a block without the name of its file: {text}"
            )
            (folder / name).write_text(text, encoding="utf-8")
            names.append(name)
    return names


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", *words],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{CHECKOUT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    names = written(tmp_path)
    assert names == [
        *("app.py", "test_handlers.py", "test_stream.py", "test_chaos.py", "test_contract.py")
    ]
    plugin = ("-p", "no:triggerkit", "-p", "triggerkit.testing.plugin")
    done = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", *plugin)
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "failures.jsonl").exists()


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    written(tmp_path)
    [text] = [text for language, text in BLOCK.findall(PAGE) if language == "console"]
    for line in text.splitlines():
        done = run(tmp_path, *line.removeprefix("$ ").split())
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("20 worlds: ")


def test_every_fault_is_on_the_page() -> None:
    from triggerkit.testing.faults import FAULTS

    assert [name for name in FAULTS if not re.search(rf"\b{name}\b", PAGE)] == []
