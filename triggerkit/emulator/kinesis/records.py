"""Kinesis records: put, iterators, get.

A record goes to the open shard that holds the hash of its partition key; a closed shard ends in the same answer as
its last record, and that answer names its children.
Source: Kinesis Data Streams API reference.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from triggerkit.emulator.errors import EmulatorError, invalid_argument
from triggerkit.emulator.faults import Faults
from triggerkit.emulator.kinesis import members
from triggerkit.emulator.kinesis.streams import hash_range, kinesis_stream, listed_shard
from triggerkit.emulator.model import Stream
from triggerkit.emulator.reading import ShardIterator, read_token
from triggerkit.emulator.requests import (
    Request,
    chosen,
    missing,
    mistyped,
    optional_list,
    text,
    violated,
)
from triggerkit.emulator.shards import HASH_SPACE, Shard, StreamRecord, key_hash
from triggerkit.emulator.site import Site
from triggerkit.emulator.streams import first_iterator, next_iterator

MAX_RECORDS = 10_000
MAX_PUT = 500
MAX_KEY_LENGTH = 256
RECORD_BYTES = 1024 * 1024
PUT_BYTES = 5 * 1024 * 1024
PAGE_BYTES = 10 * 1024 * 1024
LIFE_SECONDS = 5 * 60
ITERATOR_TYPES = (
    "AT_SEQUENCE_NUMBER",
    "AFTER_SEQUENCE_NUMBER",
    "AT_TIMESTAMP",
    "TRIM_HORIZON",
    "LATEST",
)


@dataclass(frozen=True, slots=True)
class _Put:
    """One checked record before it has a number."""

    content: str
    key: str
    place: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class KinesisRecordsApi:
    """Records of one site's Kinesis streams."""

    site: Site
    faults: Faults

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "PutRecord": self.put_record,
            "PutRecords": self.put_records,
            "GetShardIterator": self.get_shard_iterator,
            "GetRecords": self.get_records,
        }

    def put_record(self, request: Request) -> dict[str, Any]:
        """Answer PutRecord."""
        put = _read_put(request)
        stream = kinesis_stream(self.site, self.faults, request)
        return self._append(stream, _placed(put))

    def put_records(self, request: Request) -> dict[str, Any]:
        """Answer PutRecords; a record for a shard that is written too much fails by itself."""
        entries = optional_list(request, "Records")
        if entries is None:
            raise missing("Records")
        if not 1 <= len(entries) <= MAX_PUT:
            bound = f"less than or equal to {MAX_PUT}" if entries else "greater than or equal to 1"
            raise violated("[...]", "Records", f"Member must have length {bound}")
        for entry in entries:
            if not isinstance(entry, dict):
                raise mistyped("Records", entry, "Map")
        puts = [_read_put(entry) for entry in entries]
        if sum(put.size_bytes for put in puts) > PUT_BYTES:
            raise invalid_argument("Records size exceeds 5 MB limit")
        stream = kinesis_stream(self.site, self.faults, request)
        placed = [_placed(put) for put in puts]
        answers = [self._answered(stream, put) for put in placed]
        failed = sum("ErrorCode" in answer for answer in answers)
        return {"FailedRecordCount": failed, "Records": answers}

    def get_shard_iterator(self, request: Request) -> dict[str, Any]:
        """Answer GetShardIterator, all five types."""
        shard_id = members.shard_id(request, "ShardId")
        kind = chosen(request, "ShardIteratorType", ITERATOR_TYPES)
        if kind is None:
            raise missing("ShardIteratorType")
        number = members.sequence_number(request, "StartingSequenceNumber")
        stream = kinesis_stream(self.site, self.faults, request)
        shard = listed_shard(stream, shard_id)
        if kind.endswith("SEQUENCE_NUMBER"):
            sequence = _asked_number(stream, shard, number)
            after = max(shard.horizon, sequence - (kind == "AT_SEQUENCE_NUMBER"))
        else:
            if number is not None:
                raise _one_of_two()
            after = self._start(shard, kind, request)
        place = ShardIterator(stream.arn, shard.shard_id, after)
        return {"ShardIterator": first_iterator(self.site, self.faults, place)}

    def get_records(self, request: Request) -> dict[str, Any]:
        """Answer GetRecords: at most 10,000 records or 10 MB, how far behind, and where to go on."""
        limit = members.bounded(request, "Limit", MAX_RECORDS) or MAX_RECORDS
        place = _read_iterator(members.iterator(request))
        now_seconds = self.site.clock.now_seconds()
        if place.expired(now_seconds, self.faults.iterator_generation, LIFE_SECONDS):
            raise EmulatorError(
                "ExpiredIteratorException",
                "Iterator expired. The iterator was created more than 5 minutes ago.",
            )
        stream = kinesis_stream(self.site, self.faults, {"StreamARN": place.stream_arn})
        shard = listed_shard(stream, place.shard_id)
        refusal = self.faults.reads.refusal(place, now_seconds)
        if refusal:
            raise _too_much(stream, shard, refusal)
        most_bytes = PAGE_BYTES if self.faults.limits_page_bytes else inf
        page = self.faults.reads.read(place, shard, now_seconds, (limit, most_bytes))
        waiting = page.waiting
        behind_seconds = now_seconds - waiting.created_seconds if waiting is not None else 0.0
        answer: dict[str, Any] = {
            "Records": [record.wire for record in page.records],
            "MillisBehindLatest": int(1000 * behind_seconds),
        }
        if page.ended:
            answer["ChildShards"] = self._children(stream, shard)
        else:
            following = replace(place, after=page.after)
            answer["NextShardIterator"] = next_iterator(self.site, self.faults, following)
        return answer

    def _children(self, stream: Stream, shard: Shard) -> list[dict[str, Any]]:
        now_seconds = self.site.clock.now_seconds()
        children = stream.graph.children(shard.shard_id)
        return [_child(child) for child in self.faults.listings.shown(children, now_seconds)]

    def _answered(self, stream: Stream, put: _Put) -> dict[str, Any]:
        try:
            return self._append(stream, put)
        except EmulatorError as error:
            return {"ErrorCode": error.type, "ErrorMessage": error.message}

    def _append(self, stream: Stream, put: _Put) -> dict[str, Any]:
        shard = next(
            each for each in stream.graph.open_shards() if each.low <= put.place < each.high
        )
        self._count_write(stream, shard, put)
        sequence, now_seconds = stream.graph.number(), self.site.clock.now_seconds()
        wire = {
            "SequenceNumber": str(sequence),
            "ApproximateArrivalTimestamp": round(now_seconds, 3),
            "Data": put.content,
            "PartitionKey": put.key,
        }
        record = StreamRecord(sequence, now_seconds, put.size_bytes, wire)
        self.site.store.append(stream, shard.shard_id, record)
        return {"ShardId": shard.shard_id, "SequenceNumber": str(sequence)}

    def _count_write(self, stream: Stream, shard: Shard, put: _Put) -> None:
        """Raises EmulatorError: the shard is written too much."""
        key, now_seconds = (stream.arn, shard.shard_id), self.site.clock.now_seconds()
        excess = self.faults.writes.excess(key, now_seconds)
        if excess:
            raise _too_much(stream, shard, excess)
        self.faults.writes.count(key, now_seconds, put.size_bytes)

    def _start(self, shard: Shard, kind: str, request: Request) -> int:
        """Return the sequence number after which an iterator of this kind reads."""
        match kind:
            case "TRIM_HORIZON":
                return shard.horizon
            case "LATEST":
                visible = self.faults.reads.visible(shard, self.site.clock.now_seconds())
                if visible == len(shard.records):
                    return shard.latest_sequence
                return shard.records[visible - 1].sequence if visible else shard.horizon
            case _:
                return shard.before(self._asked_time(request))

    def _asked_time(self, request: Request) -> float:
        seconds = request.get("Timestamp")
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
            raise invalid_argument(
                "Must specify timestamp parameter for iterator of type AT_TIMESTAMP"
            )
        if seconds > self.site.clock.now_seconds():
            raise invalid_argument(
                f"The timestampInMillis parameter cannot be in the future: {seconds}"
            )
        return float(seconds)


