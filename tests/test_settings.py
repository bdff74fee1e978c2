"""Settings: which value wins, where it came from, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from triggerkit import Options, Triggers
from triggerkit.configuration import load_configuration
from triggerkit.errors import (
    ImplicitStateError,
    LocatorError,
    NoTriggersError,
    OptionError,
    TriggerkitError,
    UsageError,
)
from triggerkit.settings import (
    Flags,
    MappingPlan,
    Settings,
    app_of_target,
    build_settings,
    container_sign,
    parse_value,
    refuse_implicit_state,
)


def notify(event: Any, context: Any) -> None:
    """A sync handler."""


async def audit(event: Any, context: Any) -> None:
    """An async handler."""


def shop(*, given: Options | None = None, defaults: Options | None = None) -> Triggers[None]:
    """Two triggers: `notify` with `given`, and `audit` with nothing."""
    handlers = Triggers("shop", **(defaults or {}))
    handlers.on("dynamodb://orders", **(given or {}))(notify)
    handlers.on("dynamodb://users")(audit)
    return handlers


def settle(
    folder: Path,
    triggers: Triggers[Any] | None = None,
    text: str = "",
    flags: Flags | None = None,
    *,
    env: str = "",
    environ: dict[str, str] | None = None,
) -> Settings:
    (folder / "triggerkit.toml").write_text(text)
    configuration = load_configuration(None, folder=folder, env=env)
    return build_settings(
        shop() if triggers is None else triggers, configuration, flags or Flags(), environ or {}
    )


def plan_of(settings: Settings, name: str = "notify") -> MappingPlan:
    return next(plan for plan in settings.mappings if plan.name == name)


LEVELS = [
    ("built-in", 100),
    ("Triggers(...)", 1),
    ("triggerkit.toml [defaults]", 2),
    ("triggerkit.toml [env.prod.defaults]", 3),
    ("decorator", 4),
    ("triggerkit.toml [triggers.notify]", 5),
    ("triggerkit.toml [env.prod.triggers.notify]", 6),
    ("TRIGGERKIT_SET notify.batch_size=7", 7),
    ("--set notify.batch_size=8", 8),
]


@pytest.mark.parametrize("strongest", range(len(LEVELS)))
def test_a_value_of_each_level_beats_all_weaker_ones_and_tells_its_origin(
    tmp_path: Path, strongest: int
) -> None:
    text = "".join(
        f"[{table}]\nbatch_size = {value}\n"
        for level, table, value in (
            (2, "defaults", 2),
            (3, "env.prod.defaults", 3),
            (5, "triggers.notify", 5),
            (6, "env.prod.triggers.notify", 6),
        )
        if level <= strongest
    )
    triggers = shop(
        defaults={"batch_size": 1} if strongest >= 1 else {},
        given={"batch_size": 4} if strongest >= 4 else {},
    )
    settings = settle(
        tmp_path,
        triggers,
        text,
        Flags(overrides=("notify.batch_size=8",) if strongest >= 8 else ()),
        env="prod",
        environ={"TRIGGERKIT_SET": "notify.batch_size=7"} if strongest >= 7 else {},
    )
    plan = plan_of(settings)
    origin, value = LEVELS[strongest]
    assert plan.options.batch_size == value
    assert plan.provenance["batch_size"] == origin
    assert plan.provenance["timeout"] == "built-in"
    assert settings.namespace == "shop@prod"


def test_a_mapping_is_ready_to_run(tmp_path: Path) -> None:
    triggers = Triggers("shop")
    triggers.on(
        "dynamodb://${PREFIX}orders?region=eu-west-1",
        "dynamodb://${PREFIX}users",
        on_failure="file:${PREFIX}failures.jsonl",
        name="both",
    )(notify)
    text = 'state = "sqlite:///${PREFIX}state.db"\n[vars]\nPREFIX = "dev-"\n'
    settings = settle(tmp_path, triggers, text)
    first, second = settings.mappings
    assert first.name == second.name == "both"
    assert first.trigger is triggers.triggers[0]
    assert (first.source_locator.scheme, first.source_locator.name) == ("dynamodb", "dev-orders")
    assert first.source_locator.keys == {"region": "eu-west-1"}
    assert second.source_locator.name == "dev-users"
    assert first.on_failure is not None
    assert first.on_failure.name == "dev-failures.jsonl"
    assert first.options.on_failure == "file:dev-failures.jsonl"
    assert first.state is settings.state
    assert settings.state.name == "/dev-state.db"
    assert settings.base_path == str(tmp_path)
    assert not settings.state_is_implicit
    assert settings.origins["state"] == "triggerkit.toml"


def test_the_process_environment_beats_vars(tmp_path: Path) -> None:
    triggers = Triggers("shop")
    triggers.on("dynamodb://${PREFIX}orders")(notify)
    text = '[vars]\nPREFIX = "dev-"\n'
    settings = settle(tmp_path, triggers, text, environ={"PREFIX": "mine-"})
    assert plan_of(settings).source_locator.name == "mine-orders"


def test_the_configuration_replaces_the_sources_of_a_trigger(tmp_path: Path) -> None:
    text = '[triggers.notify]\nsources = ["dynamodb://a", "dynamodb://b"]\n'
    names = [plan.source_locator.name for plan in settle(tmp_path, text=text).mappings]
    assert names == ["a", "b", "users"]


def test_a_trigger_may_get_its_only_source_from_the_configuration(tmp_path: Path) -> None:
    triggers = Triggers("shop")
    triggers.on()(notify)
    text = '[triggers.notify]\nsources = "dynamodb://a"\n'
    assert plan_of(settle(tmp_path, triggers, text)).source_locator.name == "a"
    with pytest.raises(LocatorError, match="trigger 'notify' has no source") as caught:
        settle(tmp_path, triggers)
    assert "[triggers.notify]" in caught.value.hint


def test_a_trigger_may_keep_its_state_elsewhere(tmp_path: Path) -> None:
    settings = settle(tmp_path, shop(given={"state": "memory:"}))
    assert plan_of(settings).state.scheme == "memory"
    assert plan_of(settings, "audit").state.scheme == "sqlite"


def test_an_option_may_be_unset(tmp_path: Path) -> None:
    triggers = shop(defaults={"on_failure": "file:x"}, given={"on_failure": None})
    settings = settle(tmp_path, triggers)
    assert plan_of(settings).on_failure is None
    assert plan_of(settings, "audit").on_failure is not None
    flags = Flags(overrides=("audit.on_failure=none",))
    assert plan_of(settle(tmp_path, triggers, flags=flags), "audit").on_failure is None


def test_a_glob_in_an_override_reaches_several_triggers(tmp_path: Path) -> None:
    flags = Flags(overrides=("*.batch_size=3", "audit.batch_size=4"))
    settings = settle(tmp_path, flags=flags)
    assert [plan.options.batch_size for plan in settings.mappings] == [3, 4]


def test_overrides_of_the_environment_are_split_as_a_shell_does(tmp_path: Path) -> None:
    environ = {"TRIGGERKIT_SET": "notify.batch_size=3 'audit.on_failure=file:a b.jsonl'"}
    settings = settle(tmp_path, environ=environ)
    assert plan_of(settings).options.batch_size == 3
    assert plan_of(settings, "audit").options.on_failure == "file:a b.jsonl"


def test_lambdas_spelling_is_taken_in_an_override(tmp_path: Path) -> None:
    flags = Flags(
        overrides=("notify.BatchSize=3", 'notify.FunctionResponseTypes=["ReportBatchItemFailures"]')
    )
    plan = plan_of(settle(tmp_path, flags=flags))
    assert plan.options.batch_size == 3
    assert plan.options.report_batch_item_failures


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("batch_size", "10", 10),
        ("enabled", "false", False),
        ("timeout", "1.5", 1.5),
        ("timeout", "none", None),
        ("starting_position", "LATEST", "LATEST"),
        ("starting_position", '"LATEST"', "LATEST"),
        ("on_failure", "file:a#b", "file:a#b"),
        ("state", "sqlite:///x?synchronous=full", "sqlite:///x?synchronous=full"),
        ("FunctionResponseTypes", "[]", []),
        ("batch_size", "", ""),
    ],
)
def test_the_value_of_an_override_is_toml_or_text(option: str, text: str, value: object) -> None:
    assert parse_value(option, text) == value


@pytest.mark.parametrize(
    ("override", "kind", "told"),
    [
        ("notify.batch_size", UsageError, "not NAME.OPTION=VALUE"),
        ("batch_size=1", UsageError, "not NAME.OPTION=VALUE"),
        (".batch_size=1", UsageError, "not NAME.OPTION=VALUE"),
        ("notfy.batch_size=1", UsageError, "no trigger is named 'notfy'"),
        ("notify.batch_sise=1", OptionError, "unknown option 'batch_sise'"),
        ("notify.batch_size=ten", OptionError, "batch_size='ten'"),
        ("notify.batch_size=0", OptionError, "(from --set notify.batch_size=0)"),
    ],
)
def test_a_wrong_override_is_shown(
    tmp_path: Path, override: str, kind: type[TriggerkitError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        settle(tmp_path, flags=Flags(overrides=(override,)))
    assert told in caught.value.message
    assert f"--set {override}" in caught.value.message
    assert caught.value.hint


def test_an_environment_variable_that_no_shell_could_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="TRIGGERKIT_SET cannot be split"):
        settle(tmp_path, environ={"TRIGGERKIT_SET": "a.b='c"})


@pytest.mark.parametrize(
    ("select", "exclude", "names"),
    [
        ((), (), ["notify", "audit"]),
        (("notify",), (), ["notify"]),
        (("n*", "a*"), (), ["notify", "audit"]),
        ((), ("aud*",), ["notify"]),
        (("*",), ("notify",), ["audit"]),
    ],
)
def test_globs_select_and_exclude(
    tmp_path: Path, select: tuple[str, ...], exclude: tuple[str, ...], names: list[str]
) -> None:
    settings = settle(tmp_path, flags=Flags(select=select, exclude=exclude))
    assert [plan.name for plan in settings.mappings] == names


def test_a_trigger_that_is_not_selected_needs_no_variables(tmp_path: Path) -> None:
    triggers = shop()
    triggers.on("dynamodb://${NOT_SET}", name="other")(notify)
    assert settle(tmp_path, triggers, flags=Flags(exclude=("other",))).mappings
    with pytest.raises(LocatorError, match=r"trigger 'other': .*\$\{NOT_SET\} is not set"):
        settle(tmp_path, triggers)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (Flags(select=("notfy",)), "-t 'notfy' matches no trigger"),
        (Flags(exclude=("audti",)), "--exclude 'audti' matches no trigger"),
        (Flags(exclude=("*",)), "leave no trigger"),
    ],
)
def test_globs_that_select_nothing_are_refused(tmp_path: Path, flags: Flags, told: str) -> None:
    with pytest.raises(NoTriggersError) as caught:
        settle(tmp_path, flags=flags)
    assert told in caught.value.message
    assert "notify" in caught.value.hint or "audit" in caught.value.hint


def test_a_target_without_triggers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoTriggersError, match="declares no trigger"):
        settle(tmp_path, Triggers("shop"))


def test_a_table_of_a_trigger_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[triggers\.notfy\]: no such trigger") as caught:
        settle(tmp_path, text="[triggers.notfy]\nbatch_size = 1\n")
    assert caught.value.hint == "did you mean notify?"


def test_a_value_out_of_range_names_the_trigger_and_the_table(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        settle(tmp_path, text="[defaults]\nbatch_size = 20000\n")
    assert caught.value.message.startswith(
        "trigger 'notify': batch_size=20000 (from triggerkit.toml [defaults]): "
    )


def test_a_timeout_on_a_sync_handler_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="trigger 'notify': timeout=5 on a sync") as caught:
        settle(tmp_path, shop(given={"timeout": 5}))
    assert "async def" in caught.value.hint
    flags = Flags(overrides=("audit.timeout=5",))
    assert plan_of(settle(tmp_path, flags=flags), "audit").options.timeout == 5


def test_two_texts_for_one_source_are_refused_once_resolved(tmp_path: Path) -> None:
    triggers = Triggers("shop")
    triggers.on("dynamodb://orders", "dynamodb://${NAME}?transport=fast")(notify)
    with pytest.raises(LocatorError, match="is the same source as dynamodb://orders"):
        settle(tmp_path, triggers, environ={"NAME": "orders"})


def test_a2_one_trigger_may_name_tables_that_differ_in_region_role_or_endpoint(
    tmp_path: Path,
) -> None:
    triggers = Triggers("shop")
    keys = ("", "?region=eu-west-1", "?endpoint_url=http://h:1", "?role_arn=r", "?profile=p")
    triggers.on(*(f"dynamodb://orders{key}" for key in keys))(notify)
    plans = settle(tmp_path, triggers).mappings
    assert [plan.source_locator.text for plan in plans] == [f"dynamodb://orders{k}" for k in keys]


@pytest.mark.parametrize("option", ["on_failure", "state"])
def test_a_bad_locator_names_trigger_and_option(tmp_path: Path, option: str) -> None:
    flags = Flags(overrides=(f"notify.{option}=failures",))
    with pytest.raises(LocatorError, match=f"trigger 'notify': {option}: .*has no scheme"):
        settle(tmp_path, flags=flags)


@pytest.mark.parametrize(
    ("text", "flags", "app", "origin"),
    [
        ('app = "a"', Flags(app="flag", target="t:x"), "flag", "--app"),
        ('app = "a"', Flags(target="t:x"), "a", "triggerkit.toml"),
        ("", Flags(target="t:x"), "shop", "Triggers(...)"),
    ],
)
def test_the_app_is_named_by_flag_configuration_or_group(
    tmp_path: Path, text: str, flags: Flags, app: str, origin: str
) -> None:
    settings = settle(tmp_path, text=text, flags=flags)
    assert settings.app == settings.namespace == app
    assert settings.origins["app"] == origin


@pytest.mark.parametrize(
    ("target", "app"),
    [("orders.triggers:handlers", "orders"), ("app", "app"), ("src/shop.py:x", "shop"), ("", "")],
)
def test_else_the_app_is_named_by_the_target(tmp_path: Path, target: str, app: str) -> None:
    assert app_of_target(target) == app
    configuration = load_configuration(None, folder=tmp_path)
    flags = Flags(target=target)
    if app:
        assert build_settings(None, configuration, flags, {}).app == app
    else:
        with pytest.raises(UsageError, match="no app name"):
            build_settings(None, configuration, flags, {})


def test_commands_without_a_target_get_app_and_state_only(tmp_path: Path) -> None:
    configuration = load_configuration(None, folder=tmp_path, env="prod")
    settings = build_settings(None, configuration, Flags(app="shop", state="memory:"), {})
    assert settings.namespace == "shop@prod"
    assert settings.state.scheme == "memory"
    assert settings.mappings == ()
    assert settings.origins == {"app": "--app", "state": "--state"}


@pytest.mark.parametrize(("app", "env"), [("a:b", ""), ("a@b", ""), ("a", "x:y"), ("a", "x@y")])
def test_names_that_cannot_be_part_of_a_lease_key_are_refused(
    tmp_path: Path, app: str, env: str
) -> None:
    configuration = load_configuration(None, folder=tmp_path, env=env)
    with pytest.raises(UsageError, match="is not allowed"):
        build_settings(None, configuration, Flags(app=app), {})


def test_the_default_state_is_implicit_and_lies_beside_the_configuration(tmp_path: Path) -> None:
    settings = settle(tmp_path)
    assert str(settings.state) == "sqlite:///.triggerkit/state.db"
    assert settings.state_is_implicit
    explicit = settle(tmp_path, flags=Flags(state=str(settings.state)))
    assert not explicit.state_is_implicit


def test_an_implicit_state_in_a_container_is_refused_with_the_fix(tmp_path: Path) -> None:
    settings = settle(tmp_path)
    refuse_implicit_state(settings, "")
    with pytest.raises(ImplicitStateError) as caught:
        refuse_implicit_state(settings, "/.dockerenv exists")
    assert "/.dockerenv exists" in caught.value.message
    assert "--state" in caught.value.hint
    explicit = settle(tmp_path, flags=Flags(state=str(settings.state)))
    refuse_implicit_state(explicit, "/.dockerenv exists")


def test_a_container_is_known_by_its_signs(tmp_path: Path) -> None:
    assert container_sign({}, tmp_path) == ""
    assert "KUBERNETES" in container_sign({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
    (tmp_path / "proc/1").mkdir(parents=True)
    groups = tmp_path / "proc/1/cgroup"
    groups.write_text("0::/init.scope\n")
    assert container_sign({}, tmp_path) == ""
    groups.write_text("1:cpu:/docker/abc\n")
    assert container_sign({}, tmp_path) == "/proc/1/cgroup names docker"
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").touch()
    assert container_sign({}, tmp_path) == "/run/.containerenv exists"
    (tmp_path / ".dockerenv").touch()
    assert container_sign({}, tmp_path) == "/.dockerenv exists"
