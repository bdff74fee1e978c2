"""What `dev` lets its worker know."""

from __future__ import annotations

import os

import boto3
import pytest

from triggerkit.dev.sandbox import exported, reaching_aws, sandboxed

URL = "http://127.0.0.1:8123"
REAL = {
    "PATH": "/bin",
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/real",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/",
    "AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "HTTPS_PROXY": "http://proxy:3128",
    "no_proxy": "internal",
}


def test_nothing_of_aws_is_left_but_the_endpoint_and_dummies() -> None:
    found = sandboxed(REAL, URL)
    assert {name for name in found if name.startswith("AWS_")} == {
        *exported(URL),
        "AWS_EC2_METADATA_DISABLED",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
    assert found["PATH"] == "/bin"
    assert found["AWS_CONFIG_FILE"] == os.devnull
    assert "real" not in str(found).lower()


def test_loopback_is_reached_without_a_proxy() -> None:
    for found in (sandboxed(REAL, URL), reaching_aws(REAL, URL)):
        assert found["no_proxy"] == found["NO_PROXY"] == "internal,127.0.0.1,localhost"
        assert found["HTTPS_PROXY"] == "http://proxy:3128"


def test_opted_out_all_stays_but_dynamodb_is_local() -> None:
    found = reaching_aws(REAL, URL)
    assert found["AWS_PROFILE"] == "production"
    assert found["AWS_ENDPOINT_URL_DYNAMODB"] == URL
    assert found["AWS_ENDPOINT_URL_DYNAMODB_STREAMS"] == URL
    assert "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" not in found
    assert "AWS_ENDPOINT_URL" not in found


@pytest.mark.parametrize("service", ["dynamodb", "dynamodbstreams", "sts", "s3", "sqs", "kinesis"])
def test_boto3_goes_to_the_endpoint_for_every_service(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in sandboxed(REAL, URL).items():
        monkeypatch.setenv(name, value)
    session = boto3.session.Session()
    client = session.client(service)
    assert client.meta.endpoint_url == URL
    credentials = session.get_credentials()
    assert credentials is not None
    assert credentials.get_frozen_credentials().access_key == "triggerkit"
    client.close()


@pytest.mark.parametrize(
    ("service", "local"), [("dynamodb", True), ("dynamodbstreams", True), ("sts", False)]
)
def test_opted_out_boto3_reaches_aws_for_all_but_dynamodb(
    service: str, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in reaching_aws({"AWS_DEFAULT_REGION": "eu-west-1"}, URL).items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client(service)
    assert (client.meta.endpoint_url == URL) is local
    client.close()
