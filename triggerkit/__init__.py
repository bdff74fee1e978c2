"""Database triggers as plain Python functions.

Importing this package loads no engine, no SDK and no network code; each name is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triggerkit import events
    from triggerkit.core.changes import Batch, Change, Inserted, Modified, Removed
    from triggerkit.core.outcome import Discard, Retry
    from triggerkit.errors import TriggerkitError
    from triggerkit.triggers import Context, Options, Triggers
    from triggerkit.worker import Worker

__version__ = "0.1.0"
__all__ = [
    "Batch",
    "Change",
    "Context",
    "Discard",
    "Inserted",
    "Modified",
    "Options",
    "Removed",
    "Retry",
    "TriggerkitError",
    "Triggers",
    "Worker",
    "__version__",
    "events",
]

_MODULES = {
    "Batch": "core.changes",
    "Change": "core.changes",
    "Context": "triggers",
    "Discard": "core.outcome",
    "Inserted": "core.changes",
    "Modified": "core.changes",
    "Options": "triggers",
    "Removed": "core.changes",
    "Retry": "core.outcome",
    "TriggerkitError": "errors",
    "Triggers": "triggers",
    "Worker": "worker",
}


def __getattr__(name: str) -> object:
    if name == "events":
        return import_module("triggerkit.events")
    if name not in _MODULES:
        raise AttributeError(f"module 'triggerkit' has no attribute {name!r}")
    found: object = getattr(import_module(f"triggerkit.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
