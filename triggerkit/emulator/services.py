"""Which AWS service a request is for, and the answer for services that are not served here.

Such a request gets an error that names the service, in the form that its SDK reads; it is never passed on to AWS.
The service is the one that the request is signed for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Protocol
from xml.sax.saxutils import escape

from triggerkit.emulator.wire import Answer

OWN = frozenset({"dynamodb", "kinesis"})
"""What the emulator answers for; streams are signed as dynamodb."""
POST_ONLY = OWN | {"", "sqs", "sns", "events"}
"""A GET of these would change something, and a web page sends a GET without an Origin."""
UNSERVED_STATUS = 501
"""No SDK tries again after 501."""
UNSERVED_CODE = "UnservedService"

_SCOPE = re.compile(r"Credential=[^/,&\s]+(?:/|%2F)\d{8}(?:/|%2F)[^/%]*(?:/|%2F)([a-z0-9-]+)", re.I)
_UNSCOPED_S3_URL = re.compile(
    r"[?&]AWSAccessKeyId=\S+&Signature=|[?&]Signature=\S+&AWSAccessKeyId="
)
"""A presigned URL of boto3 in us-east-1, which only S3 accepts."""
_SERVICE_OF_TARGET = {"DynamoDB": "dynamodb", "DynamoDBStreams": "dynamodb", "Kinesis": "kinesis"}


class OtherServices(Protocol):
    """What answers on the same port for services that the emulator does not have."""

    @property
    def served(self) -> frozenset[str]:
        """The services, as signatures name them."""
        ...

    def advice(self, service: str) -> str:
        """What a person can do about a service that is not served."""
        ...

    async def answer(self, service: str, request: bytes) -> bytes:
        """Answer one whole HTTP request with a whole HTTP response; nothing is raised.

        The connection is closed after the response.
        """
        ...


def service_of(request_line: str, headers: Mapping[str, str]) -> str:
    """Return the service that a request is signed for; unsigned, that of its target; else nothing."""
    signed = _SCOPE.search(headers.get("authorization", "")) or _SCOPE.search(request_line)
    if signed is not None:
        return signed[1].lower()
    if _UNSCOPED_S3_URL.search(request_line):
        return "s3"
    return _SERVICE_OF_TARGET.get(headers.get("x-amz-target", "").partition("_")[0], "")


def unserved(service: str, headers: Mapping[str, str], advice: str = "") -> Answer:
    """Return the answer to a request for a service that is not served here."""
    text = f"{service!r} is not served by the embedded endpoint of triggerkit. {advice}".strip()
    kind, body = _body(service, headers, text)
    return Answer(
        UNSERVED_STATUS,
        (("Content-Type", kind), ("x-amzn-ErrorType", UNSERVED_CODE)),
        body.encode(),
    )


def _body(service: str, headers: Mapping[str, str], text: str) -> tuple[str, str]:
    inner = f"<Error><Code>{UNSERVED_CODE}</Code><Message>{escape(text)}</Message></Error>"
    if service == "s3":
        return "application/xml", inner
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return "text/xml", f"<ErrorResponse>{inner}</ErrorResponse>"
    return "application/json", json.dumps({"__type": UNSERVED_CODE, "message": text})
