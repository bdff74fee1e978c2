"""The simulation's source keeps the contract of every source: it is the real reader over another client."""

from __future__ import annotations

from random import Random

import pytest

from triggerkit.emulator import Emulator
from triggerkit.ports import Source
from triggerkit.runtime.tables import DevTable
from triggerkit.testing.clock import VirtualClock
from triggerkit.testing.contracts import LineageContract, RollingWorld, SourceContract
from triggerkit.testing.network import Line
from triggerkit.testing.source import open_source


class EmulatorWorld:
    def __init__(self) -> None:
        self._clock = VirtualClock()
        self._emulator = Emulator(self._clock)
        self._emulator.call("CreateTable", DevTable("orders").request())

    def open(self) -> Source:
        return open_source(self._emulator, "orders", Line(Random(1), (0.0,)), self._clock)

    def write(self, *names: str) -> None:
        for name in names:
            self._emulator.call("PutItem", {"TableName": "orders", "Item": {"id": {"S": name}}})
        self._clock.pass_seconds(2.0)

    def roll(self) -> None:
        self._emulator.roll("orders")

    def split(self) -> None:
        self._emulator.split("orders")


class TestSimulatedSource(SourceContract, LineageContract):
    @pytest.fixture
    def world(self) -> RollingWorld:
        return EmulatorWorld()
