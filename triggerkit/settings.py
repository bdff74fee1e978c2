"""What will run: options, locators and names, settled, each with where its value came from.

From strong to weak: `--set` and `TRIGGERKIT_SET`, the configuration's `triggers`, the decorator, the
configuration's `defaults`, `Triggers(**defaults)`, built in; the env overlay wins at each level of the
configuration. `${VAR}` is resolved here; the process environment beats the configuration's `vars`.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from triggerkit.configuration import Configuration, Layer
from triggerkit.core.locators import SHARED_KEYS, Locator, parse, resolve
from triggerkit.core.options import (
    OPTION_NAMES,
    MappingOptions,
    canonical,
    read_options,
)
from triggerkit.errors import (
    ImplicitStateError,
    LocatorError,
    NoTriggersError,
    OptionError,
    UsageError,
    close_name,
    nearest,
)
from triggerkit.triggers import Trigger, Triggers, check_name

DEFAULT_STATE = "sqlite:///.triggerkit/state.db"
BUILT_IN = "built-in"


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says; a default means that it says nothing.

    `select` and `exclude` are globs over trigger names; `overrides` are the texts of `--set`.
    """

    app: str | None = None
    state: str | None = None
    target: str | None = None
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MappingPlan:
    """One source of one trigger, ready to run.

    `provenance` tells for each option where its value came from: a flag, a table of the configuration,
    the decorator, `Triggers(...)` or `built-in`.
    """

    trigger: Trigger
    name: str
    source_locator: Locator
    options: MappingOptions
    provenance: Mapping[str, str]
    on_failure: Locator | None
    state: Locator


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process will run.

    `base_path` is the folder that relative paths start from. `origins` tells where `app` and `state`
    came from.
    """

    app: str
    env: str
    state: Locator
    state_is_implicit: bool
    base_path: str
    mappings: tuple[MappingPlan, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What the configuration says and is left out, a sentence each."""

    @property
    def namespace(self) -> str:
        """`app@env`, or `app` without an environment: the first part of every lease key."""
        return f"{self.app}@{self.env}" if self.env else self.app


def build_settings(
    triggers: Triggers[Any] | None,
    configuration: Configuration,
    flags: Flags,
    environ: Mapping[str, str],
) -> Settings:
    """Settle everything.

    Args:
        triggers: the target; None for commands that need the app and its state only.
        configuration: the file, with the overlay of the environment.
        flags: the command line.
        environ: the process environment: `${VAR}`, and `TRIGGERKIT_SET` as a shell would split it.

    Raises:
        NoTriggersError: no trigger is declared, or a glob selects none.
        OptionError, LocatorError, UsageError: a value that cannot be used, named with its origin.
    """
    variables = {**configuration.vars, **environ}
    state_text, state_origin = _first(
        (flags.state, "--state"),
        (configuration.state, configuration.origins.get("state", "")),
        (DEFAULT_STATE, BUILT_IN),
    )
    app, app_origin = _app(triggers, configuration, flags)
    state = parse(resolve(state_text, variables))
    mappings: tuple[MappingPlan, ...] = ()
    notes = configuration.notes
    if triggers is not None:
        found = triggers.triggers
        notes += _check_tables(found, configuration, flags)
        overrides = _overrides(flags, environ, [trigger.name for trigger in found])
        mappings = tuple(
            plan
            for trigger in _selected(found, flags)
            for plan in _plans(trigger, configuration, overrides, variables, state)
        )
    if configuration.env:
        check_name(configuration.env, what="environment")
    return Settings(
        app=check_name(app, what="app"),
        env=configuration.env,
        state=state,
        state_is_implicit=state_origin == BUILT_IN,
        base_path=str(configuration.folder),
        mappings=mappings,
        origins={"app": app_origin, "state": state_origin},
        notes=notes,
    )


