"""`triggerkit dev`: all is checked before a file is written or a port is opened.

One process holds the endpoint and watches the files; the worker is a child, so that a change
loads all code again and a handler that hangs can be ended. Both end together.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from triggerkit.commands.loading import find_target, read_configuration
from triggerkit.commands.output import say, set_up_logging, show_line
from triggerkit.commands.signals import SIGNALS
from triggerkit.commands.streams import silence
from triggerkit.configuration import Configuration, apply_env_file
from triggerkit.core.safe_text import safe
from triggerkit.dev.child import start_child
from triggerkit.dev.link import FOLDER, DevLink, claimed, publish, refuse_second
from triggerkit.dev.local_services import Address, LocalServices, read_backend
from triggerkit.dev.reload import Reloader, watched
from triggerkit.dev.sandbox import REGION, exported, reaching_aws, sandboxed
from triggerkit.emulator import Emulator, Server, serve
from triggerkit.emulator.control import Control
from triggerkit.errors import EXIT_INTERRUPTED, UsageError
from triggerkit.runtime.colours import chosen_colours
from triggerkit.runtime.tables import read_tables

HOST = "127.0.0.1"
TABLES_FILE = "dev.db"
STATE_FILE = "dev-state.db"
STATE = f"sqlite:///{FOLDER}/{STATE_FILE}"
LAST_STEPS_SECONDS = 6.0
"""After the drain: how long a worker may take to release and to close."""


def develop(given: Mapping[str, Any]) -> int:
    """Serve and run until stopped; the exit code. `given` are the command's parameters.

    Raises:
        UsageError, LocatorError, StateError: no target, a wrong `[dev.tables]`, a backend that is none, a
            port or file that is taken; before anything is touched.
    """
    restore_logging = set_up_logging(given)
    if given["env_file"]:
        apply_env_file(Path(given["env_file"]), os.environ)
    configuration = read_configuration(given)
    if not given["no_triggers"]:
        find_target(given["target"], configuration)
    read_tables(configuration, os.environ)
    backend = read_backend(given["backend"]) if given["backend"] else None
    refuse_second(configuration.folder)
    refuse_taken(given["port"])
    try:
        with ExitStack() as closing:
            place = closing.enter_context(claimed(configuration.folder))
            if given["fresh"]:
                throw_away(place)
            server, link = open_endpoint(given, backend, place, closing)
            publish(place, link)
            try:
                greet(given, link, place, kept_tables(server))
            except BrokenPipeError:  # nobody reads what it says; it serves all the same
                silence(sys.stdout)
            return asyncio.run(supervise(given, configuration, server.endpoint_url))
    finally:
        restore_logging()


def refuse_taken(port: int) -> None:
    """Raises UsageError: another program listens on `port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
            trial.listen()
        except OSError as error:
            raise UsageError(
                f"port {port} of {HOST} cannot be used: {error.strerror}",
                hint="choose another with --port N, or any free one with --port 0",
            ) from None


def throw_away(place: Path) -> None:
    """Remove tables and positions of earlier runs."""
    for name in (TABLES_FILE, STATE_FILE):
        for file in place.glob(f"{name}*"):
            file.unlink()


def open_endpoint(
    given: Mapping[str, Any], backend: Address | None, place: Path, closing: ExitStack
) -> tuple[Server, DevLink]:
    """Open the tables and the port.

    Raises:
        StateError: the file of the tables cannot be used. UsageError: the port was taken just now.
    """
    others = LocalServices(backend)
    closing.callback(others.close)
    emulator = Emulator(region=REGION, path=None if backend else place / TABLES_FILE)
    closing.callback(emulator.close)
    token = secrets.token_urlsafe(32)
    try:
        server = closing.enter_context(
            serve(emulator, HOST, given["port"], control=Control(emulator, token), others=others)
        )
    except OSError as error:
        raise UsageError(f"the port cannot be used: {error}", hint="choose --port N") from None
    return server, DevLink(server.endpoint_url, os.getpid(), token, given["backend"] or "")


def kept_tables(server: Server) -> list[str]:
    """The tables of earlier runs; none with a backend, where the emulator is empty."""
    found: list[str] = server.emulator.call("ListTables", {})["TableNames"]
    return found


def greet(given: Mapping[str, Any], link: DevLink, place: Path, kept: Sequence[str]) -> None:
    """Where it is, what is there already, and how other programs find it."""
    what = f"DynamoDB of {link.backend}" if link.backend else "DynamoDB and DynamoDB Streams"
    say(f"triggerkit dev: {what} at {link.endpoint_url}, for this machine only")
    if kept:
        say(f"Tables from earlier runs, with their streams: {', '.join(kept)}")
    if not link.backend:
        say(f"Tables and positions are kept in {place}; --fresh forgets them.")
    if given["aws"]:
        say("Handlers reach AWS for everything but DynamoDB, with your credentials (--aws).")
    say()
    say("""Write an item, in another terminal: triggerkit put TABLE '{"id": "1"}'""")
    say("For other programs, of any AWS SDK:")
    for name, value in exported(link.endpoint_url).items():
        show_line(safe(f"  export {name}={shlex.quote(value)}"))
    say()
    sys.stdout.flush()


async def supervise(
    given: Mapping[str, Any], configuration: Configuration, endpoint_url: str
) -> int:
    """Run the worker, again after each change, until a signal; the exit code."""
    environ = (reaching_aws if given["aws"] else sandboxed)(os.environ, endpoint_url)
    passed = {**given, "state": STATE, "color": chosen_colours()}

    def words(line: int) -> Sequence[str]:
        arguments = json.dumps({**passed, "line": line})
        return (sys.executable, "-B", "-P", "-m", "triggerkit.dev.worker", arguments)

    reloader = Reloader(
        lambda: start_child(words, environ, lambda: reloader.worker_is_ready()),
        nothing() if given["no_reload"] else watched(*what_to_watch(given, configuration)),
        given["drain_timeout"] + LAST_STEPS_SECONDS,
    )
    running = asyncio.ensure_future(reloader.run())
    stop_on_signals(reloader, running)
    try:
        return await running
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED


def stop_on_signals(reloader: Reloader, running: asyncio.Future[int]) -> None:
    """First SIGINT or SIGTERM: the worker drains. Second: it is killed."""
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            running.cancel()
        asked = True
        reloader.stop()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)


def what_to_watch(
    given: Mapping[str, Any], configuration: Configuration
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Folders with code, and single files."""
    folders = {Path.cwd(), configuration.folder.resolve()}
    target = given["target"]
    if target and "/" in target:
        place = Path(target.partition(":")[0]).resolve().parent
        folders.add(place)
    inner = {one for one in folders if any(outer in one.parents for outer in folders)}
    files = (configuration.path,) if configuration.path else ()
    return tuple(sorted(folder for folder in folders - inner if folder.is_dir())), files


async def nothing() -> AsyncIterator[Sequence[Path]]:
    """No change, ever; the worker's end is the end."""
    changes: tuple[Sequence[Path], ...] = ()
    for change in changes:
        yield change
