"""Every block of "Triggers inside a program of your own" runs: files of one folder, pytest, and the script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from components import dummy_client

from triggerkit.emulator import Emulator, RealClock, serve

PAGE = (Path(__file__).parents[1] / "docs" / "worker.md").read_text(encoding="utf-8")
CHECKOUT = str(Path(__file__).parents[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page."""
    for text in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        name = text.partition("\n")[0].removeprefix("# ")
        assert re.fullmatch(r"[a-z_]+\.py", name), f"a block without the name of its file: {text}"
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=folder,
        env={**kept, "PYTHONPATH": f"{folder}:{CHECKOUT}", **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_service_passes_its_test(folder: Path) -> None:
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_service.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_script_catches_up_and_ends(folder: Path) -> None:
    with serve(Emulator(clock=RealClock())) as server:
        client = dummy_client("dynamodb", server.endpoint_url)
        client.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        for number in range(3):
            client.put_item(TableName="orders", Item={"id": {"S": f"o-{number}"}})
        environ = {
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        done = run(folder, "catch_up.py", **environ)
        again = run(folder, "catch_up.py", **environ)
    assert done.stdout == "3 orders, 0 given up\n", done.stderr
    assert again.stdout == "0 orders, 0 given up\n", again.stderr