def _read_put(request: Request) -> _Put:
    key, content = text(request, "PartitionKey"), text(request, "Data")
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        bound = f"less than or equal to {MAX_KEY_LENGTH}" if key else "greater than or equal to 1"
        raise violated(key, "PartitionKey", f"Member must have length {bound}")
    try:
        size_bytes = len(base64.b64decode(content, validate=True)) + len(key.encode())
    except (binascii.Error, ValueError):
        raise EmulatorError("SerializationException", "Data is no valid base64") from None
    if size_bytes > RECORD_BYTES:
        raise violated(
            "...", "Data", f"Member must have length less than or equal to {RECORD_BYTES}"
        )
    place = members.hash_key(request, "ExplicitHashKey")
    return _Put(content, key, key_hash(key) if place is None else place, size_bytes)


def _placed(put: _Put) -> _Put:
    """Return a put whose hash key some shard takes; this is looked at once there is a stream."""
    if put.place >= HASH_SPACE:
        raise invalid_argument(
            f"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified "
            f"value was {put.place}"
        )
    return put


def _asked_number(stream: Stream, shard: Shard, number: int | None) -> int:
    if number is None:
        raise _one_of_two()
    inside = shard.starting_sequence <= number <= shard.latest_sequence
    others = (each for each in stream.graph.listed() if each is not shard)
    if not inside or any(each.holds(number) for each in others):
        raise invalid_argument(
            f"StartingSequenceNumber {number} used in GetShardIterator on shard {shard.shard_id} is "
            "invalid because it did not come from this shard."
        )
    return number


def _one_of_two() -> EmulatorError:
    return invalid_argument(
        "Must either specify timestamp or sequence number, but not both, for this iterator type."
    )


def _too_much(stream: Stream, shard: Shard, why: str) -> EmulatorError:
    return EmulatorError(
        "ProvisionedThroughputExceededException",
        f"Rate exceeded for shard {shard.shard_id} in stream {stream.table_name}: {why}.",
    )


def _read_iterator(token: str) -> ShardIterator:
    try:
        return read_token(token)
    except EmulatorError:
        raise invalid_argument("Invalid ShardIterator.") from None


def _child(child: Shard) -> dict[str, Any]:
    parents = (child.parent_id, child.adjacent_parent_id)
    return {
        "ShardId": child.shard_id,
        "ParentShards": [parent for parent in parents if parent is not None],
        "HashKeyRange": hash_range(child),
    }
