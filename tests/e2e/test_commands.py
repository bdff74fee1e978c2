"""Each command as a new user uses it: real processes against the embedded endpoint over HTTP."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e.harness import PATIENCE_SECONDS, Place, Tables

USAGE, SOURCE, FAILED, INTERRUPTED = 2, 3, 12, 130
QUESTION = "[y/N]: "
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(
    place: Place, *arguments: str, answers: dict[str, bytes] | None = None
) -> tuple[int, str]:
    """Run `python -m triggerkit` on a terminal; when a key of `answers` is shown, its keys are typed.

    A question is answered again while nothing happens: Python misses a Ctrl-C that comes in the instant
    before it begins to read.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(place.folder)
        command = [sys.executable, "-m", "triggerkit", *arguments]
        os.execve(sys.executable, command, {**place.environ(), "TERM": "xterm", "COLUMNS": "100"})
    shown, waiting = "", dict(answers or {})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            if shown.removesuffix("^C").endswith(QUESTION):
                os.write(terminal, (answers or {})[QUESTION.strip()])
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how a terminal says that its last writer is gone
            break
        if not piece:
            break
        shown += piece.decode()
        for cue in [cue for cue in waiting if cue in shown]:
            os.write(terminal, waiting.pop(cue))
    else:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.replace("\r\n", "\n")


def event_of(*names: str) -> str:
    keys = [{"id": {"S": name}} for name in names]
    return json.dumps(
        {
            "Records": [
                {"eventName": "INSERT", "dynamodb": {"Keys": key, "SequenceNumber": str(n)}}
                for n, key in enumerate(keys, start=1)
            ]
        }
    )


# --- run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_handler_end_saves_and_releases(
    number: signal.Signals, shop: Place, tables: Tables
) -> None:
    shop.write(
        "app.py",
        "import time\nfrom pathlib import Path\nfrom triggerkit import Triggers\n"
        "handlers = Triggers('shop')\n"
        "@handlers.on('dynamodb://orders', batch_size=1)\n"
        "def bill(event, context):\n"
        "    print('begun')\n"
        "    while not Path('go').exists(): time.sleep(0.01)\n"
        "    print('ended')\n",
    )
    tables.put("orders", "first")
    with shop.running("run", "app:handlers", "--state", shop.state) as worker:
        worker.until_logged("handler_printed", message="begun")
        worker.signal(number)
        worker.until_logged("draining")
        shop.write("go", "")
        done = worker.wait()
    assert done.code == 0
    assert done.events[-5:] == [
        "draining", "handler_printed", "batch_done", "lease_released", "stopped",
    ]  # fmt: skip
    again = shop.run("run", "app:handlers", "--state", shop.state, "--burst")
    assert (again.code, "handler_printed" in again.events) == (0, False)  # it was saved


def test_the_second_signal_ends_at_once_and_the_next_worker_goes_on_at_once(
    shop: Place, tables: Tables
) -> None:
    shop.write(
        "app.py",
        "import time\nfrom pathlib import Path\nfrom triggerkit import Triggers\n"
        "handlers = Triggers('shop')\n"
        "@handlers.on('dynamodb://orders')\n"
        "def bill(event, context):\n"
        "    print('begun')\n"
        "    while not Path('go').exists(): time.sleep(0.01)\n",
    )
    tables.put("orders", "first")
    with shop.running("run", "app:handlers", "--state", shop.state) as worker:
        worker.until_logged("handler_printed", message="begun")
        worker.signal(signal.SIGINT)
        worker.until_logged("draining")
        worker.signal(signal.SIGINT)
        done = worker.wait()
    assert done.code == INTERRUPTED
    assert "Traceback" not in done.stderr
    shop.write("go", "")
    again = shop.run("run", "app:handlers", "--state", shop.state, "--burst")
    assert (again.code, again.events.count("handler_printed")) == (0, 1)  # delivered again


