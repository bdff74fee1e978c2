"""The four operations of DynamoDB Streams, and what those of Kinesis share with them.

An open shard always answers with a next iterator; a closed one ends in the same answer as its last record. Pages of
listings follow the order of shard ids, so a page never depends on the one before.
Source: Streams API reference; rules S-9 to S-16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from triggerkit.emulator.errors import (
    EmulatorError,
    invalid_parameter,
    not_found,
    validation,
)
from triggerkit.emulator.faults import Faults
from triggerkit.emulator.model import Stream
from triggerkit.emulator.reading import ShardIterator, read_token
from triggerkit.emulator.requests import (
    Request,
    chosen,
    missing,
    optional_map,
    optional_text,
    positive,
    table_name,
    text,
    violated,
)
from triggerkit.emulator.shards import Shard
from triggerkit.emulator.site import Site

MAX_RECORDS = 1000
MAX_LISTED = 100
PAGE_BYTES = 1024 * 1024
ITERATOR_TYPES = (
    "TRIM_HORIZON",
    "LATEST",
    "AT_SEQUENCE_NUMBER",
    "AFTER_SEQUENCE_NUMBER",
    "AT_TIMESTAMP",
)


@dataclass(frozen=True, slots=True)
class StreamsApi:
    """DynamoDB Streams over one site."""

    site: Site
    faults: Faults

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "ListStreams": self.list_streams,
            "DescribeStream": self.describe_stream,
            "GetShardIterator": self.get_shard_iterator,
            "GetRecords": self.get_records,
        }

    def list_streams(self, request: Request) -> dict[str, Any]:
        """Answer ListStreams."""
        limit = _listing_limit(request)
        name = table_name(request) if request.get("TableName") is not None else None
        start = optional_text(request, "ExclusiveStartStreamArn") or ""
        listings, now_seconds = self.faults.listings, self.site.clock.now_seconds()
        found = [
            stream
            for stream in self.site.store.streams()
            if not stream.is_kinesis
            and stream.arn > start
            and name in (None, stream.table_name)
            and self._kept(stream)
            and listings.lists(stream.arn, stream.created_seconds, now_seconds)
        ]
        answer: dict[str, Any] = {
            "Streams": [
                {
                    "StreamArn": stream.arn,
                    "TableName": stream.table_name,
                    "StreamLabel": stream.label,
                }
                for stream in found[:limit]
            ]
        }
        if len(found) > limit:
            answer["LastEvaluatedStreamArn"] = found[limit - 1].arn
        return answer

    def describe_stream(self, request: Request) -> dict[str, Any]:
        """Answer DescribeStream; 100 shards a page, CHILD_SHARDS lists the children of one shard."""
        arn = text(request, "StreamArn")
        limit = _listing_limit(request)
        start = optional_text(request, "ExclusiveStartShardId") or ""
        parent_id = _asked_parent(request)
        stream = self._stream(arn)
        listings, now_seconds = self.faults.listings, self.site.clock.now_seconds()
        shards = listings.shown(stream.graph.listed(), now_seconds, listings.take_age())
        if parent_id is not None:
            shards = [shard for shard in shards if shard.parent_id == parent_id]
        page, more = listings.page(listings.after(shards, start), limit)
        description: dict[str, Any] = {
            "StreamArn": stream.arn,
            "StreamLabel": stream.label,
            "StreamStatus": "ENABLED" if stream.enabled else "DISABLED",
            "StreamViewType": stream.view_type,
            "CreationRequestDateTime": stream.created_seconds,
            "TableName": stream.table_name,
            "KeySchema": stream.key_schema,
            "Shards": [described_shard(shard) for shard in page],
        }
        if more:
            description["LastEvaluatedShardId"] = page[-1].shard_id
        return {"StreamDescription": description}

    def get_shard_iterator(self, request: Request) -> dict[str, Any]:
        """Answer GetShardIterator, all five types."""
        arn = text(request, "StreamArn")
        shard_id = text(request, "ShardId")
        kind = chosen(request, "ShardIteratorType", ITERATOR_TYPES)
        if kind is None:
            raise missing("ShardIteratorType")
        stream = self._stream(arn)
        shard = stream.graph.shard(shard_id)
        place = ShardIterator(stream.arn, shard.shard_id, self._start(shard, kind, request))
        return {"ShardIterator": first_iterator(self.site, self.faults, place)}

    def get_records(self, request: Request) -> dict[str, Any]:
        """Answer GetRecords: at most 1000 records or 1 MB, and where to go on."""
        limit = positive(request, "Limit") or MAX_RECORDS
        if limit > MAX_RECORDS:
            raise invalid_parameter(f"Limit should be less than or equal to {MAX_RECORDS}")
        place = read_token(text(request, "ShardIterator"))
        now_seconds = self.site.clock.now_seconds()
        if place.expired(now_seconds, self.faults.iterator_generation):
            raise EmulatorError("ExpiredIteratorException", "Iterator expired")
        stream = self._stream(place.stream_arn)
        shard = stream.graph.shard(place.shard_id)
        if place.after < shard.trimmed_through:
            raise _trimmed()
        reads = self.faults.reads
        refusal = reads.refusal(place, now_seconds)
        if refusal:
            raise EmulatorError("LimitExceededException", f"Rate exceeded: {refusal}")
        most_bytes = PAGE_BYTES if self.faults.limits_page_bytes else inf
        page = reads.read(place, shard, now_seconds, (limit, most_bytes))
        answer: dict[str, Any] = {"Records": [record.wire for record in page.records]}
        if not page.ended:
            following = replace(place, after=page.after)
            answer["NextShardIterator"] = next_iterator(self.site, self.faults, following)
        return answer

    def _stream(self, arn: str) -> Stream:
        stream = self.site.store.stream(arn)
        if stream is None or stream.is_kinesis or not self._kept(stream):
            raise not_found(f"Requested resource not found: Stream: {arn} not found")
        return stream

    def _kept(self, stream: Stream) -> bool:
        """Remove what is past the retention; return whether anything of the stream is left."""
        if self.faults.keeps_records:
            return True
        if stream.graph.retain(self.site.clock.now_seconds()):
            self.site.store.save_stream(stream)
        if stream.enabled or stream.graph.shards:
            return True
        self.site.store.drop_stream(stream.arn)
        return False

    def _start(self, shard: Shard, kind: str, request: Request) -> int:
        """Return the sequence number after which an iterator of this kind reads."""
        horizon = shard.horizon
        number = optional_text(request, "SequenceNumber")
        by_number = kind in {"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"}
        if number is not None and not by_number:
            raise invalid_parameter("SequenceNumber should not be passed for this iterator type")
        match kind:
            case "TRIM_HORIZON":
                return horizon
            case "LATEST":
                visible = self.faults.reads.visible(shard, self.site.clock.now_seconds())
                return shard.records[visible - 1].sequence if visible else horizon
            case "AT_TIMESTAMP":
                seconds = self._asked_time(request)
                return shard.before(seconds)
            case _:
                return _by_number(shard, kind, number)

    def _asked_time(self, request: Request) -> float:
        seconds = request.get("Timestamp")
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
            raise invalid_parameter("Timestamp is required for the iterator type AT_TIMESTAMP")
        if seconds > self.site.clock.now_seconds():
            raise invalid_parameter("Timestamp must not lie in the future")
        return float(seconds)


def _listing_limit(request: Request) -> int:
    limit = positive(request, "Limit") or MAX_LISTED
    if limit > MAX_LISTED:
        raise invalid_parameter(f"Limit cannot be greater than the maximum: {MAX_LISTED}")
    return limit


def _asked_parent(request: Request) -> str | None:
    asked = optional_map(request, "ShardFilter")
    if asked is None:
        return None
    kind = asked.get("Type")
    if kind != "CHILD_SHARDS":
        shown = "null" if kind is None else kind
        raise violated(shown, "shardFilter.type", "Member must be CHILD_SHARDS")
    return optional_text(asked, "ShardId") or ""


def described_shard(shard: Shard) -> dict[str, Any]:
    """Return a shard as listings show it."""
    numbers = {"StartingSequenceNumber": str(shard.starting_sequence)}
    if shard.ending_sequence is not None:
        numbers["EndingSequenceNumber"] = str(shard.ending_sequence)
    described: dict[str, Any] = {"ShardId": shard.shard_id, "SequenceNumberRange": numbers}
    if shard.parent_id is not None:  # also one that retention has removed
        described["ParentShardId"] = shard.parent_id
    return described


def first_iterator(site: Site, faults: Faults, place: ShardIterator) -> str:
    """Return the token of an iterator for a new reader."""
    return next_iterator(site, faults, replace(place, reader=faults.reads.open_reader()))


def next_iterator(site: Site, faults: Faults, place: ShardIterator) -> str:
    """Return the token of an iterator that is issued now."""
    now_seconds = site.clock.now_seconds()
    return replace(place, issued_seconds=now_seconds, generation=faults.iterator_generation).token()


def _by_number(shard: Shard, kind: str, number: str | None) -> int:
    if number is None:
        raise invalid_parameter("Invalid SequenceNumber")
    if not 21 <= len(number) <= 40:
        bound = "greater than or equal to 21" if len(number) < 21 else "less than or equal to 40"
        raise violated(number, "SequenceNumber", f"Member must have length {bound}")
    if not (number.isascii() and number.isdigit()):
        raise invalid_parameter("Invalid SequenceNumber")
    sequence = int(number)
    if not shard.starting_sequence <= sequence <= shard.latest_sequence:
        raise validation("Invalid SequenceNumber for the shard")
    if sequence <= shard.trimmed_through:
        raise _trimmed()
    return sequence - 1 if kind == "AT_SEQUENCE_NUMBER" else sequence


def _trimmed() -> EmulatorError:
    return EmulatorError(
        "TrimmedDataAccessException",
        "The operation attempted to read past the oldest stream record in a shard.",
    )
