"""Whether a reply arrived as it was sent, and what it says when it did.

A damaged reply is an error, never a shorter answer. botocore compares checksums for tables in one of its
retry modes and for streams in none, and it parses half a body into a dictionary without the fields that were
cut off: no shards, no streams. So it does not parse at all: the good answers of a client are read here.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from triggerkit.aws.limits import REPLY_BYTES, BadEncoding, Body, plain_body

LONGEST_TEXT = 1000
"""Characters of a service's error text that are kept."""


class DamagedBody(Exception):  # noqa: N818 (a finding; the caller knows what the reply was about)
    """A client of ours got a damaged reply. Says what is wrong with it."""


def find_corruption(body: Body, headers: Mapping[str, str]) -> str:
    """What is wrong with a body by its checksum, else by its length and encoding; empty if nothing."""
    checksum = headers.get("x-amz-crc32")
    if checksum is not None:
        return "" if checksum == str(zlib.crc32(body)) else "its checksum is wrong"
    length = headers.get("content-length")
    if length is not None and not headers.get("content-encoding") and length != str(len(body)):
        return f"it has {len(body)} of {length[:20]} bytes"
    try:
        body.decode()  # cutting a page into raw records does not look into its texts
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return ""


def json_object(body: Body) -> dict[str, Any]:
    """The members of a JSON object.

    Raises:
        DamagedBody: it is none, or nested so deep that nobody can read it.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except RecursionError as error:
        raise DamagedBody("it is nested too deep") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what = ", it is HTML" if body.lstrip()[:1] == b"<" else ""
        raise DamagedBody(f"{error}{what}") from error


def error_in(body: Body, header: str = "") -> tuple[str, str]:
    """The code and the text of an error answer, as far as it has any; `header` is `x-amzn-errortype`."""
    try:
        fault = json_object(body)
    except DamagedBody:
        fault = {}
    code = _text(fault.get("__type")) or _text(fault.get("code")) or header
    text = _text(fault.get("message")) or _text(fault.get("Message"))
    return code.rpartition("#")[2].partition(":")[0][:LONGEST_TEXT], text[:LONGEST_TEXT]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def refuse_damaged_replies(client: Any) -> None:
    """Let calls of this boto3 client raise `DamagedBody` where its parser would make something up.

    What they return are the members as JSON has them: times are numbers.
    """
    client.meta.events.register("before-parse", _read)


def checked_body(body: Body, status: int, headers: Mapping[str, str], limit_bytes: int) -> Body:
    """The body of a good answer, unpacked.

    Raises:
        DamagedBody: it is not what was sent, or no good answer. OversizedBody: it unpacks to too much.
    """
    if status != 200:
        raise DamagedBody(f"it came with HTTP status {status}")
    try:
        plain = plain_body(body, headers, limit_bytes)
    except BadEncoding as error:
        raise DamagedBody(str(error)) from error
    why = find_corruption(plain, headers)
    if why and (
        plain is body or find_corruption(body, headers)
    ):  # the checksum may be that of the packed bytes
        raise DamagedBody(why)
    return plain


def simplify_error(response_dict: dict[str, Any]) -> bool:
    """Whether botocore is about to parse an error answer; it gets one that its parser can read.

    An error answer that says nothing is an error all the same.
    """
    if response_dict["status_code"] < 300:
        return False
    headers: Mapping[str, str] = response_dict["headers"]
    code, text = error_in(response_dict["body"], headers.get("x-amzn-errortype", ""))
    said = {"__type": code, "message": text}
    response_dict["body"] = json.dumps({name: one for name, one in said.items() if one}).encode()
    return True


def _read(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    if simplify_error(response_dict):
        return
    body = checked_body(
        response_dict["body"], response_dict["status_code"], response_dict["headers"], REPLY_BYTES
    )
    members = json_object(body)
    members.pop("ResponseMetadata", None)  # botocore's own
    customized_response_dict.update(members)
    response_dict["body"] = b"{}"