def test_b10_a_drain_that_takes_too_long_is_ended_and_is_the_exit_code(
    shop: Place, tables: Tables
) -> None:
    shop.write(
        "app.py",
        "import asyncio\nfrom triggerkit import Triggers\nhandlers = Triggers('shop')\n"
        "@handlers.on('dynamodb://orders')\n"
        "async def bill(event, context):\n"
        "    print('begun')\n"
        "    await asyncio.sleep(3600)\n",
    )
    tables.put("orders", "first")
    arguments = ("run", "app:handlers", "--state", shop.state, "--drain-timeout", "0.2")
    with shop.running(*arguments) as worker:
        worker.until_logged("handler_printed", message="begun")
        worker.signal(signal.SIGTERM)
        done = worker.wait()
    assert done.code == 14
    assert "drain_expired" in done.events
    assert "batch_done" not in done.events


def test_burst_reads_to_the_tip_and_says_when_records_were_given_up(
    shop: Place, tables: Tables
) -> None:
    tables.put("orders", "a", "b", "c")
    done = shop.run("run", "app:handlers", "--burst", "--state", "memory:")
    assert (done.code, done.stdout) == (0, "")
    assert [e["message"] for e in done.logs if e["event"] == "handler_printed"] == [
        "billed a", "billed b", "billed c",
    ]  # fmt: skip
    tables.client.put_item(TableName="orders", Item={"id": {"S": "bad"}})
    app = (shop.folder / "app.py").read_text()
    shop.write("app.py", app + "        assert record['dynamodb']['Keys']['id']['S'] != 'bad'\n")
    done = shop.run("run", "app:handlers", "--burst", "--state", "memory:")
    assert done.code == FAILED
    assert done.logs[-1]["event"] == "stopped"
    assert done.logs[-1]["records_discarded"] >= 1


def test_a_burst_ends_where_only_blocked_shards_are_left(shop: Place, tables: Tables) -> None:
    """A record that never fits and no on_failure: waiting cannot help."""
    shop.write(
        "app.py",
        "from dataclasses import dataclass\nfrom triggerkit import Inserted, Triggers\n"
        "handlers = Triggers('shop')\n@dataclass\nclass Order:\n    id: str\n    total: int\n"
        "@handlers.each('dynamodb://orders')\ndef bill(change: Inserted[Order]): pass\n",
    )
    tables.put("orders", "a")
    done = shop.run("run", "app:handlers", "--burst", "--state", "memory:")
    assert done.code == FAILED
    assert "burst_blocked" in done.events
    assert done.logs[-1]["event"] == "stopped"


def test_what_goes_where_when_nobody_looks(shop: Place, tables: Tables) -> None:
    """Logs are JSON lines on stderr with the public fields; prints and logging of the user's are there."""
    shop.write(
        "app.py",
        "import logging, sys\nprint('at import')\nfrom triggerkit import Triggers\n"
        "handlers = Triggers('shop')\n"
        "@handlers.on('dynamodb://orders')\n"
        "def bill(event, context):\n"
        "    print('printed'); print('to stderr', file=sys.stderr)\n"
        "    logging.getLogger('mine').info('logged %d', 1)\n"
        "    context.log('by context')\n",
    )
    tables.put("orders", "a")
    done = shop.run("run", "app:handlers", "--burst", "--state", "memory:", "--env", "test")
    assert (done.code, done.stdout) == (0, "")
    first, *lines = done.stderr.splitlines()
    assert first == "at import"
    entries = [json.loads(line) for line in lines]
    messages = [entry["message"] for entry in entries]
    for said in ("printed", "to stderr", "logged 1", "by context"):
        assert said in messages
    for entry in entries:
        assert {"timestamp", "level", "message", "event", "app", "env", "worker"} <= entry.keys()
        assert (entry["app"], entry["env"]) == ("shop", "test")
    assert "\x1b" not in done.stderr


