"""Whether a reply arrived as it was sent. A damaged reply is an error, never a shorter answer.

botocore compares checksums for tables in one of its retry modes and for streams in none, and it parses
half a body into a dictionary without the fields that were cut off: no shards, no streams.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec


class DamagedBody(Exception):  # noqa: N818 (a finding; the caller knows what the reply was about)
    """A client of ours got a damaged reply. Says what is wrong with it."""


def flaw_of(body: bytes, headers: Mapping[str, str]) -> str:
    """What is wrong with a body by its checksum, else by its length and encoding; empty if nothing."""
    checksum = headers.get("x-amz-crc32")
    if checksum is not None:
        return "" if checksum == str(zlib.crc32(body)) else "its checksum is wrong"
    length = headers.get("content-length")
    if length is not None and not headers.get("content-encoding") and length != str(len(body)):
        return f"it has {len(body)} of {length} bytes"
    try:
        body.decode()  # cutting a page into raw records does not look into its texts
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return ""


def refuse_damaged_replies(client: Any) -> None:
    """Let calls of this boto3 client raise `DamagedBody` where its parser would make something up."""
    client.meta.events.register("before-parse", _check)


def _check(response_dict: Mapping[str, Any], **_: Any) -> None:
    if response_dict["status_code"] != 200:
        return  # an error answer that cannot be read is an error all the same
    body: bytes = response_dict["body"]
    why = flaw_of(body, response_dict["headers"])
    if why:
        raise DamagedBody(why)
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise DamagedBody(str(error)) from error
