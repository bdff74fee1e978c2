"""The log in a terminal: its status line is shown while nothing happens, and gone before anybody writes."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.text import Text

from triggerkit.runtime.logs import (
    LogSettings,
    configure_logging,
    get_logger,
    own_streams,
    settle,
)
from triggerkit.runtime.terminal import ERASE, StatusLine, TerminalSink

PATIENCE_SECONDS = 120.0
WAITING = "waiting for records"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def shows(self, text: str) -> str:
        """Wait until `text` was written; all that was."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.getvalue():
            assert time.monotonic() < deadline, self.getvalue()
            time.sleep(0.005)
        return self.getvalue()


@contextmanager
def live(terminal: Terminal, level: str = "info") -> Iterator[None]:
    restore = configure_logging(LogSettings("auto", level, live=True), terminal)  # type: ignore[arg-type]
    try:
        yield
    finally:
        restore()


@pytest.fixture(autouse=True)
def _can_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")


def batch(records: int) -> None:
    numbers = {"records": records, "iterator_age_seconds": 0.1, "duration_seconds": 0.1}
    get_logger().info("batch_done", trigger="bill", shard="s-1", **numbers)


def note(status: StatusLine, event: str, **fields: object) -> None:
    status.note({"event": event, "trigger": "bill", "timestamp": "10:20:30", **fields})


def test_it_tells_what_was_done_given_up_and_tried_again() -> None:
    status = StatusLine()
    assert not status.may_show
    note(status, "started")
    assert status.may_show
    note(status, "batch_invoked")
    assert not status.may_show
    note(status, "batch_done", records=1234)
    assert status.text(100) == "waiting for records  1,234 records done  last call 10:20:30"
    note(status, "batch_invoked")
    note(status, "batch_failed", records=1)
    assert status.text(100).startswith("tries again: bill  ")
    note(status, "records_discarded", records=1)
    assert "waiting for records  1,234 records done  1 given up" in status.text(100)
    assert status.text(40) == "waiting for records  1,234 records don…"
    status.failing.add("账单" * 20)  # each character takes two columns
    assert Text(status.text(40)).cell_len <= 39
    note(status, "draining")
    assert not status.may_show


def test_many_failing_triggers_are_counted() -> None:
    status = StatusLine()
    for number in range(5):
        note(status, "batch_failed", trigger=f"t{number}")
    assert status.text(100).startswith("tries again: t0, t1, t2 and 2 more  ")


def test_it_comes_after_a_while_and_goes_before_the_next_line() -> None:
    terminal = Terminal()
    with live(terminal):
        get_logger().info("started", message="running")
        assert WAITING not in terminal.getvalue()
        terminal.shows(WAITING)
        get_logger().warning("lease_lost")
        assert f"{ERASE}" in terminal.getvalue()
        assert terminal.getvalue().split(ERASE)[1].endswith("lease lost\n")
        terminal.shows(f"lease lost\n{WAITING}")
    assert terminal.getvalue().endswith(ERASE)


def test_it_is_gone_while_a_handler_runs() -> None:
    terminal = Terminal()
    with live(terminal):
        get_logger().info("started")
        terminal.shows(WAITING)
        get_logger().debug("batch_invoked", trigger="bill")
        assert terminal.getvalue().endswith(ERASE)


def test_what_is_printed_meanwhile_is_a_line_of_its_own_and_is_not_torn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with live(terminal):
        with own_streams():
            get_logger().info("started", message="running")
            terminal.shows(WAITING)
            print("half a line, ", end="")
            print("and the rest")
            after = terminal.shows(f"the rest\n{WAITING}")
            print("open", end="")
            get_logger().warning("lease_lost")
        assert re.search(f"{re.escape(ERASE)}[0-9:]+  half a line, and the rest\n", after)
        assert re.search("[0-9:]+  open\n", terminal.getvalue())
        assert sys.stdout is terminal


def test_settling_takes_it_away_for_good_and_tells_what_was_counted() -> None:
    terminal = Terminal()
    with live(terminal):
        get_logger().info("started")
        for _ in range(3):
            batch(2)
        settle()
        settled = terminal.getvalue()
        assert "2 records done" in settled
        assert "4 records done in 2 batches" in settled
    assert WAITING not in terminal.getvalue()


@pytest.mark.parametrize(
    ("level", "term"), [("warning", "xterm"), ("debug", "xterm"), ("info", "dumb")]
)
def test_quiet_verbose_and_simple_terminals_have_none(
    level: str, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    terminal = Terminal()
    with live(terminal, level):
        get_logger().info("started")
    assert ERASE not in terminal.getvalue()
    assert WAITING not in terminal.getvalue()


def test_counts_that_wait_are_written_by_themselves() -> None:
    terminal = Terminal()
    restore = configure_logging(LogSettings("auto"), terminal)
    try:
        batch(2)
        batch(3)
        assert "3 records" not in terminal.getvalue()
        terminal.shows("3 records done")
    finally:
        restore()


class Stuck(Terminal):
    """Its first write does not end before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.may_end = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        if not self.began.is_set():
            self.began.set()
            self.may_end.wait(PATIENCE_SECONDS)
        return super().write(text)


def test_a_child_that_was_forked_while_another_thread_wrote_can_write() -> None:
    terminal = Stuck()
    sink = TerminalSink(terminal, colours=False, everything=False, live=True)

    def warn(message: str) -> None:
        entry = {"event": "waiting", "level": "warning", "message": message}
        sink.write(entry, ours=True, keep=True)

    writer = threading.Thread(target=warn, args=("in the parent",))
    writer.start()
    assert terminal.began.wait(PATIENCE_SECONDS)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        warn("in the child")
        os._exit(0 if "in the child" in terminal.getvalue() else 1)
    terminal.may_end.set()
    writer.join(PATIENCE_SECONDS)
    assert os.waitpid(child, 0)[1] == 0
    assert "in the parent" in terminal.getvalue()
