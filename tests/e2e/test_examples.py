"""Every example runs as its first lines say, in a real worker against the embedded endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from components import dummy_client

from triggerkit.emulator import Emulator, RealClock, serve

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, table: str, items: list[dict[str, Any]], folder: Path) -> tuple[int, str]:
    """Write `items`, run the example to the tip, and return its exit code and its log."""
    with serve(Emulator(clock=RealClock())) as server:
        client = dummy_client("dynamodb", server.endpoint_url)
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        for item in items:
            client.put_item(TableName=table, Item=item)
        environ = os.environ | {
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        example = str(EXAMPLES / f"{name}.py")
        command = [
            sys.executable,
            "-m",
            "triggerkit",
            "run",
            example,
            "--burst",
            "--state",
            "memory:",
        ]
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60
        )
    return done.returncode, done.stderr


def test_hello_prints_every_change(tmp_path: Path) -> None:
    code, log = run("hello", "user_table", [{"id": {"S": "u1"}}, {"id": {"S": "u2"}}], tmp_path)
    assert code == 0, log
    assert "INSERT {'id': {'S': 'u1'}}" in log
    assert "INSERT {'id': {'S': 'u2'}}" in log


def test_retries_and_bisect_gives_up_the_bad_order_alone(tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [{"id": {"S": f"o{n}"}, "cents": {"N": str(n)}} for n in range(4)]
    del items[2]["cents"]
    code, log = run("retries_and_bisect", "orders", items, tmp_path)
    assert code == 12, log
    for number in (0, 1, 3):
        assert f"billed o{number}: {number}" in log
    (line,) = (tmp_path / "failures.jsonl").read_text().splitlines()
    payload = json.loads(json.loads(line)["payload"])
    assert [r["dynamodb"]["Keys"]["id"]["S"] for r in payload["Records"]] == ["o2"]


def test_partial_response_gives_up_from_the_reported_record(tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [{"id": {"S": "s1"}, "sku": {"S": "a"}}, {"id": {"S": "s2"}}]
    code, log = run("partial_response", "stock", items, tmp_path)
    assert code == 12, log
    (line,) = (tmp_path / "failures.jsonl").read_text().splitlines()
    document = json.loads(line)
    assert document["DDBStreamBatchInfo"]["batchSize"] == 1
    assert document["requestContext"]["approximateInvokeCount"] == 4


def test_resources_are_handed_out(tmp_path: Path) -> None:
    items = [{"id": {"S": "u1"}, "email": {"S": "u1@example.com"}}]
    code, log = run("resources", "users", items, tmp_path)
    assert code == 0, log
    assert "to u1@example.com: welcome" in log


def test_every_example_is_run_here() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {"hello", "partial_response", "resources", "retries_and_bisect"}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_an_example_says_how_it_is_run(name: str) -> None:
    assert f"triggerkit run examples/{name}.py" in (EXAMPLES / f"{name}.py").read_text()
