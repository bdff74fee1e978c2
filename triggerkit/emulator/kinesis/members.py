"""Members of Kinesis requests, held to the constraints of AWS's service model.

A member that the model does not allow is refused as ValidationException before anything is looked up.
Source: Kinesis Data Streams API reference, the patterns of ShardId, HashKey and SequenceNumber.
"""

from __future__ import annotations

import re

from triggerkit.emulator.requests import (
    Request,
    missing,
    optional_text,
    positive,
    text,
    violated,
)

_SHARD_ID = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_HASH_KEY = re.compile(r"0|[1-9][0-9]{0,38}")
_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")


def shard_id(request: Request, name: str) -> str:
    """Return a shard id that must be there."""
    found = optional_shard_id(request, name)
    if found is None:
        raise missing(name)
    return found


def optional_shard_id(request: Request, name: str) -> str | None:
    """Return a shard id, None when absent."""
    return _matching(request, name, _SHARD_ID)


def hash_key(request: Request, name: str) -> int | None:
    """Return a hash key, None when absent; it may still lie past the hash space."""
    found = _matching(request, name, _HASH_KEY)
    return None if found is None else int(found)


def sequence_number(request: Request, name: str) -> int | None:
    """Return a sequence number, None when absent."""
    found = _matching(request, name, _SEQUENCE_NUMBER)
    return None if found is None else int(found)


def iterator(request: Request) -> str:
    """Return ShardIterator, which must be there and not empty."""
    token = text(request, "ShardIterator")
    if not token:
        raise violated(token, "ShardIterator", "Member must have length greater than or equal to 1")
    return token


def bounded(request: Request, name: str, most: int) -> int | None:
    """Return an integer member from 1 to `most`, None when absent."""
    value = positive(request, name)
    if value is not None and value > most:
        raise violated(value, name, f"Member must have value less than or equal to {most}")
    return value


def _matching(request: Request, name: str, pattern: re.Pattern[str]) -> str | None:
    value = optional_text(request, name)
    if value is not None and not pattern.fullmatch(value):
        raise violated(
            value, name, f"Member must satisfy regular expression pattern: {pattern.pattern}"
        )
    return value
