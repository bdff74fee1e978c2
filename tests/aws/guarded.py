"""An AWS that takes only the keys of the moment: DynamoDB with its streams, STS, SSO and metadata services.

The emulator answers in process behind a small HTTP server. A way to get credentials is set up in the
environment by one of `WAYS` and can then be rotated: from that moment on the old keys are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from emulator.kit import TABLE, stream_on

from triggerkit.emulator import Emulator, EmulatorError

TABLE_NAME = TABLE["TableName"]
ROLE = "arn:aws:iam::000000000000:role/reader"
SSO_SESSION = "work"
_KEY = re.compile(r"Credential=([^/]+)/")
_ROLE_ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><AssumedRoleId>A:triggerkit</AssumedRoleId><Arn>{role}</Arn></AssumedRoleUser>
<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
<SessionToken>token-of-{key}</SessionToken><Expiration>{end}</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""
_REFUSED = (
    """<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"""
)


class Guarded:
    """What answers. `accepted` are the key ids of the moment; `issued` is what STS and the others hand out."""

    def __init__(self) -> None:
        self.emulator = Emulator()
        self.emulator.call("CreateTable", {**TABLE, **stream_on()})
        self.accepted = {"AKIA0"}
        self.issued = "ASIA0"
        self.code = "UnrecognizedClientException"
        self.external_id = ""
        self.lifetime_seconds = 12 * 3600.0
        self.answered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.keys_seen: list[str] = []
        guarded = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                self._send(*guarded.post(dict(self.headers.items()), body))

            def do_GET(self) -> None:
                self._send(*guarded.get(self.path))

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", "0")))
                self._send(200, b"metadata-token")

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.send_header("content-type", "application/x-amz-json-1.0")
                self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def write(self, *names: str) -> None:
        for name in names:
            item = {"pk": {"S": name}}
            self.emulator.call("PutItem", {"TableName": TABLE_NAME, "Item": item})

    def roll(self) -> None:
        self.emulator.roll(TABLE_NAME)

    def calls(self, operation: str) -> int:
        return self.answered[operation]

    def post(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        headers = {name.lower(): value for name, value in headers.items()}
        found = _KEY.search(headers.get("authorization", ""))
        key = found[1] if found else ""
        target = headers.get("x-amz-target", "").partition(".")[2]
        if not target:
            return self._sts(key, body)
        self.keys_seen.append(key)
        token = headers.get("x-amz-security-token", "")
        if key not in self.accepted or token != (f"token-of-{key}" if key[:4] == "ASIA" else ""):
            self.refused[target] += 1
            return 400, json.dumps({"__type": f"a#{self.code}", "message": "no"}).encode()
        try:
            answer = self.emulator.call_as_json(target, json.loads(body))
        except EmulatorError as error:
            return error.status, json.dumps(
                {"__type": error.type, "message": error.message}
            ).encode()
        self.answered[target] += 1
        return 200, answer.encode()

    def get(self, path: str) -> tuple[int, bytes]:
        end = self._end().isoformat()
        if path.startswith("/federation/credentials"):
            self.answered["GetRoleCredentials"] += 1
            return 200, json.dumps(
                {
                    "roleCredentials": {
                        "accessKeyId": self.issued,
                        "secretAccessKey": "secret",
                        "sessionToken": f"token-of-{self.issued}",
                        "expiration": int(self._end().timestamp() * 1000),
                    }
                }
            ).encode()
        if path.endswith("/security-credentials/"):
            return 200, b"reader"
        self.answered["metadata"] += 1
        return 200, json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "LastUpdated": end,
                "AccessKeyId": self.issued,
                "SecretAccessKey": "secret",
                "Token": f"token-of-{self.issued}",
                "Expiration": self._end().strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ).encode()

    def _sts(self, key: str, body: bytes) -> tuple[int, bytes]:
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if key not in self.accepted:
            self.refused["AssumeRole"] += 1
            return 403, _REFUSED.format(code="InvalidClientTokenId").encode()
        if asked.get("ExternalId", "") != self.external_id:
            return 403, _REFUSED.format(code="AccessDenied").encode()
        self.answered["AssumeRole"] += 1
        end = self._end().strftime("%Y-%m-%dT%H:%M:%SZ")
        return 200, _ROLE_ANSWER.format(role=ROLE, key=self.issued, end=end).encode()

    def _end(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.lifetime_seconds)


@contextmanager
def guarded() -> Iterator[Guarded]:
    """A guarded endpoint with one table, for a while."""
    found = Guarded()
    try:
        yield found
    finally:
        found.close()


class Place:
    """One way to get credentials. `environment` is what a process needs for it, `query` its locator keys."""

    def __init__(self, aws: Guarded, folder: Path) -> None:
        self.aws = aws
        self.folder = folder
        self.query = ""
        self.number = 0
        self.credentials = folder / "credentials"
        self.config = folder / "config"
        self.credentials.write_text("")
        self.config.write_text("")
        self.environment = {
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_STS": aws.url,
            "AWS_ENDPOINT_URL_SSO": aws.url,
            "AWS_CONFIG_FILE": str(self.config),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials),
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(folder),
        }
        self.publish = self.nothing_to_publish

    def nothing_to_publish(self) -> None:
        """The new keys are served by the endpoint itself."""

    def invalidate(self) -> None:
        """From now on the old keys are refused; the new ones are not published yet."""
        self.number += 1
        self.aws.accepted = {f"AKIA{self.number}", f"ASIA{self.number}"}

    def rotate(self) -> None:
        """The old keys are refused, the new ones can be had."""
        self.invalidate()
        self.publish()

    def write_keys(self, profile: str = "default") -> None:
        self.credentials.write_text(
            f"[{profile}]\naws_access_key_id = AKIA{self.number}\naws_secret_access_key = secret\n"
        )

    def issue(self) -> None:
        self.aws.issued = f"ASIA{self.number}"


def credentials_file(place: Place) -> None:
    place.publish = place.write_keys


def credential_process(place: Place) -> None:
    printed = place.folder / "printed.json"
    log = place.folder / "process.log"
    program = place.folder / "process.py"
    program.write_text(
        f"open({str(log)!r}, 'a').write('x')\nprint(open({str(printed)!r}).read())\n"
    )
    place.config.write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")

    def publish() -> None:
        key = f"AKIA{place.number}"
        printed.write_text(
            json.dumps({"Version": 1, "AccessKeyId": key, "SecretAccessKey": "secret"})
        )

    place.publish = publish


def assumed_role(place: Place) -> None:
    """`role_arn` and `external_id` in the locator; the caller's own keys rotate as well."""
    place.query = f"&role_arn={ROLE}&external_id=partner"
    place.aws.external_id = "partner"

    def publish() -> None:
        place.write_keys()
        place.issue()

    place.publish = publish


