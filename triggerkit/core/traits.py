"""What differs between the services that records come from; each source says its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SourceTraits:
    """The facts about a service that the rest of the package needs."""

    kind: Literal["change", "record"]
    """Whether handlers get changes of items or records with data."""
    retention_seconds: float
    """How long the service keeps a record."""
    page_records: int
    """The most records that one fetch answers."""
    full_page_bytes: int
    """After a page of this size more is waiting: the service has cut it."""
    call_seconds: float
    """The longest that one read may take."""
    reply_bytes: int
    """The most that the reply to one read may have."""
    starting_positions: frozenset[str]
    """Those of TRIM_HORIZON, LATEST and AT_TIMESTAMP that the service has."""
    batch_info: str
    """The member of a failure record that describes the batch, as Lambda names it for the service."""
    arrival_precision: Literal["seconds", "milliseconds"]
    """Of the arrival times in that member."""
