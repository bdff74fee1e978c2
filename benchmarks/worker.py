"""The whole worker beside a plain boto3 loop on the same server, in the same run.

Fills a table of DynamoDB Local with records of 1 KB, then reads its stream from the trim horizon with
(a) `triggerkit run --burst` and a handler that does nothing, at batch sizes 100 and 1000, poll to saved
checkpoint, and (b) a loop of boto3's `get_records` that calls the same handler. Each runs in a process of
its own; the clock runs from the first call of the handler to the last.

    python benchmarks/worker.py [--records 20000] [--rounds 3] [--emulator]

Printed: CPU microseconds a record and records a second of each, and the ratio to boto3.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from components import dummy_client, running_dynamodb_local

APP = """
import json, os, time
from triggerkit import Triggers
handlers = Triggers("bench")
seen = 0
marks = []

@handlers.on("dynamodb://bench", maximum_retry_attempts=0)
def bench(event, context):
    global seen
    seen += len(event["Records"])
    marks.append((seen, time.process_time(), time.monotonic()))
    if seen >= int(os.environ["BENCH_RECORDS"]):
        first, last = marks[0], marks[-1]
        records, cpu, wall = (b - a for a, b in zip(first, last))
        with open(os.environ["BENCH_RESULT"], "w") as stream:
            json.dump({"records": records, "cpu": cpu, "wall": wall}, stream)
"""

LOOP = """
import os, boto3, app
client = boto3.client("dynamodbstreams")
arn = boto3.client("dynamodb").describe_table(TableName="bench")["Table"]["LatestStreamArn"]
shard = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
iterator = client.get_shard_iterator(
    StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
size = int(os.environ["BENCH_BATCH"])
while app.seen < int(os.environ["BENCH_RECORDS"]):
    page = client.get_records(ShardIterator=iterator, Limit=1000)
    iterator = page["NextShardIterator"]
    for start in range(0, len(page["Records"]), size):
        app.bench({"Records": page["Records"][start:start + size]}, None)
"""


@contextmanager
def server(*, emulator: bool) -> Iterator[str]:
    """The endpoint URL of a running server."""
    if not emulator:
        with running_dynamodb_local() as local:
            yield local.endpoint_url
        return
    code = (
        "import sys, time; from triggerkit.emulator import *;"
        "s = serve(Emulator(clock=RealClock())); print(s.endpoint_url, flush=True); time.sleep(3600)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
    finally:
        child.kill()
        child.wait()


def fill(endpoint_url: str, records: int) -> None:
    """Create the table and write one item a record, about 1 KB each in the stream."""
    client = dummy_client("dynamodb", endpoint_url)
    client.create_table(
        TableName="bench",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    item = {f"field{n}": {"S": "x" * 60} for n in range(8)} | {
        f"n{n}": {"N": str(n)} for n in range(4)
    }
    for start in range(0, records, 25):
        puts = [
            {"PutRequest": {"Item": {"id": {"S": f"item-{n}"}, **item}}}
            for n in range(start, min(start + 25, records))
        ]
        client.batch_write_item(RequestItems={"bench": puts})


def measure(
    kind: str, batch: int, endpoint_url: str, records: int, folder: Path
) -> dict[str, float]:
    """Run one reader in a process of its own."""
    result = folder / f"{kind}-{batch}.json"
    result.unlink(missing_ok=True)
    state = folder / f"{kind}-{batch}.db"
    for file in folder.glob(f"{state.name}*"):
        file.unlink()
    environ = os.environ | {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "BENCH_RECORDS": str(records),
        "BENCH_RESULT": str(result),
        "BENCH_BATCH": str(batch),
        "PYTHONPATH": str(folder),
    }
    if kind == "boto3":
        command = [sys.executable, "loop.py"]
    else:
        command = [
            *(sys.executable, "-m", "triggerkit", "run", "app:handlers", "--burst", "-q"),
            *("--state", f"sqlite:///{state}", "--set", f"bench.batch_size={batch}"),
        ]
    subprocess.run(command, cwd=folder, env=environ, check=True)
    measured: dict[str, float] = json.loads(result.read_text())
    return measured


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--emulator", action="store_true")
    given = parser.parse_args()
    with server(emulator=given.emulator) as endpoint_url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        (folder / "loop.py").write_text(LOOP)
        fill(endpoint_url, given.records)
        print(f"{given.records} records, {given.rounds} rounds, medians")
        print(
            f"{'batch':>6} {'reader':<11} {'CPU us/record':>14} {'records/s':>10} {'CPU ratio':>10}"
        )
        for batch in (100, 1000):
            runs: dict[str, list[dict[str, float]]] = {"boto3": [], "triggerkit": []}
            for _ in range(given.rounds):
                for kind, results in runs.items():
                    results.append(measure(kind, batch, endpoint_url, given.records, folder))
            peer = statistics.median(r["cpu"] / r["records"] for r in runs["boto3"])
            for kind, results in runs.items():
                cpu = statistics.median(r["cpu"] / r["records"] for r in results)
                rate = statistics.median(r["records"] / r["wall"] for r in results)
                print(f"{batch:>6} {kind:<11} {cpu * 1e6:>14.1f} {rate:>10.0f} {peer / cpu:>9.1f}x")


if __name__ == "__main__":
    main()
