"""The contract of destinations over every destination there is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from triggerkit.core.locators import parse
from triggerkit.destinations import file
from triggerkit.ports import Destination
from triggerkit.testing.contracts import DestinationContract, DestinationWorld
from triggerkit.testing.contracts.lease_rig import inline_services


class FileWorld:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> Destination:
        return file.open(parse("file:failures.jsonl"), inline_services(str(self._folder)))

    def open_broken(self) -> Destination:
        locator = parse("file:plain/failures.jsonl")
        destination = file.open(locator, inline_services(str(self._folder)))
        (self._folder / "plain").write_text("a file, no folder")  # later: opening would refuse it
        return destination

    def documents(self) -> Sequence[Mapping[str, Any]]:
        path = self._folder / "failures.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]


class TestFile(DestinationContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> DestinationWorld:
        return FileWorld(tmp_path)
