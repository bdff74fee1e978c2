"""The whole worker beside a plain boto3 loop on the same server, in the same run.

Fills a table of DynamoDB Local with records of 1 KB, then reads its stream from the trim horizon with
(a) `triggerkit run --burst` and a handler that does nothing, at batch sizes 1, 100 and 1000, poll to saved
checkpoint, and (b) a loop of boto3's `get_records` that calls the same handler and saves nothing. Each runs in a
process of its own; the clock runs from the first call of the handler to the last.

    python benchmarks/worker.py [--records 20000] [--rounds 3] [--emulator]

Printed: CPU microseconds a record and records a second of each, and the ratio to boto3; which threads the time goes
to; and, of all sizes together, what a record costs and what a call.
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
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from components import dummy_client, running_dynamodb_local

BATCHES = (1, 100, 1000)

APP = """
import json, os, threading, time
from triggerkit import Triggers
handlers = Triggers("bench")
seen = 0
marks = []
threads = []

def thread_seconds():
    found = {}
    for thread in threading.enumerate():
        if thread.ident:
            clock = time.pthread_getcpuclockid(thread.ident)
            found[thread.name] = time.clock_gettime(clock)
    return found

@handlers.on("dynamodb://bench", maximum_retry_attempts=0)
def bench(event, context):
    global seen
    seen += len(event["Records"])
    if not marks:
        threads.append(thread_seconds())
    marks.append((seen, time.process_time(), time.monotonic()))
    if seen >= int(os.environ["BENCH_RECORDS"]):
        first, last = marks[0], marks[-1]
        records, cpu, wall = (b - a for a, b in zip(first, last))
        before, now = threads[0], thread_seconds()
        spent = {name: used - before.get(name, 0.0) for name, used in now.items()}
        with open(os.environ["BENCH_RESULT"], "w") as stream:
            json.dump({"records": records, "cpu": cpu, "wall": wall, "threads": spent}, stream)
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


def measure(kind: str, batch: int, endpoint_url: str, records: int, folder: Path) -> dict[str, Any]:
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
    measured: dict[str, Any] = json.loads(result.read_text())
    return measured


def by_thread(run: dict[str, Any]) -> str:
    """Where the CPU time went: the loop, the handler's thread, the store's, and so on."""
    spent = sorted(run["threads"].items(), key=lambda one: -one[1])
    each = (f"{name} {seconds / run['records'] * 1e6:.1f}" for name, seconds in spent)
    return ", ".join([one for one in each if not one.endswith(" 0.0")][:5])


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
        cost: dict[int, float] = {}
        for batch in BATCHES:
            runs: dict[str, list[dict[str, Any]]] = {"boto3": [], "triggerkit": []}
            for _ in range(given.rounds):
                for kind, results in runs.items():
                    results.append(measure(kind, batch, endpoint_url, given.records, folder))
            peer = statistics.median(r["cpu"] / r["records"] for r in runs["boto3"])
            for kind, results in runs.items():
                cpu = statistics.median(r["cpu"] / r["records"] for r in results)
                rate = statistics.median(r["records"] / r["wall"] for r in results)
                print(f"{batch:>6} {kind:<11} {cpu * 1e6:>14.1f} {rate:>10.0f} {peer / cpu:>9.2f}x")
                cost[batch] = cpu * 1e6
            print(f"{'':>6} by thread, us a record: {by_thread(runs['triggerkit'][-1])}")
        call = (cost[BATCHES[0]] - cost[BATCHES[-1]]) / (1 / BATCHES[0] - 1 / BATCHES[-1])
        print(f"triggerkit: {cost[BATCHES[0]] - call:.1f} us a record and {call:.0f} us a call")


if __name__ == "__main__":
    main()
