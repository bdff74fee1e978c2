"""Handlers as they are written for Lambda, run by `triggerkit run`: logging, signals, environment."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest
from e2e.harness import Done, Place, Tables

HEAD = """\
import json, logging, logging.config, os, signal, sys, threading, time
from triggerkit import Triggers
"""
TAIL = """
handlers = Triggers("shop", maximum_retry_attempts=0, on_failure="file:failures.jsonl")
handlers.on("dynamodb://orders", name="notify")(handler)
"""


def run(shop: Place, tables: Tables, module: str, *arguments: str, items: int = 1) -> Done:
    """What `run --burst` tells of a module with a function `handler`, called for each item alone."""
    tables.put("orders", *(str(number) for number in range(items)))
    text = HEAD + textwrap.dedent(module) + TAIL
    shop.write("app.py", text.replace('name="notify")', 'name="notify", batch_size=1)'))
    return shop.run("run", "app:handlers", "--state", "memory:", "--burst", *arguments)


def lines(done: Done) -> list[dict[str, Any]]:
    """Every line of both streams: all of them are entries of the log."""
    return [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]


LOGGERS = {
    "a plain logger": """
        logger = logging.getLogger(__name__)
        logger.setLevel(logging.INFO)
        """,
    "the root logger": """
        logger = logging.getLogger()
        logger.setLevel(logging.INFO)
        """,
    "a stream handler beside the root's": """
        logger = logging.getLogger("shop")
        logger.setLevel(logging.INFO)
        logger.addHandler(logging.StreamHandler())
        """,
    "a stream handler for stdout, alone": """
        logger = logging.getLogger("shop")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(logging.StreamHandler(sys.stdout))
        """,
    "basicConfig": """
        logging.basicConfig(level=logging.INFO)
        logger = logging.getLogger("shop")
        """,
    "basicConfig with force": """
        logging.basicConfig(level=logging.INFO, force=True)
        logger = logging.getLogger("shop")
        """,
    "basicConfig with force and stdout": """
        logging.basicConfig(level=logging.INFO, force=True, stream=sys.stdout, format="%(message)s")
        logger = logging.getLogger("shop")
        """,
    "dictConfig": """
        logging.config.dictConfig({
            "version": 1,
            "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
            "root": {"level": "INFO", "handlers": ["console"]},
        })
        logger = logging.getLogger("shop")
        """,
    "dictConfig of one logger": """
        logging.config.dictConfig({
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "loggers": {"shop": {"level": "DEBUG", "handlers": ["console"]}},
        })
        logger = logging.getLogger("shop")
        """,
    "the root's handlers removed and one's own added": """
        root = logging.getLogger()
        for each in list(root.handlers):
            root.removeHandler(each)
        logging.basicConfig(level=logging.INFO)
        logger = logging.getLogger("shop")
        """,
    "a formatter for the root's handler": """
        root = logging.getLogger()
        root.handlers[0].setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
        root.setLevel(logging.INFO)
        logger = logging.getLogger("shop")
        """,
    "Powertools": """
        from aws_lambda_powertools import Logger
        logger = Logger(service="shop")
        """,
    "structlog": """
        import structlog
        logger = structlog.get_logger()
        """,
    "structlog through logging": """
        import structlog
        logging.basicConfig(level=logging.INFO, force=True, format="%(message)s")
        structlog.configure(
            processors=[structlog.stdlib.filter_by_level, structlog.processors.JSONRenderer()],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        logger = structlog.get_logger("shop")
        """,
    "structlog with a configuration of its own": """
        import structlog
        structlog.configure(processors=[structlog.processors.JSONRenderer()])
        logger = structlog.get_logger()
        """,
}


@pytest.mark.parametrize("setup", LOGGERS.values(), ids=LOGGERS)
def test_c4_what_a_handler_logs_is_told_once_and_with_its_call(
    setup: str, shop: Place, tables: Tables
) -> None:
    module = (
        setup
        + """
        def handler(event, context):
            logger.info("saw-it")
            print("printed-it")
        """
    )
    done = run(shop, tables, module, items=2)
    assert done.code == 0, done.stderr
    for word in ("saw-it", "printed-it"):
        told = [entry for entry in lines(done) if word in json.dumps(entry)]
        assert len(told) == 2, done.stderr
        assert {entry["trigger"] for entry in told} == {"notify"}
        assert len({entry["request_id"] for entry in told}) == 2


@pytest.mark.parametrize(
    ("setup", "level", "is_told"),
    [
        ("logging.getLogger('shop').setLevel(logging.DEBUG)", "debug", True),
        ("logging.getLogger().setLevel(logging.ERROR)", "warning", False),
    ],
)
def test_c4_levels_that_the_handler_s_module_sets_hold(
    setup: str, level: str, is_told: bool, shop: Place, tables: Tables
) -> None:
    module = f"""
        {setup}
        def handler(event, context):
            logging.getLogger("shop.orders").{level}("saw-it")
        """
    told = [e for e in lines(run(shop, tables, module)) if e["message"] == "saw-it"]
    assert [entry["level"] for entry in told] == [level] * is_told


def test_c4_the_call_s_own_fields_win_over_what_user_code_adds(shop: Place, tables: Tables) -> None:
    module = """
        import structlog
        fields = {"request_id": "mine", "trigger": "mine", "attempt": 7, "worker": "mine", "app": "mine",
                  "shard": "mine", "source": "mine", "timestamp": 1, "level": "mine", "order": 5}
        def handler(event, context):
            logging.getLogger("shop").warning("saw-it", extra=fields)
            structlog.get_logger().info("saw-it", **fields)
            structlog.contextvars.bind_contextvars(request_id="mine", trigger="mine", tenant="t1")
            logging.getLogger("shop").warning("saw-it")
            structlog.contextvars.clear_contextvars()
            logging.getLogger("shop").warning("saw-it")
            print("saw-it")
            raise ValueError(context.aws_request_id)
        """
    done = run(shop, tables, module)
    (failed,) = [entry for entry in done.logs if entry["event"] == "handler_failed"]
    told = [entry for entry in done.logs if "saw-it" in (entry["message"], entry["event"])]
    assert len(told) == 5
    for entry in (*told, failed):
        assert entry["request_id"] == failed["error_message"]
        assert (entry["trigger"], entry["attempt"]) == ("notify", 1)
        assert "mine" not in (entry["source"], entry["shard"], entry["worker"])
        assert (entry["app"], entry["worker"] != "mine", entry["shard"] != "mine") == (
            "shop",
            True,
            True,
        )
        assert entry["level"] in ("info", "warning", "error")
    assert told[0]["order"] == 5
    assert told[0]["extra"]["request_id"] == "mine"
    assert told[2]["tenant"] == "t1"


def test_c4_no_text_stands_between_the_lines_of_the_log_wherever_it_was_printed(
    shop: Place, tables: Tables
) -> None:
    module = """
        stream = logging.StreamHandler()
        logger = logging.getLogger("shop")
        logger.addHandler(stream)
        logger.propagate = False
        def handler(event, context):
            def work():
                print("in a thread")
                logger.warning("logged in a thread")
                raise ValueError("raised in a thread")
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            sys.stdout.buffer.write("as bytes: größer".encode() + b"\\n")
        """
    done = run(shop, tables, module)
    assert done.code == 0
    messages = [entry["message"] for entry in lines(done)]
    for word in ("in a thread", "logged in a thread", "as bytes: größer"):
        assert messages.count(word) == 1
    assert "ValueError: raised in a thread" in messages


def test_c4_what_a_thread_of_the_handler_logs_counts_from_its_logger_s_own_level(
    shop: Place, tables: Tables
) -> None:
    module = """
        from concurrent.futures import ThreadPoolExecutor
        logging.getLogger("shop").setLevel(logging.INFO)
        logging.getLogger("shop").info("while imported")
        def handler(event, context):
            with ThreadPoolExecutor(1) as pool:
                pool.submit(logging.getLogger("shop").info, "in a thread").result()
                pool.submit(logging.getLogger("library").info, "chatter").result()
        """
    messages = [entry["message"] for entry in lines(run(shop, tables, module))]
    assert messages.count("while imported") == 1
    assert messages.count("in a thread") == 1
    assert "chatter" not in messages


# --- signals ----------------------------------------------------------------------------------------


def test_c2_what_a_signal_handler_raises_is_logged_and_ends_neither_the_call_nor_the_worker(
    shop: Place, tables: Tables
) -> None:
    module = """
        class Late(Exception): ...
        def late(number, frame):
            raise Late("too late")
        def leaving(number, frame):
            sys.exit(3)
        signal.signal(signal.SIGALRM, late)
        signal.signal(signal.SIGCHLD, late)
        signal.signal(signal.SIGUSR1, leaving)
        def handler(event, context):
            for number in (signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1):
                os.kill(os.getpid(), number)
                time.sleep(0.05)
            print("went on")
            signal.setitimer(signal.ITIMER_REAL, 0.2)  # strikes after the call
        """
    done = run(shop, tables, module, items=2)
    assert done.code == 0
    failed = [entry for entry in done.logs if entry["event"] == "signal_handler_failed"]
    assert {(entry["signal"], entry["error_type"]) for entry in failed} == {
        ("SIGALRM", "Late"),
        ("SIGCHLD", "Late"),
        ("SIGUSR1", "SystemExit"),
    }
    alarm = next(entry for entry in failed if entry["signal"] == "SIGALRM")
    assert alarm["exception"].startswith("Traceback (most recent call last):")
    assert "in late" in alarm["exception"].splitlines()[1]
    assert "triggerkit" not in alarm["exception"]
    assert [entry["message"] for entry in done.logs].count("went on") == 2
    assert done.logs[-1]["records_done"] == 2


def test_c2_a_signal_handler_that_does_not_raise_is_called_as_ever(
    shop: Place, tables: Tables
) -> None:
    module = """
        seen = threading.Event()
        signal.signal(signal.SIGUSR2, lambda number, frame: seen.set())
        signal.signal(signal.SIGTERM, lambda number, frame: print("never"))
        def handler(event, context):
            os.kill(os.getpid(), signal.SIGUSR2)
            assert seen.wait(10)
        """
    done = run(shop, tables, module)
    assert done.code == 0
    told = [entry for entry in done.logs if entry["event"] == "signal_handler_not_called"]
    assert [entry["signal"] for entry in told] == ["SIGTERM"]


def test_c2_what_cannot_work_on_a_thread_is_told_with_the_way_out(
    shop: Place, tables: Tables
) -> None:
    module = """
        import sqlite3
        database = sqlite3.connect(":memory:")
        def handler(event, context):
            if event["Records"][0]["dynamodb"]["Keys"]["id"]["S"] == "0":
                signal.signal(signal.SIGALRM, lambda number, frame: None)
            database.execute("SELECT 1")
        """
    done = run(shop, tables, module, items=2)
    failed = [entry for entry in done.logs if entry["event"] == "handler_failed"]
    hints = [(entry["error_type"], entry["hint"]) for entry in failed]
    assert [kind for kind, _ in hints] == ["ValueError", "ProgrammingError"]
    assert "use async def with timeout" in hints[0][1]
    assert "check_same_thread=False" in hints[1][1]


# --- the environment --------------------------------------------------------------------------------

NAMES = (
    "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_REGION", "LAMBDA_TASK_ROOT", "_HANDLER",
)  # fmt: skip
READING = f"""
        NAMES = {NAMES}
        imported = {{name: os.environ[name] for name in NAMES}}
        def handler(event, context):
            found = {{name: os.environ[name] for name in NAMES}}
            print(json.dumps({{"found": found, "imported": imported, "context": {{
                "AWS_LAMBDA_FUNCTION_NAME": context.function_name,
                "AWS_LAMBDA_FUNCTION_VERSION": context.function_version,
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": context.memory_limit_in_mb,
                "AWS_LAMBDA_LOG_GROUP_NAME": context.log_group_name,
                "AWS_LAMBDA_LOG_STREAM_NAME": context.log_stream_name,
            }}}}))
        """


def test_c6_the_environment_has_lambda_s_variables_and_they_agree_with_the_context(
    shop: Place, tables: Tables
) -> None:
    done = run(shop, tables, READING)
    assert done.code == 0, done.stderr
    (entry,) = [entry for entry in done.logs if entry["message"].startswith("{")]
    told = json.loads(entry["message"])
    found = told["found"]
    assert told["context"].items() <= found.items()
    assert (found["AWS_LAMBDA_FUNCTION_NAME"], found["_HANDLER"]) == ("notify", "app.handler")
    assert (found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], found["AWS_REGION"]) == ("128", "us-east-1")
    assert found["LAMBDA_TASK_ROOT"] == str(shop.folder)
    constant = ("AWS_LAMBDA_LOG_STREAM_NAME", "AWS_REGION", "LAMBDA_TASK_ROOT")
    assert {name: told["imported"][name] for name in constant} == {
        name: found[name] for name in constant
    }, done.stderr


def test_c6_what_the_user_has_set_is_never_changed(shop: Place, tables: Tables) -> None:
    own = {name: f"mine-{number}" for number, name in enumerate(NAMES)}
    shop.environment |= own
    done = run(shop, tables, READING)
    (entry,) = [entry for entry in done.logs if entry["message"].startswith("{")]
    told = json.loads(entry["message"])
    assert told["found"] == told["imported"] == own


def test_c6_with_several_triggers_the_function_is_called_like_the_application(
    shop: Place, tables: Tables
) -> None:
    module = """
        def handler(event, context):
            print("is", os.environ["AWS_LAMBDA_FUNCTION_NAME"], context.function_name)
        """
    more = '\nhandlers.on("dynamodb://orders", name="other")(handler)\n'
    tables.put("orders", "1")
    shop.write("app.py", HEAD + textwrap.dedent(module) + TAIL + more)
    done = shop.run("run", "app:handlers", "--state", "memory:", "--burst")
    assert sorted(entry["message"] for entry in done.logs if entry["message"].startswith("is")) == [
        "is shop notify",
        "is shop other",
    ]


def test_c6_one_call_from_the_command_line_and_a_simulation_have_the_variables_too(
    shop: Place,
) -> None:
    module = """
        os.environ["AWS_REGION"], os.environ["LAMBDA_TASK_ROOT"]
        def handler(event, context):
            assert os.environ["AWS_LAMBDA_FUNCTION_NAME"] == context.function_name == "notify"
            return os.environ["_HANDLER"]
        """
    shop.write("app.py", HEAD + textwrap.dedent(module) + TAIL)
    done = shop.run("invoke", "app:handlers", "-e", "-", stdin='{"Records": []}')
    assert (done.code, done.json) == (0, "app.handler")
    done = shop.run("simulate", "app:handlers", "--seeds", "1")
    assert done.code == 0, done.stderr


@pytest.mark.parametrize("how", ["flag", "profile", "environment"])
def test_c6_the_region_is_that_of_the_flag_the_environment_or_the_profile(
    how: str, place: Place
) -> None:
    place.write("config", "[profile mine]\nregion = eu-west-1\n")
    place.environment["AWS_CONFIG_FILE"] = str(place.folder / "config")
    flags: tuple[str, ...] = ()
    if how == "flag":
        flags = ("--region", "eu-west-1")
    else:
        name, value = ("AWS_PROFILE", "mine")
        if how == "environment":
            name, value = ("AWS_DEFAULT_REGION", "eu-west-1")
        place.environment[name] = value
    module = """
        region = os.environ["AWS_REGION"]
        def handler(event, context):
            return region
        """
    place.write("app.py", HEAD + textwrap.dedent(module) + TAIL)
    done = place.run("invoke", "app:handlers", "-e", "-", *flags, stdin='{"Records": []}')
    assert (done.code, done.json) == (0, "eu-west-1"), done.stderr


def test_c6_powertools_works_as_on_lambda(shop: Place, tables: Tables) -> None:
    module = """
        from aws_lambda_powertools import Logger, Metrics, Tracer
        from aws_lambda_powertools.metrics import MetricUnit
        logger, metrics, tracer = Logger(), Metrics(namespace="shop", service="s"), Tracer(service="s")

        @tracer.capture_method
        def inside():
            return 1

        @metrics.log_metrics(capture_cold_start_metric=True)
        @logger.inject_lambda_context(log_event=True)
        @tracer.capture_lambda_handler
        def handler(event, context):
            inside()
            metrics.add_metric(name="orders", unit=MetricUnit.Count, value=1)
            logger.info("saw-it")
        """
    done = run(shop, tables, module, items=2)
    assert done.code == 0, done.stderr
    printed = [
        json.loads(entry["message"])
        for entry in lines(done)
        if entry["event"] == "handler_printed" and entry["message"].startswith("{")
    ]
    (first, _) = [entry for entry in printed if entry.get("message") == "saw-it"]
    assert first["function_name"] == "notify"
    assert [entry["function_name"] for entry in printed if "ColdStart" in entry] == ["notify"]


# --- what the module has set up ---------------------------------------------------------------------

SET_UP = """
        import contextvars, decimal
        tenant = contextvars.ContextVar("tenant")
        tenant.set("t1")
        decimal.getcontext().prec = 5
        """


@pytest.mark.parametrize("word", ["def", "async def"])
def test_what_the_module_sets_in_its_context_is_there_in_its_handlers(
    word: str, shop: Place, tables: Tables
) -> None:
    module = (
        SET_UP
        + f"""
        {word} handler(event, context):
            print("is", tenant.get(), decimal.Decimal(1) / 3)
        """
    )
    messages = [entry["message"] for entry in run(shop, tables, module, items=2).logs]
    assert messages.count("is t1 0.33333") == 2


def test_a_call_that_spoils_its_event_its_folder_and_its_loop_does_not_harm_the_next_attempt(
    shop: Place, tables: Tables
) -> None:
    module = """
        import asyncio
        calls = []
        def handler(event, context):
            assert set(event) == {"Records"} and event["Records"][0]["eventName"] == "INSERT"
            asyncio.get_event_loop().run_until_complete(asyncio.sleep(0))
            event["Records"][0].clear()
            event.clear()
            os.chdir("/")
            asyncio.get_event_loop().close()
            calls.append(1)
            if len(calls) == 1:
                def deep(): return deep()
                deep()
        """
    done = run(shop, tables, module, "--set", "notify.maximum_retry_attempts=1")
    assert done.code == 0, done.stderr
    (failed,) = [entry for entry in done.logs if entry["event"] == "handler_failed"]
    assert failed["error_type"] == "RecursionError"
    assert done.logs[-1]["records_done"] == 1
