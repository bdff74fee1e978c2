"""The configuration file: found, laid over by the environment, and refused where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from triggerkit.configuration import (
    Configuration,
    apply_env_file,
    load_configuration,
    read_env_file,
)
from triggerkit.core.options import read_options
from triggerkit.errors import LocatorError, OptionError, TriggerkitError, UsageError

FULL = """
[tool.triggerkit]
target = "orders.triggers:handlers"
app = "orders"
state = "sqlite:///.triggerkit/state.db"
[tool.triggerkit.vars]
PREFIX = "dev-"
OTHER = "kept"
[tool.triggerkit.defaults]
maximum_retry_attempts = 5
[tool.triggerkit.triggers.notify]
BatchSize = 10
sources = "dynamodb://orders"
[tool.triggerkit.dev.tables.orders]
key = "id:S"
[tool.triggerkit.env.prod]
state = "dynamodb://triggerkit-state"
vars = { PREFIX = "prod-" }
[tool.triggerkit.env.prod.triggers.notify]
enabled = false
[tool.triggerkit.env.test.defaults]
batch_size = 1
"""


def load(folder: Path, text: str, *, name: str = "pyproject.toml", env: str = "") -> Configuration:
    (folder / name).write_text(text)
    return load_configuration(None, folder=folder, env=env)


def test_without_a_file_there_is_an_empty_configuration(tmp_path: Path) -> None:
    configuration = load_configuration(None, folder=tmp_path, env="prod")
    assert configuration == Configuration(folder=tmp_path, env="prod")
    assert configuration.target is None


def test_a_pyproject_of_somebody_else_is_no_configuration(tmp_path: Path) -> None:
    assert load(tmp_path, "[tool.other]\nx = 1\n").path is None
    assert load(tmp_path, "[project]\nname = 'x'\n").path is None


def test_the_file_is_read_whole(tmp_path: Path) -> None:
    configuration = load(tmp_path, FULL)
    assert configuration.path == tmp_path / "pyproject.toml"
    assert configuration.folder == tmp_path
    assert configuration.target == "orders.triggers:handlers"
    assert configuration.app == "orders"
    assert configuration.state == "sqlite:///.triggerkit/state.db"
    assert configuration.vars == {"PREFIX": "dev-", "OTHER": "kept"}
    assert configuration.dev == {"tables": {"orders": {"key": "id:S"}}}
    (defaults,) = configuration.defaults
    assert defaults.options == {"maximum_retry_attempts": 5}
    assert defaults.origin == "pyproject.toml [tool.triggerkit.defaults]"
    (notify,) = configuration.triggers["notify"]
    assert notify.options == {"batch_size": 10}
    assert notify.sources == ("dynamodb://orders",)


def test_the_overlay_of_the_environment_lies_over_the_file(tmp_path: Path) -> None:
    configuration = load(tmp_path, FULL, env="prod")
    assert configuration.state == "dynamodb://triggerkit-state"
    assert configuration.app == "orders"
    assert configuration.vars == {"PREFIX": "prod-", "OTHER": "kept"}
    assert configuration.origins["state"] == "pyproject.toml [tool.triggerkit.env.prod]"
    weak, strong = configuration.triggers["notify"]
    assert weak.options == {"batch_size": 10}
    assert strong.options == {"enabled": False}
    assert strong.origin == "pyproject.toml [tool.triggerkit.env.prod.triggers.notify]"


def test_a_file_of_its_own_has_no_prefix(tmp_path: Path) -> None:
    text = FULL.replace("tool.triggerkit.", "").replace("[tool.triggerkit]", "")
    configuration = load(tmp_path, text, name="triggerkit.toml", env="prod")
    assert configuration.state == "dynamodb://triggerkit-state"
    assert configuration.origins["app"] == "triggerkit.toml"
    assert (
        configuration.triggers["notify"][1].origin == "triggerkit.toml [env.prod.triggers.notify]"
    )


def test_a_named_file_is_read_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "fleet.toml").write_text('app = "fleet"\n')
    configuration = load_configuration("deploy/fleet.toml", folder=tmp_path)
    assert configuration.app == "fleet"
    assert configuration.folder == tmp_path / "deploy"


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("[tool.triggerkit]\ntaget = 'x'\n", "unknown key 'taget'", "did you mean target?"),
        ("[tool.triggerkit.env.prod]\nstat = 'x'\n", "unknown key 'stat'", "did you mean state?"),
        ("[tool.triggerkit.env.prod.env.x]\n", "unknown key 'env'", "not nested"),
        ("[tool.triggerkit]\napp = 7\n", "app is not text", 'app = "..."'),
        ("[tool.triggerkit.vars]\nPORT = 7\n", "PORT is not text", 'PORT = "..."'),
        ("[tool.triggerkit]\nvars = 7\n", "vars is not a table", "table"),
        ("[tool.triggerkit.triggers]\nnotify = 7\n", "notify is not a table", "table"),
        ("[tool]\ntriggerkit = 7\n", "triggerkit is not a table", "table"),
        ("[tool.triggerkit\n", "is not TOML", "line"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_table(
    tmp_path: Path, text: str, told: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert "pyproject.toml" in caught.value.message
    assert told in caught.value.message
    assert hint in caught.value.hint


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pyproject\.toml is not TOML: .*line 2"):
        load(tmp_path, "[tool.triggerkit]\napp = \n")


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("[tool.triggerkit.defaults]\nbatch_sise = 1\n", OptionError, "'batch_sise'"),
        ("[tool.triggerkit.triggers.a]\nBatchSise = 1\n", OptionError, "'BatchSise'"),
        ("[tool.triggerkit.env.prod.defaults]\nnope = 1\n", OptionError, "env.prod.defaults]"),
        ("[tool.triggerkit.defaults]\nsources = ['x']\n", OptionError, "belong to one trigger"),
        ("[tool.triggerkit.triggers.a]\nsources = 7\n", LocatorError, "not a list of locators"),
        ("[tool.triggerkit.triggers.a]\nsources = [7]\n", LocatorError, "not a list of locators"),
    ],
)
def test_a_wrong_option_is_refused_even_in_another_environments_table(
    tmp_path: Path, text: str, kind: type[TriggerkitError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        load(tmp_path, text)
    assert told in caught.value.message


def test_an_environment_without_a_table_is_refused_when_others_have_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \[tool\.triggerkit\.env\.prdo\]") as caught:
        load(tmp_path, FULL, env="prdo")
    assert caught.value.hint == "did you mean prod?"


def test_an_environment_needs_no_table_when_none_has_one(tmp_path: Path) -> None:
    assert load(tmp_path, "[tool.triggerkit]\napp = 'x'\n", env="laptop").env == "laptop"


def test_two_files_with_configuration_are_refused(tmp_path: Path) -> None:
    (tmp_path / "triggerkit.toml").write_text('app = "x"\n')
    with pytest.raises(UsageError, match="hold configuration") as caught:
        load(tmp_path, FULL)
    assert "--config" in caught.value.hint
    assert load_configuration("triggerkit.toml", folder=tmp_path).app == "x"


def test_a_named_file_that_is_missing_or_unreadable_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.toml does not exist"):
        load_configuration("nothing.toml", folder=tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"binary\.toml cannot be read"):
        load_configuration("binary.toml", folder=tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(UsageError, match=r"has no \[tool\.triggerkit\]"):
        load_configuration("pyproject.toml", folder=tmp_path)


def test_an_env_file_is_names_and_values(tmp_path: Path) -> None:
    file = tmp_path / "dev.env"
    file.write_text(
        "# a comment\n\nA=1\nexport B = two words \nC='single # kept'\nD=\"\"\nE=x # cut\nF=\n"
    )
    assert read_env_file(file) == {
        "A": "1",
        "B": "two words",
        "C": "single # kept",
        "D": "",
        "E": "x",
        "F": "",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('A="quoted" # comment', "quoted"),
        ("A='quoted'# comment", "quoted"),
        ('A="a # b"', "a # b"),
        ('A="a # b" # c', "a # b"),
        ("A='a # b' # \"c\"", "a # b"),
        ("A=a#b", "a#b"),
        ("A=#b", "#b"),
        ("A= # b", ""),
        ("A=", ""),
        ("A=a\t# b", "a"),
        ("\ufeffA=a", "a"),
        ("A=a\r\n", "a"),
        ('A="a" # b\r\n', "a"),
        ("export A=a", "a"),
        ("  export\tA = 'a'  ", "a"),
        ("# first\n\n \t\nA=a", "a"),
        ('A="first\nsecond" # c', "first\nsecond"),
        ("A='first\nsecond'\n", "first\nsecond"),
        ('A="a \\"b\\" \\n \\$c \\d"', 'a "b" \n $c \\d'),
        (r"A='C:\new'", r"C:\new"),
        (r"A=C:\new", r"C:\new"),
        ("A=${B} $C", "${B} $C"),
        ('A={"x": "y"}', '{"x": "y"}'),
        ("A=it's", "it's"),
        ("A=\u2028b", "b"),
    ],
    ids=repr,
)
def test_f10_env_files_are_read_as_people_write_them(text: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(f"{text}\nB=next".encode())
    assert read_env_file(file) == {"A": value, "B": "next"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('A=1\nB="secret', "line 2: a quote that is not closed"),
        ("A=1\nB='secret\nC=2\n", "line 2: a quote that is not closed"),
        ('B="secret" secret', "line 1: a quote that is not closed, or text behind"),
        ("A='1\n2'\nsecret", "line 3: not NAME=value"),
        ("1A=secret", "line 1: not NAME=value"),
        ("A=secret\0", "line 1: a NUL character"),
        ("A: secret", "line 1: not NAME=value"),
    ],
)
def test_f10_what_no_env_file_has_is_named_by_its_line_and_not_shown(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_env_file(file)
    assert said in caught.value.message
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_f10_a_configuration_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "triggerkit.toml").write_bytes(b'\xef\xbb\xbfapp = "shop"\r\n')
    assert load_configuration(None, folder=tmp_path).app == "shop"


GET_EVENT_SOURCE_MAPPING = """\
[triggers.notify]
UUID = "14e0db71-xmpl-4eb5-b481-8945cf9d10c2"
StartingPosition = "TRIM_HORIZON"
BatchSize = 10
MaximumBatchingWindowInSeconds = 0
ParallelizationFactor = 1
EventSourceArn = "arn:aws:dynamodb:us-east-2:123456789012:table/orders/stream/2024-01-01T00:00:00.000"
EventSourceMappingArn = "arn:aws:lambda:us-east-2:123456789012:event-source-mapping:14e0db71"
FunctionArn = "arn:aws:lambda:us-east-2:123456789012:function:notify"
LastModified = 2024-01-01T00:00:00Z
LastProcessingResult = "No records processed"
State = "Enabled"
StateTransitionReason = "User action"
DestinationConfig = { OnFailure = {} }
FilterCriteria = {}
Topics = []
Queues = []
SourceAccessConfigurations = []
MaximumRecordAgeInSeconds = -1
BisectBatchOnFunctionError = false
MaximumRetryAttempts = 5
TumblingWindowInSeconds = 0
FunctionResponseTypes = ["ReportBatchItemFailures"]
"""


def test_f10_what_get_event_source_mapping_answers_is_a_configuration(tmp_path: Path) -> None:
    configuration = load(tmp_path, GET_EVENT_SOURCE_MAPPING, name="triggerkit.toml")
    (layer,) = configuration.triggers["notify"]
    assert read_options(layer.options).batch_size == 10
    assert read_options(layer.options).maximum_retry_attempts == 5
    (note,) = configuration.notes
    assert "triggerkit.toml [triggers.notify]: UUID, EventSourceArn, " in note
    assert "left out" in note
    for name in ("State", "Topics", "LastModified"):
        assert name in note


def test_an_env_file_does_not_replace_what_is_set(tmp_path: Path) -> None:
    file = tmp_path / "dev.env"
    file.write_text("A=file\nB=file\n")
    environ = {"A": "process"}
    assert apply_env_file(file, environ) == ("B",)
    assert environ == {"A": "process", "B": "file"}


def test_a_bad_line_of_an_env_file_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "dev.env"
    file.write_text("A=1\nsecret words\n")
    with pytest.raises(UsageError, match=r"dev\.env, line 2: not NAME=value") as caught:
        read_env_file(file)
    assert "secret" not in caught.value.message
    with pytest.raises(UsageError, match="does not exist") as missing:
        read_env_file(tmp_path / "none.env")
    assert "--env-file" in missing.value.hint
