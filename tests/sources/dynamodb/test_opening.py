"""From locators to clients: Regions, endpoints, proxies, credentials, and what is wrong with them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sources.fakes import opened, services

from triggerkit.aws.botocore_transport import BotocoreTransport
from triggerkit.aws.clients import open_client, service_time
from triggerkit.aws.fast_transport import FastTransport
from triggerkit.aws.sessions import (
    Access,
    open_session,
    resolve_credentials,
    trusted_certificates,
)
from triggerkit.aws.signing import Scope
from triggerkit.aws.transport import Transport, TransportChoice, resolve_endpoint
from triggerkit.core.locators import parse
from triggerkit.errors import CredentialsError, InternalError, LocatorError, TriggerkitError
from triggerkit.sources.dynamodb.opening import (
    access_of,
    connect_api,
    connect_transport,
    target_of,
)
from triggerkit.sources.dynamodb.service import parse_stream_arn

STREAM = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000"
ROLE = "arn:aws:iam::111122223333:role/reader"


def access(text: str, **defaults: str) -> Access:
    locator = parse(text)
    return access_of(locator, target_of(locator), services(**defaults))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("dynamodb://orders?colour=red", "unknown key 'colour'"),
        ("dynamodb://ab", "'ab' is no name of a table"),
        ("dynamodb://or%20ders", "'or ders' is no name of a table"),
        (f"dynamodb://{'x' * 256}", "is no name of a table"),
        ("arn:aws:dynamodb:eu-west-1:1:table/ab", "'ab' is no name of a table"),
        ("dynamodb://orders?transport=carrier", "transport 'carrier'"),
        ("dynamodb://orders?external_id=x", "external_id without role_arn"),
        ("arn:aws:dynamodb:eu-west-1:1:table/orders/index/by_date", "no ARN of a DynamoDB stream"),
        (f"{STREAM}?region=us-east-1", "differs from the ARN's eu-west-1"),
    ],
)
def test_b6_a_locator_that_cannot_be_meant_is_refused_at_once(text: str, fault: str) -> None:
    with pytest.raises(LocatorError) as told:
        opened(text)
    assert fault in told.value.message
    assert told.value.hint


def test_a_key_of_the_locator_wins_over_the_process() -> None:
    found = access("dynamodb://tab?region=eu-west-1", region="us-east-1", profile="p")
    assert (found.region, found.profile) == ("eu-west-1", "p")


def test_an_arn_names_its_region() -> None:
    assert access(STREAM, region="us-east-1").region == "eu-west-1"
    assert access(f"{STREAM}?region=eu-west-1").region == "eu-west-1"


def test_the_region_of_dynamodb_local_is_none() -> None:
    arn = "arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/2026-01-01T00:00:00.000"
    assert access(arn, region="us-west-2").region == "us-west-2"
    assert access(f"{arn}?region=eu-west-1").region == "eu-west-1"


def test_the_order_of_the_keys_does_not_matter_to_a_target() -> None:
    table = target_of(parse("arn:aws:dynamodb:eu-west-1:1:table/orders"))
    assert (table.table, table.stream, table.region) == ("orders", None, "eu-west-1")
    stream = target_of(parse(STREAM))
    assert stream.table == "orders"
    assert stream.stream == parse_stream_arn(STREAM)


def endpoint_of(found: Access) -> Any:
    client = open_client(open_session(found), "dynamodbstreams", found, attempts=1)
    return resolve_endpoint(client, STREAM, "ca.pem")


def test_get_records_goes_to_the_host_that_botocore_would_take() -> None:
    endpoint = endpoint_of(Access(region="eu-west-1"))
    # Since botocore 1.44 the host is the account's; older ones have one host a Region.
    assert endpoint.url in {
        "https://111122223333.streams-ddb.eu-west-1.amazonaws.com/",
        "https://streams.dynamodb.eu-west-1.amazonaws.com/",
    }
    assert endpoint.scope == Scope("eu-west-1", "dynamodb")
    assert endpoint.certificates == "ca.pem"


def test_account_based_hosts_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
    url = endpoint_of(Access(region="eu-west-1")).url
    assert url == "https://streams.dynamodb.eu-west-1.amazonaws.com/"


def test_an_endpoint_given_by_key_or_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint_of(Access(endpoint_url="http://127.0.0.1:9")).url == "http://127.0.0.1:9/"
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "http://127.0.0.1:8")
    assert endpoint_of(Access()).url == "http://127.0.0.1:8/"


def transport_for(choice: TransportChoice, found: Access) -> type[Transport]:
    async def connect() -> type[Transport]:
        lent = services()
        api = await connect_api(found, lent)
        transport = await connect_transport(api, choice, found, lent, parse_stream_arn(STREAM))
        await transport.close()
        return type(transport)

    return asyncio.run(connect())


def test_the_fast_transport_is_taken_unless_a_proxy_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far = Access(region="eu-west-1")
    assert transport_for("auto", far) is FastTransport
    assert transport_for("botocore", far) is BotocoreTransport
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    assert transport_for("auto", far) is BotocoreTransport
    assert transport_for("fast", far) is FastTransport
    monkeypatch.setenv("NO_PROXY", ".amazonaws.com")
    assert transport_for("auto", far) is FastTransport
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    assert transport_for("auto", Access(endpoint_url="http://10.0.0.1:8000")) is BotocoreTransport


def test_an_endpoint_behind_a_path_is_left_to_botocore() -> None:
    assert transport_for("auto", Access(endpoint_url="http://h/streams/")) is BotocoreTransport
    assert transport_for("auto", Access(endpoint_url="http://h/")) is FastTransport


def test_a_ca_bundle_is_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Path(trusted_certificates(Access())).is_file()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "mine.pem"))
    assert trusted_certificates(Access()) == str(tmp_path / "mine.pem")
    with pytest.raises(LocatorError, match=r"mine\.pem") as told:
        transport_for("auto", Access(region="eu-west-1"))
    assert "AWS_CA_BUNDLE" in told.value.hint


def prepare(text: str, **defaults: str) -> TriggerkitError:
    async def use() -> None:
        source = opened(text, **defaults)
        try:
            await source.prepare()
        finally:
            await source.close()

    with pytest.raises(TriggerkitError) as told:
        asyncio.run(use())
    return told.value


def test_no_credentials_are_told_with_the_ways_to_give_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    told = prepare("dynamodb://orders", endpoint_url="http://127.0.0.1:1")
    assert type(told) is CredentialsError
    assert "AWS_PROFILE" in told.hint
    with pytest.raises(CredentialsError, match="no AWS credentials"):
        resolve_credentials(Access(region="eu-west-1"))


def test_half_of_the_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    told = prepare("dynamodb://orders", endpoint_url="http://127.0.0.1:1")
    assert type(told) is CredentialsError
    assert "AWS_SECRET_ACCESS_KEY" in told.hint


def test_a_profile_that_does_not_exist_is_named() -> None:
    told = prepare("dynamodb://orders?profile=nobody", endpoint_url="http://127.0.0.1:1")
    assert type(told) is CredentialsError
    assert "nobody" in told.message


def test_no_region_is_told_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    told = prepare("dynamodb://orders")
    assert type(told) is LocatorError
    assert "region=" in told.hint


def test_an_endpoint_that_is_no_url_is_named() -> None:
    told = prepare("dynamodb://orders", endpoint_url="localhost:8000")
    assert type(told) is LocatorError
    assert "localhost:8000" in told.message


def test_a_role_is_taken_with_the_callers_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    found = Access(region="eu-west-1", role_arn=ROLE, external_id="x")
    credentials = resolve_credentials(found)
    assert credentials.method == "assume-role"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError, match="role"):
        resolve_credentials(found)


def test_a_profile_and_a_role_go_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = tmp_path / "credentials"
    keys.write_text("[mine]\naws_access_key_id = AKIDMINE\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    assert resolve_credentials(Access(profile="mine")).access_key == "AKIDMINE"
    with_role = resolve_credentials(Access(profile="mine", role_arn=ROLE, region="eu-west-1"))
    assert with_role.method == "assume-role"


def test_a_source_is_of_no_use_before_it_is_prepared() -> None:
    source = opened("dynamodb://orders")
    with pytest.raises(InternalError, match="orders"):
        _ = source.name
    assert "dynamodb:GetRecords" in source.iam_actions
    assert "dynamodb:ListStreams" in source.iam_actions
    assert "dynamodb:ListStreams" not in opened(STREAM).iam_actions
    assert source.traits.kind == "change"


def test_a_date_header_is_read_or_is_nothing() -> None:
    assert service_time("Tue, 25 Nov 2025 15:47:35 GMT") == 1764085655.0
    assert service_time("") == 0.0
    assert service_time("yesterday") == 0.0


def test_importing_the_source_imports_no_boto3() -> None:
    code = (
        "import sys, triggerkit.sources.dynamodb; "
        "print([m for m in ('boto3', 'botocore', 'tenacity') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