def test_the_levels_and_formats_of_logs(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a")
    burst = ("run", "app:handlers", "--burst", "--state", "memory:")
    quiet = shop.run(*burst, "-q")
    assert set(quiet.events) == {"handler_printed"}  # what a handler prints is its voice
    assert "checkpoint_saved" in shop.run(*burst, "-v").events
    pretty = shop.run(*burst, "--log-format", "pretty")
    assert "  bill  1 record done in " in pretty.stderr
    assert "\x1b" not in pretty.stderr  # pretty, and yet no colours in a file
    assert not pretty.logs


def lines_of(shown: str) -> list[str]:
    """What stands on the screen: without colours, and without the status lines that went again."""
    plain = COLOUR.sub("", shown).replace("^C", "")
    return [line.rpartition("\r\x1b[2K")[2] for line in plain.removesuffix("\n").split("\n")]


def test_run_on_a_terminal_is_one_screen_and_then_progress(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a")
    code, shown = on_terminal(
        shop, "run", "app:handlers", "--state", "memory:", answers={"done  last call": b"\x03"}
    )
    assert code == 0
    assert COLOUR.search(shown)
    assert "waiting for records  1 record done" in shown
    opening, progress = lines_of(shown)[:4], lines_of(shown)[4:]
    assert re.fullmatch(r"triggerkit \S+ {3}app shop {3}state memory:", opening[0])
    assert opening[1:] == [
        "",
        "  bill  <-  dynamodb://orders   app.bill  batch_size=2  maximum_retry_attempts=1",
        "",
    ]
    said = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in progress if line]
    assert said[:2] == [
        "no state yet: triggers start at their starting_position",
        "running; Ctrl-C drains and stops",
    ]
    shard = said[2].split("shard ")[1].split()[0]
    assert said[2:4] == [f"bill  reads shard {shard} from TRIM_HORIZON", "bill  billed a"]
    assert re.fullmatch(r"bill  1 record done in [\d.]+ m?s, lag [\d.]+ m?s", said[4])
    assert said[5:] == [
        "draining: running handlers get up to 25 s",
        f"bill  released shard {shard}",
        "stopped: 1 record done",
    ]
    assert "sequence_number" not in shown
    assert "{" not in shown
    assert max(map(len, lines_of(shown))) <= 110


def test_a_failure_on_a_terminal_shows_its_traceback_and_the_command_for_the_record(
    shop: Place, tables: Tables
) -> None:
    shop.write(
        "app.py",
        "from triggerkit import Triggers\nhandlers = Triggers('shop')\n"
        "@handlers.on('dynamodb://orders', maximum_retry_attempts=1, on_failure='file:f.jsonl')\n"
        "def bill(event, context):\n"
        "    raise KeyError('total')\n"
        "@handlers.on('dynamodb://orders', name='count')\n"
        "async def count(event, context): pass\n",
    )
    tables.put("orders", "a")
    burst = ("run", "app:handlers", "--state", "memory:", "--burst")
    code, shown = on_terminal(shop, *burst)
    assert code == FAILED
    plain = "\n".join(lines_of(shown))
    assert plain.count("unlimited retries (count): ") == 1
    assert plain.count("in bill\n") == 1  # the traceback once, the second time a line
    assert "bill   error: attempt 1 failed\n          Traceback (most recent call last):" in plain
    assert (
        "bill   error: attempt 2 failed, as before  error_type=KeyError error_message='total'"
        in plain
    )
    assert "bill   warning: gave up 1 record after 2 attempts: RetryAttemptsExhausted" in plain
    (command,) = re.findall(r"show: triggerkit (.*)", plain)
    assert "INSERT  id=a" in shop.run(*command.split()).stdout
    assert plain.rstrip().endswith("stopped: 1 record done, 1 given up")
    quiet, shown = on_terminal(shop, *burst, "-q")
    assert quiet == FAILED
    assert "attempt 1 failed" in shown
    assert "triggerkit 0" not in shown
    assert "waiting for records" not in shown
    shop.environment["NO_COLOR"] = "1"
    assert not COLOUR.search(on_terminal(shop, *burst)[1])


def test_a_busy_trigger_is_a_line_a_second_and_its_prints_are_all_there(
    shop: Place, tables: Tables
) -> None:
    shop.write(
        "app.py",
        "import subprocess\nfrom triggerkit import Triggers\nhandlers = Triggers('shop')\n"
        "@handlers.on('dynamodb://orders', batch_size=1, maximum_retry_attempts=1)\n"
        "def bill(event, context):\n"
        "    name = event['Records'][0]['dynamodb']['Keys']['id']['S']\n"
        "    print('said', name)\n"
        "    subprocess.run(['echo', 'echoed', name])\n"
        "@handlers.on('dynamodb://orders', batch_size=1, maximum_retry_attempts=1)\n"
        "def count(event, context): pass\n",
    )
    names = [f"o-{number}" for number in range(60)]
    tables.put("orders", *names)
    code, shown = on_terminal(
        shop, "run", "app:handlers", "--state", "memory:", answers={"120 records done  la": b"\x03"}
    )
    assert code == 0
    lines = lines_of(shown)
    assert [line.split()[-1] for line in lines if "  said o-" in line] == names
    assert [line for line in lines if line.startswith("echoed ")] == [f"echoed {n}" for n in names]
    counts = [line for line in lines if re.search(r"  count +[\d,]+ records? done in ", line)]
    assert 1 <= len(counts) <= 8
    assert "stopped: 120 records done" in lines[-1]


# --- list and check ------------------------------------------------------------------------------


def test_list_shows_what_would_run_and_where_it_came_from(place: Place) -> None:
    place.write(
        "triggerkit.toml",
        'target = "app"\nstate = "sqlite:///here.db"\n[defaults]\nmaximum_retry_attempts = 5\n'
        '[triggers.bill]\nBatchSize = 7\n[env.prod]\nvars = { P = "1" }\n'
        "[env.prod.triggers.bill]\nparallelization_factor = 2\n",
    )
    before = place.files
    done = place.run("list")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "app    shop               Triggers(...)",
        "state  sqlite:///here.db  triggerkit.toml",
        "",
        "bill  <-  dynamodb://orders   app.bill",
        "  batch_size              7  triggerkit.toml [triggers.bill]",
        "  maximum_retry_attempts  5  triggerkit.toml [defaults]",
    ]
    assert "parallelization_factor  2  triggerkit.toml [env.prod.triggers.bill]" in re.sub(
        " {2,}", "  ", place.run("list", "--env", "prod").stdout
    )
    everything = place.run("list", "-v").stdout
    assert re.search(r"^ {2}parallelization_factor +1 +built-in$", everything, re.MULTILINE)
    document = place.run("list", "--json", "--set", "bill.batch_size=9").json
    (bill,) = document["triggers"]
    assert bill["options"]["batch_size"] == 9
    assert bill["provenance"]["batch_size"] == "--set bill.batch_size=9"
    assert document["app"] == "shop"
    assert place.files == before


