"""The parameters of a command as its work takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class ConfigurationFlags:
    """Where the configuration and the code are."""

    target: str | None = None
    env: str = ""
    env_file: str | None = None
    config: str | None = None
    app: str | None = None
    state: str | None = None
    trigger: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    set_: tuple[str, ...] = ()
    access: Mapping[str, str] | None = None


def access_of(given: Mapping[str, Any]) -> dict[str, str]:
    """The keys that every locator falls back to, out of a command's parameters."""
    return {key: given[key] for key in ("profile", "region", "endpoint_url") if given.get(key)}


def read_flags(given: Mapping[str, Any]) -> ConfigurationFlags:
    """Pick the configuration flags out of a command's parameters."""
    names = {item.name for item in fields(ConfigurationFlags)}
    said = {name: given[name] for name in names & given.keys()}
    return ConfigurationFlags(**said, access=access_of(given))