def container_sign(environ: Mapping[str, str], root: Path = Path("/")) -> str:
    """What shows that this process runs in a container; empty when nothing does.

    Args:
        environ: the process environment.
        root: the root of the file system.
    """
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "KUBERNETES_SERVICE_HOST is set"
    for name in (".dockerenv", "run/.containerenv"):
        if (root / name).exists():
            return f"/{name} exists"
    try:
        groups = (root / "proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for word in ("docker", "kubepods", "containerd", "libpod"):
        if word in groups:
            return f"/proc/1/cgroup names {word}"
    return ""


def refuse_implicit_state(settings: Settings, sign: str) -> None:
    """Refuse the default state file inside a container: it would die with it.

    Args:
        settings: what will run.
        sign: what `container_sign` found; empty outside a container.

    Raises:
        ImplicitStateError: naming the file and the flag that says where state is to be.
    """
    if sign and settings.state_is_implicit:
        raise ImplicitStateError(
            f"state would be kept in {settings.state} inside a container ({sign}) and die with it",
            hint="say where: --state sqlite:////MOUNTED/state.db, or memory: to start over each time",
        )


def parse_value(option: str, text: str) -> object:
    """Read the value of `--set NAME.OPTION=VALUE`: a TOML value, or else the text itself.

    `none` unsets an option whose default is None.
    """
    known = MappingOptions.model_fields.get(option)
    if text == "none" and known is not None and known.default is None:
        return None
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value


@dataclass(frozen=True, slots=True)
class _Override:
    glob: str
    layer: Layer


def _overrides(
    flags: Flags, environ: Mapping[str, str], names: Sequence[str]
) -> tuple[_Override, ...]:
    try:
        from_environ = shlex.split(environ.get("TRIGGERKIT_SET", ""))
    except ValueError as error:
        raise UsageError(
            f"TRIGGERKIT_SET cannot be split: {error}", hint="quote it as for a shell"
        ) from None
    given = [("TRIGGERKIT_SET", text) for text in from_environ]
    given += [("--set", text) for text in flags.overrides]
    return tuple(_override(origin, text, names) for origin, text in given)


def _override(origin: str, text: str, names: Sequence[str]) -> _Override:
    left, equals, value = text.partition("=")
    glob, dot, option = left.strip().rpartition(".")
    where = f"{origin} {text}"
    if not equals or not dot or not glob or not option:
        raise UsageError(f"{where}: not NAME.OPTION=VALUE", hint="write it as notify.batch_size=10")
    if not any(fnmatchcase(name, glob) for name in names):
        raise UsageError(f"{where}: no trigger is named {glob!r}", hint=nearest(glob, names))
    options = canonical({option: parse_value(option, value.strip())}, where=where)
    return _Override(glob, Layer(where, options))


def _check_tables(
    triggers: Sequence[Trigger], configuration: Configuration, flags: Flags
) -> tuple[str, ...]:
    """Refuse tables of triggers that do not exist; those of another target are left out, with a note.

    A target that the command line names may be another one than the configuration is written for. Where
    the configuration names none, a name that is nearly right is taken for a mistake.
    """
    names = [trigger.name for trigger in triggers]
    notes = []
    for name, layers in configuration.triggers.items():
        if name in names:
            continue
        is_other = flags.target is not None and flags.target != configuration.target
        is_typo = configuration.target is None and close_name(name, names) is not None
        if not is_other or is_typo:
            raise UsageError(f"{layers[0].origin}: no such trigger", hint=nearest(name, names))
        notes.append(f"{layers[0].origin} is left out: {flags.target} has no such trigger")
    return tuple(notes)


def _selected(triggers: Sequence[Trigger], flags: Flags) -> list[Trigger]:
    names = [trigger.name for trigger in triggers]
    if not names:
        raise NoTriggersError(
            "the target declares no trigger",
            hint='decorate a function: @handlers.on("dynamodb://TABLE")',
        )
    for flag, globs in (("-t", flags.select), ("--exclude", flags.exclude)):
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in names):
                raise NoTriggersError(
                    f"{flag} {glob!r} matches no trigger", hint=nearest(glob, names)
                )
    chosen = [
        trigger
        for trigger in triggers
        if (not flags.select or _matches(trigger, flags.select))
        and not _matches(trigger, flags.exclude)
    ]
    if not chosen:
        raise NoTriggersError(
            "-t and --exclude together leave no trigger", hint=f"declared: {', '.join(names)}"
        )
    return chosen


def _matches(trigger: Trigger, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(trigger.name, glob) for glob in globs)