def test_globs_choose_triggers(place: Place) -> None:
    app = (place.folder / "app.py").read_text()
    more = "".join(
        f"@handlers.on('dynamodb://users')\ndef {name}(event, context): pass\n"
        for name in ("users_greet", "users_count")
    )
    place.write("app.py", app + more)

    def names(*flags: str) -> list[str]:
        return [t["name"] for t in place.run("list", "app", "--json", *flags).json["triggers"]]

    assert names() == ["bill", "users_greet", "users_count"]
    assert names("-t", "users_*") == ["users_greet", "users_count"]
    assert names("-t", "users_*", "--exclude", "*_count") == ["users_greet"]
    assert names("-t", "bill", "-t", "*_count") == ["bill", "users_count"]


def test_overlays_and_env_files_settle_variables(place: Place) -> None:
    app = (place.folder / "app.py").read_text()
    place.write("app.py", app.replace("dynamodb://orders", "dynamodb://${PREFIX}orders"))
    place.write(
        "pyproject.toml",
        '[tool.triggerkit]\ntarget = "app:handlers"\n[tool.triggerkit.vars]\nPREFIX = "dev-"\n'
        '[tool.triggerkit.env.prod]\nvars = { PREFIX = "prod-" }\n',
    )
    place.write("local.env", "# mine\nexport PREFIX='file-'\n")

    def source(*flags: str, **environment: str) -> str:
        document = place.run("list", "--json", *flags, environment=environment).json
        return f"{document['app']} {document['triggers'][0]['source']}"

    assert source() == "shop dynamodb://dev-orders"
    assert source("--env", "prod") == "shop@prod dynamodb://prod-orders"
    assert source("--env", "prod", PREFIX="mine-") == "shop@prod dynamodb://mine-orders"
    assert source("--env-file", "local.env") == "shop dynamodb://file-orders"
    assert source("--env-file", "local.env", PREFIX="mine-") == "shop dynamodb://mine-orders"


