"""Finds adapters by their scheme, through entry points; only the one that is asked for is imported.

Another package adds one with an entry point of the group `triggerkit.sources`, `triggerkit.lease_stores` or
`triggerkit.destinations`: its name is the scheme, its value the adapter's `open`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeAlias, cast

from triggerkit.core.locators import Locator
from triggerkit.errors import LocatorError, nearest
from triggerkit.ports import Destination, LeaseStore, Services, Source

Group: TypeAlias = Literal["sources", "lease_stores", "destinations"]

_WHAT: dict[Group, str] = {
    "sources": "source",
    "lease_stores": "state",
    "destinations": "on_failure destination",
}


def open_source(locator: Locator, services: Services) -> Source:
    """Open the source that `locator` names.

    Raises:
        LocatorError: unknown scheme, an adapter that cannot be imported, or a bad name or key.
    """
    return cast("Callable[[Locator, Services], Source]", _adapter("sources", locator))(
        locator, services
    )


def open_lease_store(locator: Locator, services: Services) -> LeaseStore:
    """Open the lease store that `locator` names. Raises LocatorError as `open_source` does."""
    return cast("Callable[[Locator, Services], LeaseStore]", _adapter("lease_stores", locator))(
        locator, services
    )


def open_destination(locator: Locator, services: Services) -> Destination:
    """Open the destination that `locator` names. Raises LocatorError as `open_source` does."""
    return cast("Callable[[Locator, Services], Destination]", _adapter("destinations", locator))(
        locator, services
    )


def schemes(group: Group) -> tuple[str, ...]:
    """The schemes that are installed for `group`, sorted."""
    return tuple(sorted(entry_points(group=f"triggerkit.{group}").names))


def _adapter(group: Group, locator: Locator) -> object:
    scheme, where = locator.scheme, f"locator {locator.shown!r}"
    found = {entry.value: entry for entry in entry_points(group=f"triggerkit.{group}", name=scheme)}
    if not found:
        known = schemes(group)
        raise LocatorError(
            f"{where}: no {_WHAT[group]} has the scheme {scheme!r}",
            hint=nearest(scheme, known) if known else "install triggerkit: pip install .",
        )
    if len(found) > 1:
        offers = ", ".join(f"{entry.value}{_package_of(entry)}" for entry in found.values())
        raise LocatorError(
            f"{where}: more than one {_WHAT[group]} has the scheme {scheme!r}: {offers}",
            hint="uninstall all but one",
        )
    (entry,) = found.values()
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise LocatorError(
            f"{where}: the adapter {entry.value} cannot be imported: {error}",
            hint=f"reinstall the package that offers it{_package_of(entry)}",
        ) from error


def _package_of(entry: EntryPoint) -> str:
    return f" ({entry.dist.name})" if entry.dist is not None else ""
