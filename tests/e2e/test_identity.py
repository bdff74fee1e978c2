"""Two streams are never taken for one, and the state of older versions goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from e2e.harness import DUMMY_ACCESS, Done, Place, Tables, serving

FORMER_STATE = Path(__file__).with_name("state_of_fd29a40.sql")
FORMER_NAME = "dynamodb/orders/000000000000/us-east-1"
FORMER_LABEL = "2026-12-01T12_35_29.471"
FORMER_SHARD = "shardId-00000001796128529471-5bfc8784"
FORMER_NUMBER = "999999999999999995200"
BURST = ("run", "app:handlers", "--burst", "--state", "sqlite:///state.db")

TWO_ENDPOINTS = """
import os
from triggerkit import Triggers

handlers = Triggers("shop")

def note(name, event):
    for record in event["Records"]:
        print(name, record["dynamodb"]["Keys"]["id"]["S"])

@handlers.on("dynamodb://orders?endpoint_url=${FIRST}", starting_position="TRIM_HORIZON")
def first(event, context):
    note("first", event)

@handlers.on("dynamodb://orders?endpoint_url=${SECOND}", starting_position="TRIM_HORIZON")
def second(event, context):
    note("second", event)

@handlers.on("dynamodb://orders?endpoint_url=${FIRST}", "dynamodb://orders?endpoint_url=${SECOND}",
             starting_position="TRIM_HORIZON")
def both(event, context):
    note("both", event)
"""


def printed(done: Done) -> list[str]:
    return sorted(entry["message"] for entry in done.logs if entry["event"] == "handler_printed")


def lease_keys(place: Place) -> list[str]:
    with closing(sqlite3.connect(place.folder / "state.db")) as state:
        return [key for (key,) in state.execute("SELECT leaseKey FROM lease ORDER BY leaseKey")]


def test_a2_tables_of_one_name_on_two_endpoints_are_both_read(place: Place) -> None:
    place.write("app.py", TWO_ENDPOINTS)
    with serving() as here, serving() as there:
        place.environment |= {
            **DUMMY_ACCESS,
            "FIRST": here.server.endpoint_url,
            "SECOND": there.server.endpoint_url,
        }
        here.put("orders", "h1", "h2")
        there.put("orders", "t1")
        done = place.run(*BURST)
        assert done.code == 0
        expected = ["both h1", "both h2", "both t1", "first h1", "first h2", "second t1"]
        assert printed(done) == expected
        assert len(lease_keys(place)) == 4
        there.put("orders", "t2")
        assert printed(place.run(*BURST)) == ["both t2", "second t2"]


def first_record(tables: Tables, stream: str, shard: str) -> tuple[str, float]:
    """Its number, and when it was made."""
    asked = {"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = tables.emulator.call("GetShardIterator", asked)["ShardIterator"]
    page = tables.emulator.call("GetRecords", {"ShardIterator": iterator})
    change = page["Records"][0]["dynamodb"]
    return str(change["SequenceNumber"]), float(change["ApproximateCreationDateTime"])


def former_state(place: Place, tables: Tables) -> None:
    """What commit fd29a40 left behind after the first record of this endpoint's table."""
    stream = tables.emulator.call("DescribeTable", {"TableName": "orders"})["Table"]
    shards = tables.emulator.call("DescribeStream", {"StreamArn": stream["LatestStreamArn"]})
    (shard,) = shards["StreamDescription"]["Shards"]
    text = FORMER_STATE.read_text()
    number, at_seconds = first_record(tables, stream["LatestStreamArn"], shard["ShardId"])
    for former, today in (
        (FORMER_LABEL, stream["LatestStreamLabel"].replace(":", "_")),
        (FORMER_SHARD, shard["ShardId"]),
        (FORMER_NUMBER, number),
    ):
        assert former in text
        text = text.replace(former, today)
    with closing(sqlite3.connect(place.folder / "state.db")) as state:
        state.execute("PRAGMA journal_mode = WAL")
        state.executescript(text)
        state.execute("UPDATE lease SET tk_at = ?", (at_seconds,))
        state.commit()


def test_a2_a_state_file_of_an_older_version_goes_on_where_it_was(
    shop: Place, tables: Tables
) -> None:
    tables.put("orders", "first")
    former_state(shop, tables)
    tables.put("orders", "second")
    done = shop.run(*BURST)
    assert (done.code, printed(done)) == (0, ["billed second"])
    (adopted,) = (entry for entry in done.logs if entry["event"] == "state_adopted")
    name = f"{FORMER_NAME}/127.0.0.1_{tables.server.port}"
    assert (adopted["trigger"], adopted["former_source"], adopted["source"]) == (
        "bill",
        FORMER_NAME,
        name,
    )
    (key,) = lease_keys(shop)
    assert key.startswith(f"shop:bill:{name}:")
    tables.put("orders", "third")
    done = shop.run(*BURST)
    assert printed(done) == ["billed third"]
    assert "state_adopted" not in done.events


def test_a2_a_state_file_that_two_endpoints_claim_is_given_to_one_by_the_printed_command(
    shop: Place, tables: Tables
) -> None:
    app = (shop.folder / "app.py").read_text()
    both = '"dynamodb://orders", "dynamodb://orders?endpoint_url=${OTHER}"'
    shop.write("app.py", app.replace('"dynamodb://orders"', both))
    tables.put("orders", "first")
    former_state(shop, tables)
    with serving() as others:
        shop.environment["OTHER"] = others.server.endpoint_url
        others.put("orders", "elsewhere")
        before = lease_keys(shop)
        done = shop.run(*BURST)
        assert done.code == 4
        assert "took" in done.stderr
        assert "for one stream" in done.stderr
        assert lease_keys(shop) == before
        mine = f"bill:{FORMER_NAME}/127.0.0.1_{tables.server.port}"
        state = ("--app", "shop", "--state", "sqlite:///state.db")
        moved = shop.run("rename", f"bill:{FORMER_NAME}", mine, *state, "--yes")
        assert (moved.code, "moved 1 lease" in moved.stdout) == (0, True)
        tables.put("orders", "second")
        done = shop.run(*BURST)
        assert (done.code, printed(done)) == (0, ["billed elsewhere", "billed second"])


def test_a2_a_table_and_one_stream_of_it_are_both_read_and_not_by_one_trigger(
    shop: Place, tables: Tables
) -> None:
    tables.put("orders", "first")
    stream = tables.emulator.call("DescribeTable", {"TableName": "orders"})["Table"]
    app = (shop.folder / "app.py").read_text()
    shop.environment["STREAM"] = stream["LatestStreamArn"]
    shop.write("app.py", app.replace('"dynamodb://orders"', '"dynamodb://orders", "${STREAM}"'))
    done = shop.run(*BURST)
    assert done.code == 2
    assert "are streams of one table" in done.stderr
    shop.environment["STREAM"] = stream["TableArn"]
    done = shop.run(*BURST)
    assert (done.code, printed(done)) == (0, ["billed first"])
    assert "source_named_twice" in done.events


def test_rename_of_one_source_needs_both_names_in_full(shop: Place, tables: Tables) -> None:
    tables.put("orders", "first")
    assert shop.run(*BURST).code == 0
    state = ("--app", "shop", "--state", "sqlite:///state.db", "--yes")
    done = shop.run("rename", f"bill:{FORMER_NAME}", "charge", *state)
    assert done.code == 2
    assert "TRIGGER:SOURCE" in done.stderr