def test_check_opens_nothing_unless_told_to(place: Place, tables: Tables) -> None:
    check = ("check", "app:handlers", "--state", place.state)
    done = place.run(*check)
    assert done.code == 0
    assert done.stdout.splitlines()[0] == "ok  bill  <-  dynamodb://orders"
    assert "  dynamodb:GetRecords" in done.stdout.splitlines()
    assert sum(tables.emulator.calls.values()) == 3  # the three tables that the test made
    access = ("--endpoint-url", tables.server.endpoint_url, "--region", "us-east-1")
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    document = place.run(*check, "--aws", "--json", *access, environment=environment).json
    (row,) = document["triggers"]
    assert row["arn"].startswith("arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/")
    assert "state.db" not in place.files


# --- invoke --------------------------------------------------------------------------------------

HANDLERS = """\
import asyncio, logging
from contextlib import asynccontextmanager, contextmanager
from triggerkit import Triggers

@asynccontextmanager
async def pool():
    print("opened")
    yield "the pool"
    print("closed")

handlers = Triggers("shop", lifespan=pool)

@handlers.on("dynamodb://orders")
def plain(event, context):
    print("plain prints")
    logging.info("plain logs")
    return {"n": len(event["Records"]), "resources": context.resources, "by": asyncio.run(nothing())}

async def nothing():
    return context_free

context_free = "a loop of its own"

@handlers.on("dynamodb://orders")
async def quick(event, context):
    await asyncio.sleep(0)
    return context.function_name

@handlers.on("dynamodb://orders", timeout=0.05)
async def slow(event, context):
    await asyncio.sleep(60)

@handlers.on("dynamodb://orders")
def fails(event, context):
    def deeper():
        raise KeyError("total")
    deeper()

@handlers.on("dynamodb://orders")
async def fails_later(event, context):
    raise KeyError("total")

@handlers.on("dynamodb://orders")
def leaves(event, context):
    raise SystemExit(4)

@handlers.on("dynamodb://orders", report_batch_item_failures=True)
def reports(event, context):
    return {"batchItemFailures": [{"itemIdentifier": "2"}]}
"""


def test_invoke_calls_one_handler_and_prints_its_result(place: Place) -> None:
    place.write("app.py", HANDLERS)
    place.write("event.json", event_of("a", "b"))
    before = place.files
    done = place.run("invoke", "app:handlers", "-t", "plain", "-e", "event.json")
    assert done.code == 0
    assert done.json == {"n": 2, "resources": "the pool", "by": "a loop of its own"}
    for said in ("opened", "plain prints", "plain logs", "closed"):
        assert said in done.stderr
    done = place.run("invoke", "app:handlers", "-t", "quick", "-e", "-", stdin=event_of("a"))
    assert (done.code, done.json) == (0, "quick")
    assert place.files == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fails", ("KeyError: 'total'", "in deeper", "handler of trigger 'fails' failed")),
        ("fails_later", ("KeyError: 'total'", "in fails_later")),
        ("leaves", ("SystemExit: 4", "in leaves")),
        (
            "slow",
            (
                "TimeoutError: it ran longer than its timeout of 0.05 s",
                "in slow",
                "handler of trigger 'slow' failed",
            ),
        ),
        ("reports", ("handler 'reports': failed from record 1 on (1 reported)",)),
    ],
)
def test_invoke_of_a_failing_handler_shows_the_users_frames_only(
    name: str, says: tuple[str, ...], place: Place
) -> None:
    place.write("app.py", HANDLERS)
    done = place.run("invoke", "app:handlers", "-t", name, "-e", "-", stdin=event_of("a", "b"))
    assert done.code == FAILED
    assert not [words for words in says if words not in done.stderr], done.stderr
    assert "triggerkit/" not in done.stderr
    if name == "reports":
        assert done.json == {"batchItemFailures": [{"itemIdentifier": "2"}]}