def source_profile(place: Place) -> None:
    """A profile that takes a role with the keys of another profile."""
    place.query = "&profile=reader"
    place.config.write_text(
        f"[profile reader]\nrole_arn = {ROLE}\nsource_profile = base\nregion = us-east-1\n"
    )

    def publish() -> None:
        place.write_keys("base")
        place.issue()

    place.publish = publish


def container(place: Place) -> None:
    place.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{place.aws.url}/container"
    place.publish = place.issue


def instance_metadata(place: Place) -> None:
    place.environment["AWS_EC2_METADATA_DISABLED"] = "false"
    place.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"{place.aws.url}/"
    place.publish = place.issue


def identity_center(place: Place) -> None:
    """`aws sso login` was done; the role's session ends and the portal gives another."""
    place.config.write_text(
        f"[default]\nsso_session = {SSO_SESSION}\nsso_account_id = 000000000000\nsso_role_name = reader\n"
        f"[sso-session {SSO_SESSION}]\nsso_region = us-east-1\nsso_start_url = https://example.invalid\n"
    )
    cache = place.folder / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    name = hashlib.sha1(SSO_SESSION.encode(), usedforsecurity=False).hexdigest()
    end = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = {"accessToken": "sso-token", "expiresAt": end, "region": "us-east-1"}
    (cache / f"{name}.json").write_text(json.dumps(token))
    place.publish = place.issue


Way = Callable[[Place], None]
WAYS: tuple[Way, ...] = (
    credentials_file,
    credential_process,
    assumed_role,
    source_profile,
    container,
    instance_metadata,
    identity_center,
)


def laid_out(aws: Guarded, folder: Path, way: Way) -> Place:
    """The way, set up in `folder`, with the first keys published."""
    place = Place(aws, folder)
    way(place)
    place.rotate()
    return place
