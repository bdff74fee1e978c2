"""AWS signature version 4 for `POST /`, byte for byte as botocore signs.

botocore's own signer costs many times as much a request, which counts at thousands of idle shards.
Source: IAM user guide, reference_sigv-create-signed-request.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials at one moment. `token` is empty for long-lived ones."""

    access_key: str
    secret_key: str
    token: str = ""

    def __repr__(self) -> str:
        return f"Keys({self.access_key})"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for: a Region and a service's signing name."""

    region: str
    service: str


class Signer:
    """Signs `POST /` requests that differ in their body alone.

    What the requests of one second have in common is made once: the head with its date, and the beginnings of both
    hashes. `headers` are all that are signed besides date and token, with lower-case names, `host` among them.
    """

    def __init__(self, headers: Mapping[str, str], scope: Scope) -> None:
        self._headers = headers
        self._scope = scope
        self._signed_for: tuple[int, Keys] | None = None
        self._head = b""
        self._canonical = hashlib.sha256()
        self._to_sign = hmac.new(b"", digestmod="sha256")

    def head(self, body: bytes, keys: Keys, at_seconds: float) -> bytes:
        """Request line and signed headers for `body`; further headers may follow. `at_seconds` is service time."""
        signed_for = (int(at_seconds), keys)
        if signed_for != self._signed_for:
            self._prepare(*signed_for)
            self._signed_for = signed_for
        canonical = self._canonical.copy()
        canonical.update(hashlib.sha256(body).hexdigest().encode())
        to_sign = self._to_sign.copy()
        to_sign.update(canonical.hexdigest().encode())
        return b"%b%b\r\n" % (self._head, to_sign.hexdigest().encode())

    def _prepare(self, second: int, keys: Keys) -> None:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        headers = {**self._headers, "x-amz-date": moment}
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        names = sorted(headers)
        signed_names = ";".join(names)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        day = moment[:8]
        scope = f"{day}/{self._scope.region}/{self._scope.service}/aws4_request"
        self._canonical = hashlib.sha256(f"POST\n/\n\n{lines}\n{signed_names}\n".encode())
        key = _signing_key(keys.secret_key, day, self._scope)
        self._to_sign = hmac.new(key, f"{ALGORITHM}\n{moment}\n{scope}\n".encode(), "sha256")
        sent = "".join(f"{name}: {headers[name]}\r\n" for name in names)
        self._head = (
            f"POST / HTTP/1.1\r\n{sent}authorization: {ALGORITHM} "
            f"Credential={keys.access_key}/{scope}, SignedHeaders={signed_names}, Signature="
        ).encode()


@lru_cache(maxsize=16)  # one key a day, credential and Region
def _signing_key(secret_key: str, day: str, scope: Scope) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
