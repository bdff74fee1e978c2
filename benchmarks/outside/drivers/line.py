"""A driver's end of the connection to the judge. Standard library only: triggerkit is not installed there."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable

TABLE = "stage"
PACE = float(os.environ["OUTSIDE_PACE"])
"""How many seconds pass for the subject in one second of the machine."""
POSITION = os.environ["OUTSIDE_POSITION"]
ENDPOINT = os.environ["OUTSIDE_ENDPOINT"]
CATCHES = os.environ["OUTSIDE_CATCHES"] == "1"
"""Whether the loop that a user writes around the subject goes on behind an error."""
STATE = os.environ["OUTSIDE_STATE"]
"""A folder that outlives the process."""


_sleep = time.sleep


def paced_sleep(seconds: float) -> None:
    """Sleep in the subject's time: botocore's pauses between two tries follow it too."""
    _sleep(seconds / PACE)


class Line:
    """Says what happens, and waits where a handler would work."""

    def __init__(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", int(os.environ["OUTSIDE_BOOK"])))
        self._answers = self.socket.makefile("r", encoding="utf-8")

    def ready(self) -> None:
        """Tell that the subject has its place in the stream."""
        self.say(ready=True)

    def handle(self, key: str, number: int) -> None:
        """Hand one record over; returns when the handler is done with it."""
        self.say(key=key, number=number)
        if not self._answers.readline():
            raise SystemExit(0)

    def say(self, **content: object) -> None:
        """Say one thing; no answer is waited for."""
        self.socket.sendall(json.dumps(content).encode() + b"\n")


def main(run: Callable[[Line], None]) -> None:
    """Run a driver; an error that ends it is told by its name, as a traceback would tell it."""
    line = Line()
    try:
        run(line)
    except Exception as error:  # noqa: BLE001 (whatever ends a reader is what is asked for)
        import traceback

        traceback.print_exc()
        line.say(raised=type(error).__name__)