def test_invoke_opens_the_debugger_where_the_handler_raised(place: Place) -> None:
    place.write("app.py", HANDLERS)
    place.write("event.json", event_of("a"))
    invoke = ("invoke", "app:handlers", "-e", "event.json", "--pdb", "-t")
    for name, where in (("fails", "deeper()"), ("fails_later", "fails_later()")):
        code, shown = on_terminal(place, *invoke, name, answers={"(Pdb) ": b"q\n"})
        assert (code, where in shown.partition("the debugger")[2]) == (FAILED, True)
    code, shown = on_terminal(place, *invoke, "quick")
    assert (code, "(Pdb)" in shown) == (0, False)


@pytest.mark.parametrize(
    ("event", "says"), [("event.json", "--pdb needs a terminal"), ("-", "event comes from stdin")]
)
def test_where_nobody_can_type_the_debugger_is_refused_before_the_call(
    event: str, says: str, place: Place
) -> None:
    place.write("event.json", event_of("a"))
    done = place.run("invoke", "app:handlers", "-e", event, "--pdb", stdin=event_of("a"))
    assert (done.code, says in done.stderr) == (USAGE, True)
    assert "billed" not in done.stderr


def test_invoke_of_a_lifespan_that_fails_says_so(place: Place) -> None:
    place.write("app.py", HANDLERS.replace('print("opened")', 'raise OSError("no database")'))
    done = place.run("invoke", "app:handlers", "-t", "quick", "-e", "-", stdin=event_of("a"))
    assert done.code == FAILED
    assert "lifespan of trigger 'quick' failed" in done.stderr
    assert "OSError: no database" in done.stderr
    assert "triggerkit/" not in done.stderr


# --- tail ----------------------------------------------------------------------------------------


def test_tail_prints_records_as_json_lines_where_nobody_looks(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a", "b", "c")
    done = shop.run("tail", "dynamodb://orders", "--from-start", "-n", "2")
    assert done.code == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["dynamodb"]["Keys"]["id"]["S"] for line in lines] == ["a", "b"]
    assert {"eventID", "eventName", "eventSourceARN", "awsRegion"} <= lines[0].keys()
    event = shop.run("tail", "dynamodb://orders", "--from-start", "-n", "3", "--as-event")
    shop.write("event.json", event.stdout)
    done = shop.run("invoke", "app:handlers", "-e", "event.json")
    assert (done.code, done.json) == (0, None)
    assert "billed c" in done.stderr


def test_tail_follows_what_is_written_from_now_on_over_a_rollover(
    shop: Place, tables: Tables
) -> None:
    tables.put("orders", "before")
    with shop.running("tail", "dynamodb://orders") as following:
        calls = tables.emulator.calls
        following.until(
            lambda: calls["GetRecords"] > 1, "a read of its own, after that of the start"
        )
        tables.put("orders", "a")
        tables.emulator.roll("orders")
        tables.put("orders", "b")
        following.until(lambda: len(following.out) >= 2, "two lines")
        following.signal(signal.SIGINT)
        done = following.wait()
    assert (done.code, done.stderr.strip()) == (0, "")
    names = [json.loads(line)["dynamodb"]["Keys"]["id"]["S"] for line in done.stdout.splitlines()]
    assert names == ["a", "b"]


