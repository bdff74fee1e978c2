"""Time to Live: UpdateTimeToLive, DescribeTimeToLive, and the removal of what has expired.

Expired items are removed when the next request comes, at most once a second of the emulator's clock. AWS takes up
to days for it, so a program must filter out expired items itself, here as there. What expired more than five years
ago stays. Source: DynamoDB guide, Time to Live.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from triggerkit.emulator.changes import TTL_IDENTITY, commit
from triggerkit.emulator.errors import validation
from triggerkit.emulator.keys import described_table
from triggerkit.emulator.model import ItemKey, Table
from triggerkit.emulator.requests import (
    Request,
    flag,
    missing,
    optional_text,
    required_map,
)
from triggerkit.emulator.site import Site
from triggerkit.emulator.values import Item

SWEEP_SECONDS = 1.0
OLDEST_SECONDS = 5 * 365 * 24 * 3600
MAX_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class TimeToLiveApi:
    """Time to Live over one site."""

    site: Site

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "UpdateTimeToLive": self.update_time_to_live,
            "DescribeTimeToLive": self.describe_time_to_live,
        }

    def update_time_to_live(self, request: Request) -> dict[str, Any]:
        """Answer UpdateTimeToLive; it holds at once."""
        table = described_table(self.site, request)
        asked = required_map(request, "TimeToLiveSpecification")
        if asked.get("Enabled") is None:
            raise missing("timeToLiveSpecification.enabled")
        enabled, name = flag(asked, "Enabled"), optional_text(asked, "AttributeName")
        if name is None:
            raise missing("timeToLiveSpecification.attributeName")
        if not 1 <= len(name) <= MAX_NAME_LENGTH:
            raise validation(
                f"Names of key attributes and attributes projected into an index must be between 1 "
                f"and {MAX_NAME_LENGTH} characters, inclusive"
            )
        self._switch(table, enabled, name)
        return {"TimeToLiveSpecification": {"AttributeName": name, "Enabled": enabled}}

    def describe_time_to_live(self, request: Request) -> dict[str, Any]:
        """Answer DescribeTimeToLive."""
        name = described_table(self.site, request).expiry_attribute
        if name is None:
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        described = {"AttributeName": name, "TimeToLiveStatus": "ENABLED"}
        return {"TimeToLiveDescription": described}

    def _switch(self, table: Table, enabled: bool, name: str) -> None:
        running = table.expiry_attribute
        if running is not None and running != name:
            raise validation("TimeToLive is active on a different AttributeName")
        if enabled == (running is not None):
            raise validation(f"TimeToLive is already {'enabled' if enabled else 'disabled'}")
        table.expiry_attribute = name if enabled else None
        self.site.store.save_table(table)


@dataclass(slots=True)
class Sweeper:
    """Removes expired items of all tables of a site, at most once a second."""

    site: Site
    _next_seconds: float = field(default=0.0)

    def sweep(self) -> None:
        """Remove what has expired, the oldest first."""
        now_seconds = self.site.clock.now_seconds()
        if now_seconds < self._next_seconds:
            return
        self._next_seconds = now_seconds + SWEEP_SECONDS
        for table in self.site.store.tables():
            if table.expiry_attribute is not None:
                for _, key in sorted(self._expired(table, table.expiry_attribute, now_seconds)):
                    commit(self.site, table, key, None, TTL_IDENTITY)

    def _expired(
        self, table: Table, name: str, now_seconds: float
    ) -> list[tuple[decimal.Decimal, ItemKey]]:
        found = []
        for key, item in self.site.store.items(table.name):
            seconds = _expiry(item, name)
            if seconds is not None and now_seconds - OLDEST_SECONDS <= seconds <= now_seconds:
                found.append((seconds, key))
        return found


def _expiry(item: Item, name: str) -> decimal.Decimal | None:
    text = item.get(name, {}).get("N")
    return None if text is None else decimal.Decimal(text)
