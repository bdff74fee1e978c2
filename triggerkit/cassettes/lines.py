"""The file format of a cassette, a recorded stream.

A cassette is JSON lines, in gzip or plain. The first line is the header; then come shards, records and
the ends of shards in the order in which they were read, so a parent's records stand before its children's;
the last line says why the recording ended, and where it is missing the file was cut off. A shard's id is
`STREAM_LABEL:SHARD`, since a stream that is made again may use a shard name twice.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

VERSION: Final = 1
"""Raised when a reader of the former version would misread a file."""

Ending: TypeAlias = Literal["tip", "count", "time", "interrupted", "failed"]


class Header(msgspec.Struct, frozen=True, tag="cassette", tag_field="line", kw_only=True):
    """What was recorded. `keys` are name and type, partition key first.

    `redacted` are the paths whose values were replaced; `kept`, unless None, those that alone were not;
    `prefixes` what texts kept of themselves. In a redacted recording the account in `stream_arn` is zeros.
    """

    version: int = VERSION
    triggerkit: str
    table: str
    keys: tuple[tuple[str, str], ...]
    view_type: str
    stream_arn: str
    recorded_at: str
    redacted: tuple[str, ...] = ()
    kept: tuple[str, ...] | None = None
    prefixes: tuple[str, ...] = ()


class ShardBegun(msgspec.Struct, frozen=True, tag="shard", tag_field="line"):
    """A shard is read from here on; `parents` as the stream names them, recorded or not."""

    shard: str
    parents: tuple[str, ...] = ()


class Recorded(msgspec.Struct, frozen=True, tag="record", tag_field="line"):
    """One record as GetRecords answered it, but for what was redacted."""

    shard: str
    record: msgspec.Raw


class ShardClosed(msgspec.Struct, frozen=True, tag="closed", tag_field="line"):
    """The shard was read to its end and goes on in `children`; none of a stream that was turned off."""

    shard: str
    children: tuple[str, ...] = ()


class Ended(msgspec.Struct, frozen=True, tag="end", tag_field="line"):
    """The last line."""

    why: Ending


Line: TypeAlias = ShardBegun | Recorded | ShardClosed
"""What stands between the header and the end."""


class _Opening(msgspec.Struct):
    line: str
    version: int = 0


_OPENING = msgspec.json.Decoder(_Opening)
_HEADER = msgspec.json.Decoder(Header)
_LINE: msgspec.json.Decoder[Line | Ended] = msgspec.json.Decoder(
    ShardBegun | Recorded | ShardClosed | Ended
)
_ENCODER = msgspec.json.Encoder()


def encoded(line: Header | Line | Ended) -> bytes:
    """One line with its end; a record's own line breaks, which JSON may have, go."""
    text = _ENCODER.encode(line)
    if b"\n" in text:
        text = msgspec.json.format(text, indent=-1)
    return text + b"\n"


def read_header(text: bytes) -> Header | int | None:
    """The header; the version of a newer file; or None: no cassette."""
    try:
        opening = _OPENING.decode(text)
        if opening.line != "cassette":
            return None
        return opening.version if opening.version > VERSION else _HEADER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_line(text: bytes) -> Line | Ended:
    """Any line but the first. Raises ValueError: it is none, and why."""
    try:
        return _LINE.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
