"""A process that runs `triggerkit` commands in forks of itself, so that a hundred commands pay for one import.

Each command is a real process: its own descriptors, environment, folder, signals and exit code. Asked by
JSON lines on descriptor 3, answered on descriptor 4; `e2e.harness` speaks with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module

LIMIT_SECONDS = 240
PRELOADED = (
    "boto3", "botocore.session", "triggerkit.cli.check", "triggerkit.cli.enable_stream",
    "triggerkit.commands.tail", "triggerkit.commands.failures", "triggerkit.commands.invoke",
    "triggerkit.cli.list", "triggerkit.cli.main",
    "triggerkit.cli.rename", "triggerkit.commands.run", "triggerkit.destinations.file",
    "triggerkit.lease_stores.memory", "triggerkit.lease_stores.sqlite", "triggerkit.sources.dynamodb",
    "triggerkit.cli.dev", "triggerkit.dev.endpoint", "triggerkit.dev.local_services", "triggerkit.dev.sandbox",
)  # fmt: skip


def become(asked: dict[str, object]) -> None:
    """In the fork: take on folder, environment and streams, and run the command."""
    from triggerkit.cli.main import main

    signal.alarm(LIMIT_SECONDS)
    os.close(3)
    os.close(4)
    os.chdir(str(asked["folder"]))
    environment = asked["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    for number, name, flags in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_WRONLY | os.O_APPEND),
        (2, "stderr", os.O_WRONLY | os.O_APPEND),
    ):
        os.dup2(os.open(str(asked[name]), flags), number)
    arguments = asked["arguments"]
    assert isinstance(arguments, list)
    sys.argv = ["triggerkit", *arguments]
    main()


def serve() -> None:
    """Answer until the descriptor is closed."""
    for module in PRELOADED:
        import_module(module)
    with os.fdopen(3) as questions, os.fdopen(4, "w") as answers:
        while line := questions.readline():
            child = os.fork()
            if child == 0:
                become(json.loads(line))
            _, status = os.waitpid(child, 0)
            answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
            answers.flush()


if __name__ == "__main__":
    serve()
