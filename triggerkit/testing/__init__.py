"""Test triggers without AWS: typed changes and events for unit tests, a simulator for everything else.

Importing this package loads nothing; each name loads what it needs on first use, and never boto3.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triggerkit.cassettes.reading import Cassette, load_cassette
    from triggerkit.testing.events import (
        inserted,
        make_context,
        make_event,
        modified,
        record,
        removed,
    )
    from triggerkit.testing.factory import SimulationFactory
    from triggerkit.testing.simulator import Simulation

__all__ = [
    "Cassette",
    "Simulation",
    "SimulationFactory",
    "inserted",
    "load_cassette",
    "make_context",
    "make_event",
    "modified",
    "record",
    "removed",
]

_MODULES = {
    "Cassette": "cassettes.reading",
    "Simulation": "testing.simulator",
    "SimulationFactory": "testing.factory",
    "load_cassette": "cassettes.reading",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'triggerkit.testing' has no attribute {name!r}")
    module = import_module(f"triggerkit.{_MODULES.get(name, 'testing.events')}")
    found: object = getattr(module, name)
    globals()[name] = found
    return found
