"""Every block of "Test your triggers" runs, as a newcomer runs it: files in one folder, and pytest."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from e2e.harness import DUMMY_ACCESS, serving

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def written(folder: Path) -> list[str]:
    """Write the files of the page; their names."""
    names = []
    for language, text in BLOCK.findall(PAGE):
        if language == "python":
            name = text.partition("\n")[0].removeprefix("# ")
            assert re.fullmatch(r"[a-z_]+\.py", name), (
                f"a block without the name of its file: {text}"
            )
            (folder / name).write_text(text, encoding="utf-8")
            names.append(name)
    return names


def commands(name: str) -> list[list[str]]:
    """The words of each command of that name in a console block."""
    texts = [text for language, text in BLOCK.findall(PAGE) if language == "console"]
    lines = [line.removeprefix("$ ").split() for text in texts for line in text.splitlines()]
    return [words for words in lines if words[1] == name]


def run(
    folder: Path, *words: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", *words],
        cwd=folder,
        env={
            "PYTHONPATH": f"{folder}:{CHECKOUT}",
            "PATH": "/usr/bin:/bin",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )


def record(folder: Path) -> None:
    """Make the cassette by the command of the page, from a table of orders."""
    with serving() as tables:
        for status in ("new", "paid", "packed"):
            for number in range(4):
                item = {
                    "id": {"S": str(number)},
                    "status": {"S": status},
                    "email": {"S": "ann.smith@shop.example"},
                    "address": {"M": {"street": {"S": "Elm Street"}}},
                }
                tables.emulator.call("PutItem", {"TableName": "orders", "Item": item})
            tables.emulator.split("orders")
        environment = {**DUMMY_ACCESS, "AWS_ENDPOINT_URL": tables.server.endpoint_url}
        [words] = commands("record")
        done = run(folder, *words, environment=environment)
    assert done.returncode == 0, done.stderr
    assert "recorded 12 records" in done.stderr
    assert "warning" not in done.stderr
    text = gzip.decompress((folder / "orders.jsonl.gz").read_bytes())
    assert b"ann.smith" not in text
    assert b"Elm" not in text


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    names = written(tmp_path)
    assert names == [
        *("app.py", "test_handlers.py", "test_stream.py", "test_chaos.py"),
        *("test_recorded.py", "test_contract.py"),
    ]
    record(tmp_path)
    plugin = ("-p", "no:triggerkit", "-p", "triggerkit.testing.plugin")
    done = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", *plugin)
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "failures.jsonl").exists()


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    written(tmp_path)
    record(tmp_path)
    for words in commands("simulate"):
        done = run(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("20 worlds: ")


def test_every_fault_is_on_the_page() -> None:
    from triggerkit.testing.faults import FAULTS

    assert [name for name in FAULTS if not re.search(rf"\b{name}\b", PAGE)] == []
