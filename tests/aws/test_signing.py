"""Our signature is botocore's, byte for byte."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from triggerkit.aws.signing import Keys, Scope, signed

HOSTS = ["streams.dynamodb.us-east-1.amazonaws.com", "127.0.0.1:8000"]


@pytest.mark.parametrize("token", ["", "session/token+with=signs"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_signature_equals_that_of_botocore(host: str, token: str) -> None:
    body = json.dumps({"ShardIterator": "arn:aws:x|1|AAAA==", "Limit": 1000}).encode()
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": host,
        "x-amz-target": "DynamoDBStreams_20120810.GetRecords",
    }
    theirs = AWSRequest("POST", f"https://{host}/", dict(headers), body)
    credentials = Credentials("AKID", "secret", token or None)
    SigV4Auth(credentials, "dynamodb", "us-east-1").add_auth(theirs)
    signed_at = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%S%z")

    ours = signed(
        headers,
        body,
        Keys("AKID", "secret", token),
        Scope("us-east-1", "dynamodb"),
        signed_at.timestamp(),
    )

    assert ours["x-amz-date"] == theirs.headers["X-Amz-Date"]
    assert ours["authorization"] == theirs.headers["Authorization"]
    assert ours.get("x-amz-security-token", "") == (theirs.headers["X-Amz-Security-Token"] or "")


def test_keys_do_not_show_their_secret() -> None:
    assert "hidden" not in repr(Keys("AKID", "hidden", "hidden"))
