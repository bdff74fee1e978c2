"""Finds blueprints. One that cannot be used is reported, and the others are found all the same."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from triggerkit.errors import UsageError, nearest
from triggerkit.scaffold.blueprints import DESCRIPTION, Blueprint, read_blueprint

ENTRY_POINTS = "triggerkit.blueprints"


@dataclass(frozen=True, slots=True)
class Shelf:
    """Every blueprint that can be used, ours first, and what is wrong with each of the others."""

    blueprints: tuple[Blueprint, ...]
    faults: tuple[UsageError, ...] = ()

    def find(self, name: str) -> Blueprint:
        """The blueprint of that name. Raises UsageError with near names."""
        for blueprint in self.blueprints:
            if blueprint.name == name:
                return blueprint
        names = [blueprint.name for blueprint in self.blueprints]
        raise UsageError(f"there is no blueprint {name!r}", hint=nearest(name, names))


def own_blueprints() -> Path:
    """The folder of our own: inside the installed package, else in the checkout beside it."""
    installed = Path(__file__).parents[1] / "_blueprints"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "blueprints"


def find_blueprints() -> Shelf:
    """Read our own folder and those that entry points of `triggerkit.blueprints` name.

    An entry point names a package or module; its folder holds blueprint folders. It is looked up
    and not run. What is wrong with one that cannot be used is in `faults`.
    """
    places: list[tuple[str, Path]] = [("triggerkit", own_blueprints())]
    faults: list[UsageError] = []
    offers = {entry.value: entry for entry in entry_points(group=ENTRY_POINTS)}  # each once
    for _, entry in sorted(offers.items()):
        try:
            places += ((entry.value, folder) for folder in _folders_of(entry))
        except UsageError as fault:
            faults.append(fault)
    return read_shelf(places, faults)


def read_shelf(places: Sequence[tuple[str, Path]], faults: Sequence[UsageError] = ()) -> Shelf:
    """Read the blueprint folders in each `(origin, folder)`; of two of one name the first stays."""
    found: dict[str, Blueprint] = {}
    wrong = list(faults)
    for origin, place in places:
        for description in sorted(place.glob(f"*/{DESCRIPTION}")):
            try:
                blueprint = read_blueprint(description.parent, origin=origin)
            except UsageError as fault:
                wrong.append(fault)
                continue
            first = found.setdefault(blueprint.name, blueprint)
            if first is not blueprint:
                wrong.append(
                    UsageError(
                        f"blueprint {blueprint.name!r} of {origin} is left out: "
                        f"{first.origin} has one of that name",
                        hint=f"give the folder and its {DESCRIPTION} another name",
                    )
                )
    return Shelf(tuple(found.values()), tuple(wrong))


def _folders_of(entry: EntryPoint) -> tuple[Path, ...]:
    """The folders of the module that `entry` names; it is found and not run."""
    try:
        spec = importlib.util.find_spec(entry.module)
    except (ImportError, ValueError) as error:
        raise _lost(entry, str(error)) from error
    if spec is None:
        raise _lost(entry, f"there is no module {entry.module!r}")
    if spec.submodule_search_locations is not None:
        return tuple(Path(folder) for folder in spec.submodule_search_locations)
    if spec.origin is None or not Path(spec.origin).is_file():
        raise _lost(entry, f"{entry.module!r} has no folder")
    return (Path(spec.origin).parent,)


def _lost(entry: EntryPoint, why: str) -> UsageError:
    owner = f" of {entry.dist.name}" if entry.dist is not None else ""
    return UsageError(
        f"blueprints {entry.name!r}{owner} cannot be found: {why}", hint="reinstall that package"
    )
