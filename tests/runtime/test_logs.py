"""Where log entries go: ours, structlog's and the standard module's, one stream, whole lines."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from aws_lambda_powertools import Logger
from invokers.handler_stage import own_streams

from triggerkit.invokers.capture import capturing
from triggerkit.runtime import logs
from triggerkit.runtime.logs import LogSettings, configure_logging, get_logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Narrow(io.StringIO):
    encoding = "ascii"  # type: ignore[assignment]


class Gone(io.StringIO):
    def write(self, text: str, /) -> int:
        raise BrokenPipeError


@contextmanager
def logging_to(stream: io.StringIO, **settings: Any) -> Iterator[None]:
    restore = configure_logging(LogSettings(**settings), stream)
    try:
        yield
    finally:
        restore()


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@contextmanager
def inside_a_call(fields: Mapping[str, object] | None = None) -> Iterator[None]:
    with capturing(get_logger(), fields or {"trigger": "notify", "attempt": 2}):
        yield


def test_our_entries_are_json_lines_with_the_fields_of_the_process() -> None:
    stream = io.StringIO()
    with logging_to(stream, fields={"app": "shop", "env": "dev", "worker": "w1"}):
        get_logger().info("batch_done", trigger="notify", records=3)
    (entry,) = entries(stream)
    assert list(entry)[:7] == ["timestamp", "level", "message", "event", "app", "env", "worker"]
    assert (entry["level"], entry["event"], entry["app"]) == ("info", "batch_done", "shop")
    assert entry["timestamp"].endswith("Z")


def test_a_terminal_gets_pretty_lines_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    with logging_to(stream):
        get_logger().warning("lease_lost", trigger="notify")
    assert "lease lost" in stream.getvalue()
    assert "\x1b[33m" in stream.getvalue()


def test_no_color_and_a_file_get_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        with logging_to(stream, format="pretty"):
            get_logger().warning("lease_lost", message="\x1b[31mred\x1b[0m")
        assert "\x1b" not in stream.getvalue()
        assert "red" in stream.getvalue()


def test_levels_below_the_chosen_one_are_left_out_save_what_handlers_print() -> None:
    stream = io.StringIO()
    with logging_to(stream, level="error"):
        get_logger().info("batch_done")
        get_logger().warning("records_discarded")
        get_logger().error("records_lost")
        get_logger().info("handler_printed", message="hello")
    assert [entry["event"] for entry in entries(stream)] == ["records_lost", "handler_printed"]


def test_logging_inside_a_handler_keeps_its_level_and_gets_the_fields_of_the_call() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("shop.orders")
    with logging_to(stream), inside_a_call():
        logger.debug("too fine")
        logger.info("read %d", 3, extra={"order": "o1"})
        logger.error("bad")
        logger.log(45, "very bad")
    told = [(entry["level"], entry["message"]) for entry in entries(stream)]
    assert told == [("info", "read 3"), ("error", "bad"), ("error", "very bad")]
    first = entries(stream)[0]
    assert (first["event"], first["logger"]) == ("handler_logged", "shop.orders")
    assert (first["trigger"], first["attempt"], first["order"]) == ("notify", 2, "o1")


def test_outside_of_handlers_third_parties_are_heard_from_warning_on() -> None:
    stream = io.StringIO()
    with logging_to(stream, level="debug"):
        logging.getLogger("some.library").info("chatter")
        logging.getLogger("some.library").warning("trouble")
        with inside_a_call():
            logging.getLogger("botocore.auth").debug("chatter")
            logging.getLogger("shop").debug("fine")
    assert [(entry["event"], entry["message"]) for entry in entries(stream)] == [
        ("logged", "trouble"),
        ("handler_logged", "fine"),
    ]


def test_structlog_in_user_code_gets_the_fields_of_the_call() -> None:
    stream = io.StringIO()
    with logging_to(stream), inside_a_call():
        structlog.get_logger().info("order_seen", order="o1")
    (entry,) = entries(stream)
    assert (entry["event"], entry["order"], entry["trigger"]) == ("order_seen", "o1", "notify")


def test_user_code_that_configures_structlog_does_not_take_our_entries_away() -> None:
    stream, theirs = io.StringIO(), io.StringIO()
    with logging_to(stream):
        log = get_logger().bind(trigger="notify")
        structlog.configure(
            processors=[structlog.processors.JSONRenderer()],
            logger_factory=structlog.PrintLoggerFactory(theirs),
        )
        log.info("batch_done")
        structlog.get_logger().info("order_seen")
    assert [entry["event"] for entry in entries(stream)] == ["batch_done"]
    assert json.loads(theirs.getvalue()) == {"event": "order_seen"}


def test_any_event_that_user_code_logs_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for log_format in ("json", "pretty"):
        stream = io.StringIO()
        with logging_to(stream, format=log_format), inside_a_call():
            for event in ("seen", ["a", "list"], {"a": "dict"}, None, 7, b"bytes"):
                structlog.get_logger().info(event)
        assert len(stream.getvalue().splitlines()) == 6


def failing() -> None:
    raise ValueError("bad order")


def test_an_exception_is_told_with_its_traceback() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        try:
            failing()
        except ValueError as error:
            get_logger().error("handler_failed", exc_info=error)
            get_logger().exception("handler_failed")
            logging.getLogger("shop").exception("oh")
        get_logger().error("no_exception", exc_info=True)
    *told, without = entries(stream)
    assert len(told) == 3
    for entry in told:
        assert entry["level"] == "error"
        assert entry["exception"].startswith("Traceback (most recent call last):")
        assert entry["exception"].endswith("ValueError: bad order")
    assert "exception" not in without


def test_a_bad_format_argument_does_not_reach_the_caller(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.StringIO()
    record = logging.LogRecord("shop", logging.WARNING, "f", 1, "%d", ("no number",), None)
    with logging_to(stream):
        logging.getLogger().handlers[-1].handle(record)
    assert stream.getvalue() == ""
    assert "Logging error" in capsys.readouterr().err


def test_characters_that_the_stream_lacks_are_escaped() -> None:
    stream = Narrow()
    with logging_to(stream, format="pretty"):
        get_logger().info("x", message="größer \udc80")
    assert "gr\\xf6\\xdfer \\udc80" in stream.getvalue()


def test_a_stream_that_is_gone_stops_nobody() -> None:
    with logging_to(Gone()):
        get_logger().error("records_lost")
    closed = io.StringIO()
    closed.close()
    with logging_to(closed):
        get_logger().error("records_lost")


def test_lines_of_many_threads_stay_whole() -> None:
    stream = io.StringIO()

    def talk(name: str) -> None:
        for number in range(50):
            get_logger().info("talk", name=name, number=number, filling="x" * 500)

    with logging_to(stream):
        threads = [threading.Thread(target=talk, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = entries(stream)
    assert len(found) == 400
    assert [e["number"] for e in found if e["name"] == "t3"] == list(range(50))


def test_the_log_is_not_captured_even_when_the_streams_already_are() -> None:
    with own_streams() as (_, err):
        assert sys.stderr is not err
        with logging_to(sys.stderr), inside_a_call():  # type: ignore[arg-type]
            logging.getLogger("shop").warning("careful")
            print("hello")
        assert [entry["message"] for entry in entries(err)] == ["careful", "hello"]


@contextmanager
def own_logging() -> Iterator[None]:
    """Loggers as a new process has them, and as they were afterwards."""
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, logging.root.manager.disable
    known = logging.root.manager.loggerDict
    before = dict(known)
    try:
        root.handlers[:] = []
        known.clear()
        yield
    finally:
        root.handlers[:], root.level, logging.root.manager.disable = handlers, level, disabled
        known.clear()
        known.update(before)
        root.manager._clear_cache()  # type: ignore[attr-defined]


def shop_level(level: int) -> None:
    logging.getLogger("shop").setLevel(level)


def root_level(level: int) -> None:
    logging.getLogger().setLevel(level)


SETUPS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "own debug": lambda: shop_level(logging.DEBUG),
    "own info": lambda: shop_level(logging.INFO),
    "own error": lambda: shop_level(logging.ERROR),
    "root debug": lambda: root_level(logging.DEBUG),
    "root info": lambda: root_level(logging.INFO),
    "root error": lambda: root_level(logging.ERROR),
    "own debug below root error": lambda: (root_level(logging.ERROR), shop_level(logging.DEBUG)),
    "forced": lambda: logging.basicConfig(level=logging.DEBUG, force=True),
    "not forced": lambda: logging.basicConfig(level=logging.DEBUG),
    "disabled": lambda: logging.disable(logging.WARNING),
}


@pytest.mark.parametrize(
    ("setup", "log_level", "shown"),
    [
        ("nothing", "info", "info warning error"),
        ("nothing", "warning", "warning error"),
        ("nothing", "debug", "debug info warning error"),
        ("own debug", "info", "debug info warning error"),
        ("own debug", "error", "debug info warning error"),
        ("own info", "warning", "info warning error"),
        ("own info", "debug", "info warning error"),
        ("own error", "info", "error"),
        ("own error", "debug", "error"),
        ("root debug", "info", "debug info warning error"),
        ("root info", "info", "info warning error"),
        ("root info", "warning", "info warning error"),
        ("root error", "info", "error"),
        ("root error", "debug", "error"),
        ("own debug below root error", "info", "debug info warning error"),
        ("forced", "info", "debug info warning error"),
        ("not forced", "info", "info warning error"),
        ("disabled", "debug", "error"),
    ],
)
def test_c4_levels_that_user_code_sets_hold_when_the_log_is_configured_again(
    setup: str, log_level: str, shown: str
) -> None:
    with own_streams() as (_, err), own_logging(), logging_to(err):
        SETUPS[setup]()  # as a module does while it is imported
        with logging_to(err, level=log_level), inside_a_call():
            for level in ("debug", "info", "warning", "error"):
                logging.getLogger("shop.orders").log(getattr(logging, level.upper()), level)
        told = [entry["message"].rpartition(":")[2] for entry in entries(err)]
        assert told == shown.split()


def test_c4_noise_is_kept_low_unless_user_code_asks_for_it() -> None:
    with own_streams() as (_, err), own_logging(), logging_to(err):
        logging.getLogger().setLevel(logging.DEBUG)
        logging.getLogger("urllib3").setLevel(logging.INFO)
        with logging_to(err), inside_a_call():
            logging.getLogger("botocore.auth").debug("chatter")
            logging.getLogger("urllib3.pool").info("asked for")
        assert logging.getLogger("urllib3").level == logging.INFO
        assert [entry["message"] for entry in entries(err)] == ["asked for"]


def test_c4_configuring_again_leaves_what_user_code_made_of_handlers_and_structlog() -> None:
    with own_streams() as (_, err), own_logging(), logging_to(err):
        root = logging.getLogger()
        (ours,) = root.handlers
        root.removeHandler(ours)
        mine: list[str] = []
        structlog.configure(
            processors=[lambda log, method, entry: mine.append(entry["event"]) or ""]
        )
        with logging_to(err):
            assert root.handlers == []
            structlog.get_logger().info("seen")
        assert mine == ["seen"]
        root.addHandler(ours)


def test_c4_a_field_that_user_code_adds_replaces_none_of_ours() -> None:
    stream = io.StringIO()
    fields = {"trigger": "mine", "attempt": 9, "app": "mine", "timestamp": "mine", "colour": "red"}
    with logging_to(stream, fields={"app": "shop"}), inside_a_call():
        logging.getLogger("shop").warning("one", extra=fields)
        structlog.get_logger().warning("two", **fields)
        structlog.contextvars.bind_contextvars(trigger="mine", attempt=9)
        get_logger().warning("three")
        structlog.contextvars.clear_contextvars()
        get_logger().warning("four", records=1)
    for entry in entries(stream):
        assert (entry["app"], entry["trigger"], entry["attempt"]) == ("shop", "notify", 2)
        assert entry["timestamp"].endswith("Z")
    for entry in entries(stream)[:2]:
        assert entry["colour"] == "red"
        assert entry["extra"] == {name: fields[name] for name in fields if name != "colour"}


def test_a_powertools_logger_tells_each_line_once() -> None:
    with own_streams() as (_, err):
        restore = configure_logging(LogSettings(), err)
        powertools = Logger(service="told-by-powertools")
        restore()
        with logging_to(err), inside_a_call():  # configured anew, as `run` does
            powertools.info("paid")
        (entry,) = entries(err)
        assert (entry["event"], entry["trigger"]) == ("handler_printed", "notify")
        assert json.loads(entry["message"])["message"] == "paid"


def test_configuring_can_be_undone() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, structlog.get_config())
    with logging_to(io.StringIO(), level="debug"):
        assert root.level == logging.DEBUG
        assert logging.getLogger("botocore").level == logging.WARNING
    assert (list(root.handlers), root.level, structlog.get_config()) == before
    assert logging.getLogger("botocore").level == logging.NOTSET


def test_before_any_configuration_only_warnings_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    get_logger().info("batch_done")
    get_logger().warning("records_lost")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "records_lost"


class Untouchable(io.StringIO):
    """A stream of the program's own, which may block."""

    touched = False

    def fileno(self) -> int:
        self.touched = True
        return super().fileno()

    def flush(self) -> None:
        self.touched = True


def test_a_program_that_configures_nothing_gets_warnings_and_is_left_alone_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs._Current, "sink", None)
    stream = Untouchable()
    monkeypatch.setattr(sys, "stderr", stream)
    get_logger().info("batch_done", records=3)
    assert not stream.touched
    get_logger().warning("will_retry")
    assert "will_retry" in stream.getvalue()
