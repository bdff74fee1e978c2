"""The connection between a subject's process and the judge: one JSON object a line, one answer a record.

A record counts as delivered when the judge takes it, not when it was sent; until then the
subject's handler waits for its answer, which keeps the handler busy.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from outside.judge import Record


@dataclass(frozen=True, slots=True)
class Message:
    """What a subject said, and where the answer goes."""

    connection: socket.socket
    content: dict[str, Any]


class Book:
    """Listens on loopback; every process of a subject holds one connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.failures: list[str] = []
        self._messages: queue.Queue[Message] = queue.Queue()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_ready(self, workers: int, patience_seconds: float) -> None:
        """Wait until so many workers have a place in the stream; an error of theirs ends the wait."""
        deadline = time.monotonic() + patience_seconds
        kept: list[Message] = []
        while workers > 0 and not self.failures and time.monotonic() < deadline:
            message = self._next(0.1)
            if message is None:
                continue
            if "ready" in message.content:
                workers -= 1
            else:
                kept.append(message)
        for message in kept:
            self._messages.put(message)

    def next_record(self, patience_seconds: float) -> Record | None:
        """Take the next record; None when none comes in time, or an error does."""
        message = self._next(patience_seconds)
        if message is None:
            return None
        if "key" not in message.content:  # ready, later than was waited for
            return self.next_record(patience_seconds)
        try:
            message.connection.sendall(b"go\n")
        except OSError:  # killed meanwhile: it was not handed over
            return self.next_record(patience_seconds)
        return message.content["key"], message.content["number"]

    def forget(self) -> None:
        """Drop what was sent by processes that have ended."""
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._messages = queue.Queue()

    def close(self) -> None:
        """Listen no more."""
        self.forget()
        self._listener.close()

    def _next(self, patience_seconds: float) -> Message | None:
        deadline = time.monotonic() + patience_seconds
        while not self.failures:
            try:
                message = self._messages.get(
                    timeout=max(0.0, min(0.1, deadline - time.monotonic()))
                )
            except queue.Empty:
                if time.monotonic() >= deadline:
                    return None
                continue
            if message.connection in self._open:
                return message
        return None

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        messages = self._messages
        try:
            with connection.makefile("r", encoding="utf-8") as lines:
                for line in lines:
                    content = json.loads(line)
                    if "raised" in content:
                        self.failures.append(content["raised"])
                    else:
                        messages.put(Message(connection, content))
        except (OSError, ValueError):  # the process was killed, or the line ends in the middle
            pass
        if connection in self._open:
            self._open.remove(connection)