def _plans(
    trigger: Trigger,
    configuration: Configuration,
    overrides: Sequence[_Override],
    variables: Mapping[str, str],
    state: Locator,
) -> list[MappingPlan]:
    where = f"trigger {trigger.name!r}"
    layers = _layers(trigger, configuration, overrides)
    given = {name: value for layer in layers for name, value in layer.options.items()}
    origins = {name: layer.origin for layer in layers for name in layer.options}
    for name in ("on_failure", "state"):
        text = given.get(name)
        if isinstance(text, str):
            with _naming(f"{where}: {name}"):
                given[name] = resolve(text, variables)
    options = read_options(given, where=where, origins=origins)
    _check_timeout(trigger, options, where)
    return [
        MappingPlan(
            trigger=trigger,
            name=trigger.name,
            source_locator=locator,
            options=options,
            provenance={name: origins.get(name, BUILT_IN) for name in OPTION_NAMES},
            on_failure=_parsed(options.on_failure, f"{where}: on_failure"),
            state=_parsed(options.state, f"{where}: state") or state,
        )
        for locator in _source_locators(trigger, layers, variables, where)
    ]


def _layers(
    trigger: Trigger, configuration: Configuration, overrides: Sequence[_Override]
) -> list[Layer]:
    return [
        Layer("Triggers(...)", trigger.defaults),
        *configuration.defaults,
        Layer("decorator", trigger.options, trigger.sources),
        *configuration.triggers.get(trigger.name, ()),
        *(each.layer for each in overrides if fnmatchcase(trigger.name, each.glob)),
    ]


def _source_locators(
    trigger: Trigger, layers: Sequence[Layer], variables: Mapping[str, str], where: str
) -> list[Locator]:
    texts = [layer.sources for layer in layers if layer.sources is not None][-1]
    if not texts:
        raise LocatorError(
            f"{where} has no source",
            hint=f'write @handlers.on("dynamodb://TABLE"), or sources = [...] in '
            f"[triggers.{trigger.name}]",
        )
    found: dict[tuple[str, str, frozenset[tuple[str, str]]], Locator] = {}
    for text in texts:
        with _naming(where):
            locator = parse(resolve(text, variables))
        # another Region, role or endpoint is another source; one that turns out the same is read once
        access = frozenset(each for each in locator.keys.items() if each[0] in SHARED_KEYS)
        same = found.setdefault((locator.scheme, locator.name, access), locator)
        if same is not locator:
            raise LocatorError(
                f"{where}: {locator} is the same source as {same}", hint="name each source once"
            )
    return list(found.values())


def _check_timeout(trigger: Trigger, options: MappingOptions, where: str) -> None:
    if options.timeout is not None and not trigger.is_async:
        raise OptionError(
            f"{where}: timeout={options.timeout:g} on a sync handler: a thread cannot be stopped",
            hint="make it async def, or leave timeout out",
        )


def _parsed(text: str | None, where: str) -> Locator | None:
    with _naming(where):
        return None if text is None else parse(text)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    try:
        yield
    except LocatorError as error:
        raise LocatorError(f"{where}: {error.message}", hint=error.hint) from None


def _app(
    triggers: Triggers[Any] | None, configuration: Configuration, flags: Flags
) -> tuple[str, str]:
    target = flags.target or configuration.target or ""
    try:
        return _first(
            (flags.app, "--app"),
            (configuration.app, configuration.origins.get("app", "")),
            (triggers.name if triggers is not None else None, "Triggers(...)"),
            (app_of_target(target), f"target {target}"),
        )
    except LookupError:
        raise UsageError(
            "no app name: state is kept under it",
            hint="give --app NAME, or app = in the configuration",
        ) from None


def app_of_target(target: str) -> str:
    """The app's name when nothing else names it: the first part of the module, or the file's stem."""
    place = target.partition(":")[0]
    if "/" in place or place.endswith(".py"):
        return Path(place).stem
    return place.partition(".")[0]


def _first(*given: tuple[str | None, str]) -> tuple[str, str]:
    """The first text that is given, and its origin. Raises LookupError when none is."""
    for text, origin in given:
        if text:
            return text, origin
    raise LookupError
