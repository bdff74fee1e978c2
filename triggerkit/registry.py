"""How adapters are found: by scheme, through entry points. Rule: only the adapter asked for is imported.

A third party adds one with an entry point of the group `triggerkit.sources`, `.lease_stores`,
`.destinations` or `.invokers`, named as the scheme and pointing at its `open`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeAlias, cast

from triggerkit.core.locators import Locator
from triggerkit.errors import LocatorError, nearest
from triggerkit.ports import Destination, Invoker, LeaseStore, Services, Source

Group: TypeAlias = Literal["sources", "lease_stores", "destinations", "invokers"]

_WHAT: dict[Group, str] = {
    "sources": "source",
    "lease_stores": "state",
    "destinations": "on_failure destination",
    "invokers": "invoker",
}


def open_source(locator: Locator, services: Services) -> Source:
    """Open the source that `locator` names.

    Raises:
        LocatorError: unknown scheme, an adapter that cannot be imported, or a bad name or key.
    """
    opened = _adapter("sources", locator.scheme, locator.shown)
    return cast(Callable[[Locator, Services], Source], opened)(locator, services)


def open_lease_store(locator: Locator, services: Services) -> LeaseStore:
    """Open the lease store that `locator` names. Raises LocatorError as `open_source` does."""
    opened = _adapter("lease_stores", locator.scheme, locator.shown)
    return cast(Callable[[Locator, Services], LeaseStore], opened)(locator, services)


def open_destination(locator: Locator, services: Services) -> Destination:
    """Open the destination that `locator` names. Raises LocatorError as `open_source` does."""
    opened = _adapter("destinations", locator.scheme, locator.shown)
    return cast(Callable[[Locator, Services], Destination], opened)(locator, services)


def find_invoker(name: str) -> Callable[..., Invoker]:
    """The `open` of an invoker, such as `inprocess`. Raises LocatorError as `open_source` does."""
    return cast(Callable[..., Invoker], _adapter("invokers", name, name))


def schemes(group: Group) -> tuple[str, ...]:
    """The schemes that are installed for `group`, sorted."""
    return tuple(sorted(entry_points(group=f"triggerkit.{group}").names))


def _adapter(group: Group, scheme: str, text: str) -> object:
    entry = _entry(group, scheme, text)
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise LocatorError(
            f"locator {text!r}: the adapter {entry.value} cannot be imported: {error}",
            hint=f"reinstall the package that offers it{_distribution(entry)}",
        ) from error


def _entry(group: Group, scheme: str, text: str) -> EntryPoint:
    found = list(entry_points(group=f"triggerkit.{group}", name=scheme))
    if not found:
        known = schemes(group)
        raise LocatorError(
            f"locator {text!r}: no {_WHAT[group]} has the scheme {scheme!r}",
            hint=nearest(scheme, known) if known else "install triggerkit: pip install .",
        )
    if len({entry.value for entry in found}) > 1:
        offers = ", ".join(f"{entry.value}{_distribution(entry)}" for entry in found)
        raise LocatorError(
            f"locator {text!r}: more than one {_WHAT[group]} has the scheme {scheme!r}: {offers}",
            hint="uninstall all but one",
        )
    return found[0]


def _distribution(entry: EntryPoint) -> str:
    return f" ({entry.dist.name})" if entry.dist is not None else ""
