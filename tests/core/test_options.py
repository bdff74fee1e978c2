"""Options: Lambda's ranges and defaults, both spellings, nothing accepted and ignored."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from triggerkit.core.options import (
    AWS_NAMES,
    HONOURED,
    OPTION_NAMES,
    MappingOptions,
    canonical,
    check_honoured,
    read_options,
)
from triggerkit.errors import OptionError

WHERE = "trigger 'notify'"


def refusal_of(given: dict[str, object]) -> OptionError:
    with pytest.raises(OptionError) as caught:
        check_honoured(read_options(given, where=WHERE), scheme="dynamodb", where=WHERE)
    return caught.value


def test_the_defaults_are_lambdas() -> None:
    options = read_options({})
    assert options.batch_size == 100
    assert options.maximum_batching_window_in_seconds == 0
    assert options.starting_position == "TRIM_HORIZON"
    assert options.parallelization_factor == 1
    assert options.maximum_retry_attempts == -1
    assert options.maximum_record_age_in_seconds == -1
    assert options.on_failure is None
    assert options.timeout is None
    assert options.filters == ()
    check_honoured(options, scheme="dynamodb")


@pytest.mark.parametrize(
    ("option", "lowest", "highest"),
    [
        ("batch_size", 1, 10_000),
        ("maximum_batching_window_in_seconds", 0, 300),
        ("parallelization_factor", 1, 10),
        ("maximum_retry_attempts", -1, 10_000),
        ("tumbling_window_in_seconds", 0, 900),
        ("memory_size", 128, 10_240),
        ("maximum_concurrency", 1, 1000),
        ("checkpoint_interval_seconds", 0, 300),
    ],
)
def test_both_ends_of_a_range_are_accepted_and_one_beyond_is_refused(
    option: str, lowest: int, highest: int
) -> None:
    for value in (lowest, highest):
        assert getattr(read_options({option: value}), option) == value
    for value in (lowest - 1, highest + 1):
        error = refusal_of({option: value})
        assert error.message.startswith(f"{WHERE}: {option}={value}: ")
        assert str(highest) in error.hint


@pytest.mark.parametrize("seconds", [-1, 60, 604_800])
def test_a_record_age_is_forever_or_at_least_a_minute(seconds: int) -> None:
    given = {"MaximumRecordAgeInSeconds": seconds}
    assert read_options(given).maximum_record_age_in_seconds == seconds


@pytest.mark.parametrize("seconds", [-2, 0, 59, 604_801])
def test_a_record_age_between_forever_and_a_minute_is_refused_as_v9_says(seconds: int) -> None:
    error = refusal_of({"maximum_record_age_in_seconds": seconds})
    assert "-1 (forever) or from 60 to 604800" in error.message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", "10"),
        ("batch_size", True),
        ("batch_size", 10.0),
        ("enabled", 1),
        ("enabled", "true"),
        ("timeout", "5"),
        ("timeout", float("inf")),
        ("timeout", 0),
        ("starting_position", "latest"),
        ("on_failure", 7),
        ("on_failure", ""),
        ("state", 1),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_shown(option: str, value: object) -> None:
    error = refusal_of({option: value})
    assert error.message.startswith(f"{WHERE}: {option}={value!r}: ")
    assert error.hint.startswith(f"{option}: ")


def test_a_misspelt_option_gets_the_nearest_name() -> None:
    assert refusal_of({"batch_sise": 1}).hint == "did you mean batch_size?"
    assert refusal_of({"BatchSise": 1}).hint == "did you mean BatchSize?"


def test_an_option_like_no_other_gets_all_names_in_our_spelling() -> None:
    error = refusal_of({"zzz": 1})
    assert error.message == f"{WHERE}: unknown option 'zzz'"
    assert error.hint == f"known: {', '.join(OPTION_NAMES)}"


def test_every_option_of_lambda_is_read_in_its_own_spelling() -> None:
    assert canonical({"BatchSize": 5, "Timeout": 3, "Enabled": False}) == {
        "batch_size": 5,
        "timeout": 3,
        "enabled": False,
    }
    assert AWS_NAMES["maximum_record_age_in_seconds"] == "MaximumRecordAgeInSeconds"
    assert len(set(AWS_NAMES.values())) == len(AWS_NAMES) == 15


def test_one_option_in_two_spellings_is_refused() -> None:
    error = refusal_of({"BatchSize": 5, "batch_size": 5})
    assert error.message == f"{WHERE}: batch_size is given twice, also as BatchSize"


@pytest.mark.parametrize(
    ("given", "option", "value"),
    [
        (
            {"FunctionResponseTypes": ["ReportBatchItemFailures"]},
            "report_batch_item_failures",
            True,
        ),
        ({"FunctionResponseTypes": []}, "report_batch_item_failures", False),
        ({"DestinationConfig": {"OnFailure": {"Destination": "file:x"}}}, "on_failure", "file:x"),
        ({"DestinationConfig": {"OnFailure": {"Destination": ""}}}, "on_failure", None),
        ({"DestinationConfig": {"OnFailure": {}}}, "on_failure", None),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "filters", ("{}",)),
        ({"FilterCriteria": {"Filters": []}}, "filters", ()),
    ],
)
def test_lambdas_nested_forms_are_read(
    given: dict[str, object], option: str, value: object
) -> None:
    assert getattr(read_options(given), option) == value


@pytest.mark.parametrize(
    "given",
    [
        {"FunctionResponseTypes": ["Bad"]},
        {"FunctionResponseTypes": True},
        {"DestinationConfig": {"OnSuccess": {"Destination": "x"}}},
        {"DestinationConfig": "x"},
        {"FilterCriteria": ["{}"]},
    ],
)
def test_an_unreadable_nested_form_shows_how_it_is_written(given: dict[str, object]) -> None:
    name = next(iter(given))
    error = refusal_of(given)
    assert name in error.message
    assert error.hint.startswith(f"write {name} = ")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            {"parallelization_factor": 2, "tumbling_window_in_seconds": 1},
            "tumbling_window_in_seconds needs parallelization_factor=1",
        ),
        (
            {"filters": ["{}"], "tumbling_window_in_seconds": 1},
            "tumbling_window_in_seconds does not go with filters",
        ),
        (
            {"starting_position_timestamp": 5.0},
            "starting_position_timestamp needs starting_position='AT_TIMESTAMP'",
        ),
        (
            {"starting_position": "AT_TIMESTAMP"},
            "starting_position='AT_TIMESTAMP' needs starting_position_timestamp",
        ),
        (
            {"transactional": True, "parallelization_factor": 2},
            "transactional needs parallelization_factor=1 and no tumbling window",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: dict[str, object], why: str) -> None:
    assert refusal_of(given).message == f"{WHERE}: {why}"


def test_a_timestamp_may_be_a_date_with_a_time_zone() -> None:
    at = {"starting_position": "AT_TIMESTAMP"}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    options = read_options({**at, "starting_position_timestamp": moment})
    assert options.starting_position_timestamp == moment.timestamp()
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    assert "time zone" in refusal_of({**at, "starting_position_timestamp": naive}).message


def test_at_timestamp_is_refused_for_dynamodb_only_as_v3_says() -> None:
    given = {"starting_position": "AT_TIMESTAMP", "starting_position_timestamp": 5.0}
    assert "not with DynamoDB Streams" in refusal_of(given).message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("filters", ["{}"]),
        ("tumbling_window_in_seconds", 10),
        ("memory_size", 128),
        ("isolation", "process"),
        ("transactional", True),
        ("on_failure_unavailable", "drop"),
        ("poll", "eager"),
        ("idle_poll_seconds", 2.0),
    ],
)
def test_an_option_of_a_later_version_is_refused_never_ignored(option: str, value: object) -> None:
    error = refusal_of({option: value})
    assert error.message.startswith(f"{WHERE}: {option}=")
    assert error.message.endswith("is not available in this version")
    assert "batch_size" in error.hint


def test_an_option_of_a_later_version_at_its_default_is_accepted() -> None:
    defaults = {name: MappingOptions.model_fields[name].default for name in OPTION_NAMES}
    check_honoured(read_options(defaults), scheme="dynamodb")


def test_failures_go_to_files_only_in_this_version() -> None:
    check_honoured(read_options({"on_failure": "file:failures.jsonl"}))
    error = refusal_of({"on_failure": "sqs://orders-failed"})
    assert "sqs://orders-failed" in error.message
    assert "file:" in error.hint


def test_the_honoured_options_exist() -> None:
    assert set(OPTION_NAMES) >= HONOURED


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(refusal_of({"batch_size": "9" * 5000}).message) < 200
