"""The destination `folder:PATH`: one JSON file for each failure record."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

from triggerkit.errors import DestinationError
from triggerkit.ports import Destination, FailureRecord, Locator, Services, check_keys


def open(locator: Locator, services: Services) -> Destination:
    """Open `folder:PATH`, relative to the base path. Raises LocatorError: it has a key."""
    check_keys(locator, frozenset())
    return FolderDestination(Path(services.base_path, locator.name), services)


class FolderDestination:
    """Implements `triggerkit.ports.Destination`."""

    def __init__(self, folder: Path, services: Services) -> None:
        self._folder = folder
        self._run = services.run

    async def prepare(self) -> None:
        """Make the folder. Raises DestinationError."""
        await self._write(lambda: self._folder.mkdir(exist_ok=True))

    async def send(self, record: FailureRecord) -> None:
        """Write the failure record. Raises DestinationError."""
        text = json.dumps({"trigger": record.trigger, **record.document})
        file = self._folder / f"{uuid.uuid4()}.json"
        await self._write(lambda: file.write_text(text))

    async def close(self) -> None:
        """Nothing is open."""

    async def _write(self, write: Callable[[], object]) -> None:
        try:
            await self._run(write)
        except OSError as error:
            raise DestinationError(f"{self._folder}: {error}", hint="name a folder") from error
