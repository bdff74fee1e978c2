"""Database triggers as plain Python functions.

Rule: importing this package loads no engine, no SDK and no network code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from triggerkit.core.changes import Batch, Change, Inserted, Modified, Removed
from triggerkit.errors import TriggerkitError
from triggerkit.triggers import Context, Options, Triggers

if TYPE_CHECKING:
    from triggerkit.core.outcome import Discard, Retry

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
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in {"Discard", "Retry"}:
        raise AttributeError(f"module 'triggerkit' has no attribute {name!r}")
    from triggerkit.core import outcome

    found: object = getattr(outcome, name)
    globals()[name] = found
    return found
