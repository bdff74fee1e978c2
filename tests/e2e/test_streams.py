"""Standard streams that are closed, full, or read by nobody: the work goes on, and ends as it must."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from e2e.harness import PATIENCE_SECONDS, Done, Place, Tables

NOISY = """\
import pathlib
from triggerkit import Triggers
handlers = Triggers("shop")

@handlers.on("dynamodb://orders", batch_size=1)
def bill(event, context):
    for _ in range(20):
        print("x" * 10_000)
    with pathlib.Path("done.txt").open("a") as done:
        done.write(event["Records"][0]["dynamodb"]["Keys"]["id"]["S"] + "\\n")
"""
FAILING = NOISY + """    raise ValueError("x" * 10_000)\n"""
USAGE = 2
BURST = ("run", "app:handlers", "--burst", "--state", "memory:")


def shell(place: Place, command: str) -> Done:
    """Run a line of bash in which $T is the command."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place.folder,
        env=place.environ({"T": f"{sys.executable} -m triggerkit"}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def done_names(place: Place) -> list[str]:
    """What the handler has done."""
    return place.files.get("done.txt", b"").decode().split()


@contextmanager
def unread(place: Place, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command whose stderr is a pipe that nobody reads yet; and the pipe's other end."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "triggerkit", *arguments],
        cwd=place.folder,
        env=place.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writing,
    )
    os.close(writing)
    try:
        yield process, reading
    finally:
        process.kill()
        process.wait()
        os.close(reading)


def until_done(place: Place, process: subprocess.Popen[bytes], names: set[str]) -> None:
    """Wait for the handler to have done these."""
    import time

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not names <= set(done_names(place)):
        assert process.poll() is None
        assert time.monotonic() < deadline, done_names(place)
        select.select([], [], [], 0.02)


@pytest.mark.parametrize("app", [NOISY, FAILING], ids=["prints", "errors"])
def test_b8_a_log_pipe_that_nobody_reads_stops_neither_the_work_nor_a_signal(
    app: str, shop: Place, tables: Tables
) -> None:
    shop.write("app.py", app.replace('"shop"', '"shop", maximum_retry_attempts=1'))
    names = [f"o{number}" for number in range(40)]
    tables.put("orders", *names)
    with unread(shop, "run", "app:handlers", "--state", "memory:") as (process, _):
        until_done(shop, process, set(names))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0


def test_b8_a_pipe_that_is_read_late_has_the_count_of_what_was_dropped(
    shop: Place, tables: Tables
) -> None:
    shop.write("app.py", NOISY)
    tables.put("orders", *(f"o{number}" for number in range(10)))
    with unread(shop, *BURST) as (process, reading):
        until_done(shop, process, {"o9"})
        read = b""
        while piece := os.read(reading, 65536):
            read += piece
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
    last = read.decode().splitlines()[-1]
    assert '"event":"stopped"' in last
    assert '"log_lines_dropped":' in last


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full", "2> >(exit 0)", ">&- 2>&- <&-"])
def test_b8_a_stderr_that_is_gone_is_no_reason_to_stop(
    closing: str, shop: Place, tables: Tables
) -> None:
    shop.write("app.py", NOISY)
    tables.put("orders", "a", "b", "c")
    assert shell(shop, f"$T {' '.join(BURST)} {closing}").code == 0
    assert done_names(shop) == ["a", "b", "c"]


def test_b8_a_closed_stdout_ends_a_good_run_without_a_word(shop: Place, tables: Tables) -> None:
    tables.put("orders", *(f"o{number}" for number in range(300)))  # more than a pipe holds
    for command in (
        "tail dynamodb://orders --from-start -o json",
        "tail dynamodb://orders --from-start -o text",
        "demo",
        "list app:handlers -v",
        "--help",
        "check app:handlers --state memory:",
    ):
        done = shell(shop, f"$T {command} | head -1; exit ${{PIPESTATUS[0]}}")
        assert (done.code, done.stderr) == (0, ""), command
        assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        "list app:handlers",
        "check app:handlers --json --state memory:",
        "demo",
        "tail --help",
        "--help",
    ],
)
def test_e5_a_stdout_that_is_full_is_an_error_in_one_sentence(command: str, shop: Place) -> None:
    done = shell(shop, f"$T {command} > /dev/full")
    assert done.code == 2
    assert (
        done.stderr.splitlines()[0]
        == "triggerkit: stdout cannot be written: No space left on device"
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_e5_a_stdout_that_is_closed_from_the_start_harms_no_other_file(shop: Place) -> None:
    done = shell(shop, "$T list app:handlers >&-")
    assert (done.code, done.stderr) == (0, "")


@pytest.mark.parametrize("file", ["/dev/full", ".", "pipe"])
def test_e5_a_failure_file_that_is_no_file_stops_the_start(file: str, shop: Place) -> None:
    os.mkfifo(shop.folder / "pipe")
    locator = f"file://{file}"
    shop.write("app.py", FAILING.replace('"shop"', f'"shop", on_failure={locator!r}'))
    done = shop.run(*BURST)
    assert done.code == USAGE
    assert done.stderr.splitlines()[-2].startswith("triggerkit: cannot append to ")
    assert "not a file" in done.stderr.splitlines()[-2]
    assert not done_names(shop)
    assert "Traceback" not in done.stderr


def test_f2_every_command_obeys_color_and_the_environment(shop: Place, tables: Tables) -> None:
    tables.put("orders", "a")
    tail = ("tail", "dynamodb://orders", "--from-start", "-n", "1", "-o", "text")
    run = (*BURST, "--log-format", "pretty")
    for command in (tail, run):
        for words, variables, expected in (
            ((), {}, False),
            ((), {"FORCE_COLOR": "1"}, True),
            ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
            (("--color", "always"), {"NO_COLOR": "1"}, True),
            (("--color", "never"), {"FORCE_COLOR": "1"}, False),
            ((), {"TRIGGERKIT_COLOR": "always"}, True),
            ((), {"FORCE_COLOR": "", "NO_COLOR": ""}, False),
        ):
            done = shop.run(*command, *words, environment=variables)
            assert done.code == 0
            assert ("\x1b[" in done.stdout + done.stderr) is expected, (command, words, variables)


def test_f2_the_demo_has_colours_only_when_they_are_wanted(place: Place) -> None:
    for words, expected in (
        ("--color always", True),
        ("--no-color", False),
        ("--color never", False),
    ):
        done = shell(place, f"FORCE_COLOR=1 $T demo {words}")
        assert done.code == 0
        assert ("\x1b[" in done.stdout) is expected
    assert (
        "\x1b[" not in shell(place, "script -qec 'env NO_COLOR=1 '\"$T\"' demo' /dev/null").stdout
    )
