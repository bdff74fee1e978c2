"""Settings of production, on the tables of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from triggerkit import Triggers
from triggerkit.configuration import load_configuration
from triggerkit.core.locators import parse
from triggerkit.runtime.local_plans import localized, tables_named
from triggerkit.settings import Flags, Settings, build_settings

STATE = parse("sqlite:///.triggerkit/dev-state.db")
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"


def settings_of(folder: Path, *sources: str, **options: Any) -> Settings:
    handlers = Triggers("shop")

    @handlers.on(*sources, **options)
    def bill(event: Any, context: Any) -> None: ...

    return build_settings(handlers, load_configuration(None, folder=folder), Flags(), {})


@pytest.mark.parametrize(
    ("source", "here"),
    [
        ("dynamodb://orders", "dynamodb://orders"),
        ("dynamodb://orders?region=eu-west-1&profile=production", "dynamodb://orders"),
        ("dynamodb://orders?transport=botocore&region=eu-west-1", "dynamodb://orders?transport=botocore"),
        ("dynamodb://orders?role_arn=arn:aws:iam::1:role/r&external_id=x", "dynamodb://orders"),
        ("dynamodb://orders?endpoint_url=https://dynamodb.eu-west-1.amazonaws.com", "dynamodb://orders"),
        (ARN, "dynamodb://orders"),
        (f"{ARN}?profile=production", "dynamodb://orders"),
        (f"{ARN}/stream/2026-01-01T00:00:00.000", "dynamodb://orders"),
    ],
)  # fmt: skip
def test_a_source_is_a_table_of_this_machine(tmp_path: Path, source: str, here: str) -> None:
    found = localized(settings_of(tmp_path, source), STATE)
    assert [plan.source_locator.text for plan in found.mappings] == [here]
    assert tables_named(found.mappings) == ("orders",)


def test_one_table_in_two_regions_is_read_once(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "dynamodb://orders", ARN, "dynamodb://users")
    found = localized(settings, STATE)
    assert tables_named(found.mappings) == ("orders", "users")
    assert len(found.mappings) == 2


def test_all_state_is_in_the_file_of_dev(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "dynamodb://orders", state="memory:")
    found = localized(settings, STATE)
    assert [found.state, *(plan.state for plan in found.mappings)] == [STATE, STATE]


def test_a_destination_keeps_its_name_and_loses_its_access(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "dynamodb://orders")
    (given,) = settings.mappings
    failed = replace(given, on_failure=parse("sqs://failed?payload=full&profile=production"))
    (plan,) = localized(replace(settings, mappings=(failed,)), STATE).mappings
    assert plan.on_failure is not None
    assert plan.on_failure.text == "sqs://failed?payload=full"
