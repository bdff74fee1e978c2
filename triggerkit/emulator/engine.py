"""The emulator: all operations, and the controls that tests use.

Every call and every control runs whole under one lock, in the order of arrival. So each answer shows one consistent
state, and the stream's order is the order of commits.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

from triggerkit.emulator.batches import BatchesApi
from triggerkit.emulator.calls import Call, CallLog, LoggedCall, shard_of
from triggerkit.emulator.changes import TTL_IDENTITY, append_recorded, commit
from triggerkit.emulator.errors import EmulatorError, not_found, unknown_operation
from triggerkit.emulator.faults import Faults
from triggerkit.emulator.items import ItemsApi
from triggerkit.emulator.keys import given_key, item_key, table_of
from triggerkit.emulator.kinesis.records import KinesisRecordsApi
from triggerkit.emulator.kinesis.streams import KinesisStreamsApi, kinesis_arn
from triggerkit.emulator.listings import ListingPlans
from triggerkit.emulator.model import Stream
from triggerkit.emulator.queries import QueriesApi
from triggerkit.emulator.requests import Request
from triggerkit.emulator.shards import ShardGraph
from triggerkit.emulator.site import Clock, RealClock, Site
from triggerkit.emulator.store import Store
from triggerkit.emulator.streams import StreamsApi
from triggerkit.emulator.tables import TablesApi
from triggerkit.emulator.time_to_live import Sweeper, TimeToLiveApi
from triggerkit.emulator.transactions import TransactionsApi
from triggerkit.errors import nearest

DYNAMODB = "DynamoDB_20120810"
STREAMS = "DynamoDBStreams_20120810"
KINESIS = "Kinesis_20131202"
_SERVICES = (DYNAMODB, STREAMS, KINESIS)
_GENERATION = "iterator_generation"
Operation: TypeAlias = Callable[[Request], dict[str, Any]]
Dialect: TypeAlias = Callable[[str, Request, Operation], dict[str, Any]]
"""Answers a request for an operation, named by its whole target; it may ask the operation itself."""


class Emulator:
    """DynamoDB tables and streams, and Kinesis streams, in this process.

    `shards` is how many shards a new stream begins with; `path` is the file that keeps tables, items,
    streams and iterators over a restart, memory unless given. `faults` plans what goes wrong; `calls` counts
    calls by operation, `log` has them in order. `dialect` stands between requests and operations, for tests
    of a client against an endpoint that answers otherwise. All methods may be called from any thread.

    Raises:
        StateError: `path` cannot be used; there are subclasses for a newer format and for a file in use.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        region: str = "us-east-1",
        account: str = "000000000000",
        seed: int = 0,
        shards: int = 1,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        self.clock = RealClock() if clock is None else clock
        self.faults = Faults(listings=ListingPlans(seed))
        self.dialect: Dialect | None = None
        self.calls: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._log = CallLog()
        self._closed = False
        store = Store(path)
        self._site = Site(store, self.clock, region, account, seed, shards)
        self._sweeper = Sweeper(self._site)
        self._operations = _operations(self._site, self.faults)
        self._plain_operations = _operations(self._site, Faults())
        # Time never goes back, also where this clock is earlier than that of the last process.
        self.clock.advance(max(0.0, store.latest_seconds - self.clock.now_seconds()))
        self.faults.iterator_generation = int(store.fact(_GENERATION) or 0)

    def close(self) -> None:
        """Close the file and release every call that is held; the emulator is not used after that."""
        with self._lock:
            self._closed = True
            self._site.store.close()
        self.faults.calls.release_all()

    def call(self, operation_target: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one operation and return its answer, which belongs to the caller.

        `operation_target` is the X-Amz-Target ("DynamoDB_20120810.PutItem") or the operation alone;
        `request` and the answer are as in the JSON on the wire (binary values in base64).

        Raises:
            EmulatorError: the answer is an error.
        """
        answer = json.loads(self.call_as_json(operation_target, request))
        return cast(dict[str, Any], answer)

    def call_as_json(self, operation_target: str, request: Request) -> str:
        """Carry out one operation and return its answer as JSON text; raises as `call` does."""
        call = self.open_call(operation_target, request)
        call.run()
        return call.answer()

    def peek(self, operation_target: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one operation past all faults and the dialect; nothing is counted, taken or logged.

        For assertions of a test. An iterator from here is valid here only, and never expired by
        `expire_iterators`. Raises as `call` does.
        """
        service, _, operation = operation_target.rpartition(".")
        found = _found(self._plain_operations, service, operation)
        if found is None:
            raise unknown_operation(operation, service == KINESIS)
        with self._turn():
            return cast(dict[str, Any], json.loads(_ENCODER.encode(found[1](request))))

    def open_call(self, operation_target: str, request: Request | EmulatorError) -> Call:
        """Return a call that has arrived; the caller carries it out and waits at its barriers.

        A request that cannot be read is given as the error that it is refused with.
        """
        service, _, operation = operation_target.rpartition(".")
        asked: Request = {} if isinstance(request, EmulatorError) else request
        with self._lock:
            entry = self._log.begin(self.clock.now_seconds(), operation, asked)
        plans = self.faults.calls
        shard = shard_of(asked) if plans.by_shard else ""
        before = plans.barrier(operation, shard, behind=False) if plans.barriers else None
        behind = plans.barrier(operation, shard, behind=True) if plans.barriers else None

        def perform() -> str:
            if isinstance(request, EmulatorError):
                raise request
            if self._closed and before is not None:
                raise EmulatorError("InternalServerError", "The emulator was closed.", 500)
            return self._perform(service, operation, shard, request)

        return Call(perform, entry, before, behind)

    def log(self, operation: str = "", after: int = 0) -> list[LoggedCall]:
        """Return the newest calls in order, of one operation if named, after the one numbered `after`."""
        with self._lock:
            return self._log.calls(operation, after)

    def knows(self, operation: str) -> bool:
        """Return whether there is an operation of that name."""
        return _found(self._operations, "", operation) is not None

    def knows_shard(self, shard: str) -> bool:
        """Return whether any stream has a shard of that id."""
        with self._turn():
            return any(shard in stream.graph.shards for stream in self._site.store.streams())

    def stream_arns(self, table: str) -> list[str]:
        """Return the ARNs of a table's readable streams, oldest first."""
        with self._turn():
            streams = self._site.store.streams()
            return [
                stream.arn
                for stream in streams
                if stream.table_name == table and not stream.is_kinesis
            ]

    def open_shards(self, stream: str) -> list[str]:
        """Return the ids of the open shards, in the order of their hash ranges."""
        with self._turn():
            return [shard.shard_id for shard in self._graph(stream).open_shards()]

    def roll(self, stream: str, shard: str | None = None) -> list[str]:
        """Close a shard (or every open one), each for one child; return the children.

        `stream` is a stream ARN, the name of a table whose stream is on, or of a Kinesis stream.
        """
        with self._turn():
            graph = self._graph(stream)
            closing = [each.shard_id for each in graph.open_shards()] if shard is None else [shard]
            now_seconds = self.clock.now_seconds()
            children = [graph.roll(shard_id, now_seconds) for shard_id in closing]
            self._site.store.save_stream(self._stream(stream))
            return children

    def split(
        self, stream: str, shard: str | None = None, at: int | None = None
    ) -> tuple[str, str]:
        """Close a shard for two children; `shard` may be left out when one is open.

        `at` is the first hash of the second child, in the middle unless given.
        """
        with self._turn():
            graph = self._graph(stream)
            shard_id = self.open_shards(stream)[0] if shard is None else shard
            children = graph.split(shard_id, self.clock.now_seconds(), at)
            self._site.store.save_stream(self._stream(stream))
            return children

    def merge(self, stream: str, shard: str | None = None, adjacent: str | None = None) -> str:
        """Close two neighbours for one child; return it. Only streams of Kinesis can merge.

        `shard` is the first open one unless given, `adjacent` the open one whose hashes come next.
        """
        with self._turn():
            found = self._stream(stream)
            if not found.is_kinesis:
                raise ValueError(f"{stream} is a table's stream, whose shards never merge")
            listed = found.graph.open_shards()
            first = next((each for each in listed if shard in (None, each.shard_id)), None)
            if first is None:
                raise ValueError(f"{shard} is no open shard of {stream}")
            following = [each.shard_id for each in listed if each.low == first.high]
            if adjacent is None and not following:
                raise ValueError(f"{first.shard_id} of {stream} has no open shard after it")
            other = following[0] if adjacent is None else adjacent
            child = found.graph.merge(first.shard_id, other, self.clock.now_seconds())
            self._site.store.save_stream(found)
            return child

    def trim(self, stream: str, shard: str | None = None, through: str | None = None) -> None:
        """Remove records up to the sequence number `through` (all of them unless given) at once.

        Shards stay listed; `drop_shard` removes a closed one.
        """
        with self._turn():
            graph = self._graph(stream)
            for each in graph.listed() if shard is None else [graph.shard(shard)]:
                last = each.records[-1].sequence if each.records else 0
                each.drop_through(last if through is None else int(through))
            self._site.store.save_stream(self._stream(stream))

    def drop_shard(self, stream: str, shard: str) -> None:
        """Take a closed shard off the listing, as the end of its retention does."""
        with self._turn():
            self._graph(stream).drop(shard)
            self._site.store.save_stream(self._stream(stream))

    def expire_item(self, table: str, key: Mapping[str, Any]) -> None:
        """Remove an item as Time to Live does: the record carries the service's userIdentity."""
        with self._turn():
            found = table_of(self._site, {"TableName": table})
            place = item_key(found, given_key(found, {"Key": key}))
            commit(self._site, found, place, None, TTL_IDENTITY)

    def replay(self, table: str, record: Mapping[str, Any], shard: str | None = None) -> str:
        """Append a stream record that was recorded elsewhere, and leave the item as its images say.

        `record` is as GetRecords answers it. Keys, images, event name, event id and userIdentity stay;
        creation time and sequence number are of this stream, and the number is returned. `shard` is
        where records of its key go from now on: that shard, or the open ones below it.

        Raises:
            EmulatorError: the table does not exist, its stream is off, or the record is no change of it.
        """
        with self._turn():
            found = table_of(self._site, {"TableName": table})
            return append_recorded(self._site, found, record, shard)

    def expire_iterators(self) -> None:
        """Make every shard iterator handed out so far answer ExpiredIteratorException."""
        with self._turn():
            self.faults.expire_iterators()
            self._site.store.save_fact(_GENERATION, str(self.faults.iterator_generation))

    def advance(self, seconds: float) -> None:
        """Move the emulator's time forward."""
        with self._turn():
            self.clock.advance(seconds)

    def _perform(self, service: str, operation: str, shard: str, request: Request) -> str:
        found = _found(self._operations, service, operation)
        if found is None:
            raise unknown_operation(operation, service == KINESIS)
        answering, perform = found
        dialect = self.dialect
        with self._turn():
            self.calls[operation] += 1
            planned = self.faults.calls.error(operation, shard, self.clock.now_seconds())
            if planned is not None:
                raise planned
            if dialect is None:
                return _ENCODER.encode(perform(request))
            return _ENCODER.encode(dialect(f"{answering}.{operation}", request, perform))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock, and make the changes durable before they are answered."""
        with self._lock:
            try:
                self._sweeper.sweep()
                yield
            finally:
                self._site.store.commit(self.clock.now_seconds())

    def _graph(self, stream: str) -> ShardGraph:
        return self._stream(stream).graph

    def _stream(self, name: str) -> Stream:
        table = self._site.store.table(name)
        stream = self._site.store.stream(name) if table is None else None
        if table is not None and table.stream_arn is not None:
            stream = self._site.store.stream(table.stream_arn)
        if stream is None and table is None:
            stream = self._site.store.stream(kinesis_arn(self._site, name))
        if stream is None:
            known = sorted({one.table_name for one in self._site.store.streams()})
            hint = nearest(name, known)
            raise not_found(f"{name} is neither a stream nor a table with a stream; {hint}")
        return stream


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def _found(
    operations: Mapping[str, Operation], service: str, name: str
) -> tuple[str, Operation] | None:
    """Return an operation and its service; a name alone means DynamoDB's before that of Kinesis."""
    for each in _SERVICES if not service else (service,):
        found = operations.get(f"{each}.{name}")
        if found is not None:
            return each, found
    return None


def _operations(site: Site, faults: Faults) -> dict[str, Operation]:
    """Return all operations by their whole target."""
    tables = (
        TablesApi(site),
        ItemsApi(site),
        BatchesApi(site),
        QueriesApi(site),
        TransactionsApi(site),
        TimeToLiveApi(site),
    )
    kinesis = (
        KinesisStreamsApi(site, faults),
        KinesisRecordsApi(site, faults),
    )
    found: dict[str, Operation] = {}
    for service, apis in (
        (DYNAMODB, tables),
        (STREAMS, (StreamsApi(site, faults),)),
        (KINESIS, kinesis),
    ):
        for api in apis:
            found |= {f"{service}.{name}": each for name, each in api.operations().items()}
    return found
