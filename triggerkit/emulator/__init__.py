"""The embedded endpoint: DynamoDB, its Streams and Kinesis in this process, for development and tests.

`serve` puts it behind HTTP on loopback, `attach` behind a boto3 client without sockets; `Emulator(path=...)` keeps
its state in a file. Its tests compare it with DynamoDB Local and Kinesis Mock; what it does not have it refuses by
name. It needs the standard library only, and imports nothing of triggerkit but its errors.
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
