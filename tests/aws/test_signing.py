"""Our signature is botocore's, byte for byte."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from triggerkit.aws.signing import Keys, Scope, Signer

HOSTS = ["streams.dynamodb.us-east-1.amazonaws.com", "127.0.0.1:8000"]
SCOPE = Scope("us-east-1", "dynamodb")
HEADERS = {
    "content-type": "application/x-amz-json-1.0",
    "host": HOSTS[0],
    "x-amz-target": "DynamoDBStreams_20120810.GetRecords",
}
AT_SECONDS = 1_764_085_655.0


def sent(head: bytes) -> dict[str, str]:
    """The headers of a request's head."""
    first, *lines = head.decode().removesuffix("\r\n").split("\r\n")
    assert first == "POST / HTTP/1.1"
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("token", ["", "session/token+with=signs"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_signature_equals_that_of_botocore(host: str, token: str) -> None:
    body = json.dumps({"ShardIterator": "arn:aws:x|1|AAAA==", "Limit": 1000}).encode()
    headers = HEADERS | {"host": host}
    theirs = AWSRequest("POST", f"https://{host}/", dict(headers), body)
    credentials = Credentials("AKID", "secret", token or None)
    SigV4Auth(credentials, "dynamodb", "us-east-1").add_auth(theirs)
    signed_at = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%S%z")

    ours = sent(
        Signer(headers, SCOPE).head(body, Keys("AKID", "secret", token), signed_at.timestamp())
    )

    assert ours["x-amz-date"] == theirs.headers["X-Amz-Date"]
    assert ours["authorization"] == theirs.headers["Authorization"]
    assert ours.get("x-amz-security-token", "") == (theirs.headers["X-Amz-Security-Token"] or "")


def test_what_is_kept_for_a_second_is_never_used_for_another_second_body_or_key() -> None:
    kept = Signer(HEADERS, SCOPE)
    keys, others = Keys("AKID", "secret"), Keys("AKID2", "other", "token")
    calls: list[tuple[bytes, Keys, float]] = [
        (b"one", keys, AT_SECONDS),
        (b"two", keys, AT_SECONDS + 0.9),
        (b"two", others, AT_SECONDS + 0.9),  # rotated within the second
        (b"two", Keys("AKID", "secret"), AT_SECONDS + 0.9),
        (b"two", keys, AT_SECONDS + 1.0),
        (b"two", keys, AT_SECONDS - 1.0),  # the service's clock was set back
        (b"one", keys, AT_SECONDS + 86_400.0),
    ]
    for body, used, at_seconds in calls:
        head = kept.head(body, used, at_seconds)
        assert head == Signer(HEADERS, SCOPE).head(body, used, at_seconds)
        moment = datetime.fromtimestamp(int(at_seconds), UTC)
        assert sent(head)["x-amz-date"] == f"{moment:%Y%m%dT%H%M%SZ}"
        assert f"Credential={used.access_key}/" in sent(head)["authorization"]


def test_keys_do_not_show_their_secret() -> None:
    assert "hidden" not in repr(Keys("AKID", "hidden", "hidden"))