def test_tail_on_a_terminal_is_one_short_line_a_change(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a")
    tables.client.put_item(
        TableName="orders", Item={"id": {"S": "a"}, "n": {"N": "2"}, "note": {"S": "x" * 300}}
    )
    tables.client.delete_item(TableName="orders", Key={"id": {"S": "a"}})
    arguments = ("tail", "dynamodb://orders", "--from-start", "-n", "3")
    code, shown = on_terminal(shop, *arguments)
    assert code == 0
    assert "\x1b[31m1\x1b[0m\x1b[2m -> \x1b[0m\x1b[32m2\x1b[0m" in shown
    insert, modify, remove = (line.split("  ", 1)[1] for line in lines_of(shown))
    assert insert == "INSERT  id=a  n=1"
    assert modify.startswith("MODIFY  id=a  n: 1 -> 2  note: - -> xxx")
    assert modify.endswith("…")
    assert remove.startswith("REMOVE  id=a  n=2 note=xxx")
    shop.environment["NO_COLOR"] = "1"
    assert not COLOUR.search(on_terminal(shop, *arguments)[1])
    in_a_file = shop.run(*arguments, "-o", "text").stdout
    assert "\x1b" not in in_a_file
    assert "note: - -> xxx" in in_a_file
    on_screen = on_terminal(shop, *arguments, "-o", "json")[1]
    assert len([json.loads(line) for line in on_screen.splitlines()]) == 3


def test_tail_since_and_of_one_key(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a", "b", "a", "c")
    tail = ("tail", "dynamodb://orders", "-n", "1", "-o", "text", "--since", "1h")
    assert "INSERT  id=b" in shop.run(*tail, "--key", "b").stdout
    assert "INSERT  id=c" in shop.run(*tail, "--key", '{"id": {"S": "c"}}').stdout
    with shop.running("tail", "dynamodb://orders", "--since", "1h", "--key", "nosuch") as following:
        calls = tables.emulator.calls
        following.until(lambda: calls["GetRecords"] > 1, "a read")
        following.signal(signal.SIGINT)
        assert following.wait().stdout == ""


def test_tail_says_that_it_waits(shop: Place, tables: Tables) -> None:
    code, shown = on_terminal(shop, "tail", "dynamodb://orders", answers={"Ctrl-C ends": b"\x03"})
    assert (code, "Traceback" in shown) == (0, False)
    assert "changes of dynamodb://orders from now on" in shown


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--since", "soon"), "--since 'soon' is neither a duration nor a time"),
        (("--since", "1h", "--from-start"), "contradict"),
        (("--json", "-o", "text"), "contradict"),
        (("--key", "{"), "--key"),
        (("-o", "xml"), "'xml' is not one of"),
        (("-n", "0"), "x>=1"),
    ],
)
def test_tail_with_wrong_input_reads_nothing(
    flags: tuple[str, ...], says: str, shop: Place, tables: Tables
) -> None:
    before = sum(tables.emulator.calls.values())
    done = shop.run("tail", "dynamodb://orders", *flags)
    assert (done.code, done.stdout, says in done.stderr) == (USAGE, "", True)
    assert sum(tables.emulator.calls.values()) == before


# --- enable-stream and rename --------------------------------------------------------------------


def test_enable_stream_turns_a_stream_on_once(shop: Place, tables: Tables) -> None:
    planned = shop.run("enable-stream", "plain", "NEW_IMAGE", "--dry-run")
    place = f"plain (account 000000000000, Region us-east-1, {tables.server.endpoint_url})"
    assert (planned.code, planned.stdout) == (0, f"the stream of {place} would be turned on\n")
    assert tables.emulator.stream_arns("plain") == []
    done = shop.run("enable-stream", "plain", "NEW_IMAGE", "--yes")
    assert done.code == 0
    assert [done.stdout.strip()] == tables.emulator.stream_arns("plain")
    again = shop.run("enable-stream", "dynamodb://plain", "NEW_IMAGE", "--yes")
    assert (again.code, again.stdout) == (0, done.stdout)
    for flag in ("--yes", "--dry-run"):
        other = shop.run("enable-stream", "plain", "KEYS_ONLY", flag)
        assert (other.code, other.stdout) == (SOURCE, "")
        assert "has a stream already, with NEW_IMAGE" in other.stderr
        assert "fix: a view type is fixed" in other.stderr
        assert "triggerkit enable-stream plain --off" in other.stderr


