"""The embedded endpoint: DynamoDB, its Streams and Kinesis in this process, for development and tests.

Rule: one engine, two skins. `serve` puts it behind HTTP on loopback, `attach` behind a boto3 client
without sockets; `Emulator(path=...)` keeps its state in a file. It is proved by comparison with DynamoDB
Local and Kinesis Mock, never by itself, and what it does not have it refuses by name. Stdlib only;
nothing of triggerkit but its errors is imported.
"""

from __future__ import annotations

from triggerkit.emulator.barriers import Barrier
from triggerkit.emulator.calls import LoggedCall
from triggerkit.emulator.engine import Emulator
from triggerkit.emulator.errors import EmulatorError
from triggerkit.emulator.faults import Damage, Faults
from triggerkit.emulator.http import Server, serve
from triggerkit.emulator.inprocess import attach, detach
from triggerkit.emulator.site import Clock, RealClock, VirtualClock

__all__ = [
    "Barrier",
    "Clock",
    "Damage",
    "Emulator",
    "EmulatorError",
    "Faults",
    "LoggedCall",
    "RealClock",
    "Server",
    "VirtualClock",
    "attach",
    "detach",
    "serve",
]
