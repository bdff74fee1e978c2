"""Makes project folders of blueprints, for `triggerkit init`. A template is text and never run."""

from __future__ import annotations

from triggerkit.scaffold.blueprints import Blueprint, Variable, read_blueprint
from triggerkit.scaffold.folders import check_free, write_folder
from triggerkit.scaffold.rendering import project_name, render
from triggerkit.scaffold.shelf import Shelf, find_blueprints, read_shelf

__all__ = [
    "Blueprint",
    "Shelf",
    "Variable",
    "check_free",
    "find_blueprints",
    "project_name",
    "read_blueprint",
    "read_shelf",
    "render",
    "write_folder",
]