def test_enable_stream_turns_a_stream_off(shop: Place, tables: Tables) -> None:
    place = f"orders (account 000000000000, Region us-east-1, {tables.server.endpoint_url})"
    planned = shop.run("enable-stream", "orders", "--off", "--dry-run")
    assert planned.stdout == f"the stream of {place} would be turned off\n"
    for _ in range(2):
        done = shop.run("enable-stream", "orders", "--off", "--yes")
        assert (done.code, done.stdout) == (0, f"the stream of {place} is off\n")
    described = tables.client.describe_table(TableName="orders")["Table"]
    assert not described.get("StreamSpecification", {}).get("StreamEnabled")
    assert shop.run("enable-stream", "orders", "KEYS_ONLY", "--yes").code == 0
    for words in (("orders",), ("orders", "KEYS_ONLY", "--off")):
        assert "--off" in shop.run("enable-stream", *words).stderr


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x03", b"\x04"])
def test_a_question_that_is_not_answered_with_yes_does_nothing(
    answer: bytes, shop: Place, tables: Tables
) -> None:
    code, shown = on_terminal(
        shop, "enable-stream", "plain", "KEYS_ONLY", answers={"[y/N]:": answer}
    )
    assert code == USAGE
    assert "Turn on the stream of plain (account 000000000000, Region us-east-1," in shown
    assert "nothing was done" in shown
    assert "Traceback" not in shown
    assert tables.emulator.stream_arns("plain") == []


def test_a_question_that_is_answered_with_yes_is_carried_out(shop: Place, tables: Tables) -> None:
    code, shown = on_terminal(
        shop, "enable-stream", "plain", "KEYS_ONLY", answers={"[y/N]:": b"y\n"}
    )
    assert code == 0
    assert tables.emulator.stream_arns("plain")[0] in shown


def test_where_nobody_can_answer_the_flag_is_named(shop: Place, tables: Tables) -> None:
    done = shop.run("enable-stream", "plain", "KEYS_ONLY")
    assert (done.code, done.stdout) == (USAGE, "")
    assert "--yes" in done.stderr
    assert tables.emulator.stream_arns("plain") == []


def test_rename_moves_the_state_of_a_trigger(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a")
    state = ("--app", "shop", "--state", shop.state)
    assert shop.run("run", "app:handlers", "--state", shop.state, "--burst").code == 0
    before = shop.files["state.db"]
    planned = shop.run("rename", "bill", "charge", *state, "--dry-run", "--json")
    assert planned.json == {"old": "bill", "new": "charge", "leases": 1, "dry_run": True}
    code, shown = on_terminal(shop, "rename", "bill", "charge", *state, answers={"[y/N]:": b"\x03"})
    assert (code, "nothing was done" in shown) == (USAGE, True)
    assert shop.files["state.db"] == before
    code, shown = on_terminal(shop, "rename", "bill", "charge", *state, answers={"[y/N]:": b"y\n"})
    assert (code, "moved 1 lease from bill to charge" in shown) == (0, True)
    back = shop.run("rename", "charge", "bill", *state, "--yes")
    assert (back.code, back.stdout) == (0, "moved 1 lease from charge to bill\n")


def test_rename_under_a_running_worker_is_refused(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a")
    with shop.running("run", "app:handlers", "--state", shop.state) as worker:
        worker.until_logged("batch_done")
        done = shop.run("rename", "bill", "charge", "--app", "shop", "--state", shop.state, "-y")
    assert done.code == 4
    assert "fix: " in done.stderr


# --- the demo, the way in, the way out -----------------------------------------------------------


def test_the_demo_does_what_it_says(place: Place) -> None:
    done = place.python_m("demo")
    assert done.stderr == ""
    assert done.code == 0
    assert "11 changes done, 1 given up, none lost" in done.stdout
    assert "1 rollover" in done.stdout
    assert "given up   [INSERT order-6]: RetryAttemptsExhausted" in done.stdout
    assert "\x1b" not in done.stdout
    assert list(place.files) == ["app.py"]


def test_a_reader_that_has_seen_enough_ends_a_command_in_silence(place: Place) -> None:
    command = (
        f"{sys.executable} -m triggerkit list app:handlers -v | head -1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place.folder,
        env=place.environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_the_version_and_the_help_need_nothing(tmp_path: Path, place: Place) -> None:
    assert place.python_m("--version").stdout.startswith("triggerkit, version ")
    assert "Commands:" in place.python_m("-h").stdout
