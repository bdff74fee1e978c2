"""Options: Lambda's ranges and defaults, both spellings, nothing accepted and ignored."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from triggerkit.core.lambda_names import NOT_SUPPORTED, REPORTED, may_be_left_out
from triggerkit.core.options import AWS_NAMES, OPTION_NAMES, canonical, read_options
from triggerkit.errors import OptionError

WHERE = "trigger 'notify'"


def refusal_of(given: dict[str, object]) -> OptionError:
    with pytest.raises(OptionError) as caught:
        read_options(given, where=WHERE)
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
    assert options.idle_poll_seconds == 1.0


@pytest.mark.parametrize(
    ("option", "lowest", "highest"),
    [
        ("batch_size", 1, 10_000),
        ("maximum_batching_window_in_seconds", 0, 300),
        ("parallelization_factor", 1, 10),
        ("maximum_retry_attempts", -1, 10_000),
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
    assert len(set(AWS_NAMES.values())) == len(AWS_NAMES) == 12


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
            {"starting_position_timestamp": 5.0},
            "starting_position_timestamp needs starting_position='AT_TIMESTAMP'",
        ),
        (
            {"starting_position": "AT_TIMESTAMP"},
            "starting_position='AT_TIMESTAMP' needs starting_position_timestamp",
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


@pytest.mark.parametrize("name", sorted(NOT_SUPPORTED))
def test_what_lambda_has_and_this_version_has_not_is_refused_as_such(name: str) -> None:
    error = refusal_of({name: {"some": "value"}})
    assert error.message == f"{WHERE}: {name} is not supported yet"
    assert error.hint == f"leave {name} out"


@pytest.mark.parametrize("value", [[], {}, 0, None, "", {"Filters": []}])
def test_what_is_not_supported_may_be_left_out_where_it_sets_nothing(value: object) -> None:
    assert may_be_left_out("FilterCriteria", value)
    assert may_be_left_out("Topics", value)


def test_what_sets_something_is_left_out_only_where_lambda_reports_it() -> None:
    assert all(may_be_left_out(name, "x") for name in REPORTED)
    assert not any(may_be_left_out(name, "x") for name in NOT_SUPPORTED)
    assert not may_be_left_out("BatchSize", 0)


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(refusal_of({"batch_size": "9" * 5000}).message) < 200
