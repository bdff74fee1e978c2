"""What the core costs: records a second through `EventSourceMapping.react`, and microseconds a report.

The peer is msgspec: the same pages cut into raw records by its JSON decoder and nothing else, in the same
run. No port is called: each decision is answered at once by the report that a fast shell would give.

Run it: `python benchmarks/core_throughput.py [PAGES]`.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec

from triggerkit.core.consumer import ConsumerSettings
from triggerkit.core.coordinator import Cadence
from triggerkit.core.decisions import (
    Decision,
    Fetch,
    Invoke,
    Save,
    Take,
)
from triggerkit.core.mapping import EventSourceMapping
from triggerkit.core.model import (
    TRIM_HORIZON,
    Lease,
    LeaseKey,
    Now,
    Page,
    Record,
    SessionId,
    ShardId,
)
from triggerkit.core.options import MappingOptions, read_options
from triggerkit.core.outcome import Succeeded
from triggerkit.core.reports import Fetched, Invoked, Report, Saved, Sessions, Taken
from triggerkit.sources.dynamodb.service import TRAITS

PAGE_RECORDS = 1000
KEYS = 500
ROUNDS = 5
SERVICE_SECONDS = 1_760_000_000.0
NOW = Now(1.0, SERVICE_SECONDS)
SHARD, ME = ShardId("label:shard"), SessionId("me")


class _Envelope(msgspec.Struct, rename="pascal"):
    records: list[msgspec.Raw]


@dataclass(frozen=True)
class Pages:
    """One page, as the service sends it and as the core gets it."""

    body: bytes
    page: Page


@dataclass(frozen=True)
class Measured:
    """The best of some rounds."""

    seconds: float
    records: int
    reports: int


def made() -> Pages:
    """A page of changes with both images, some 600 bytes each."""
    raws = [_change(number) for number in range(PAGE_RECORDS)]
    body = b'{"Records":[' + b",".join(raws) + b"]}"
    records = tuple(
        Record(_sequence_number(n), SERVICE_SECONDS, b'{"S":"item-%d"}' % (n % KEYS), raw)
        for n, raw in enumerate(raws)
    )
    return Pages(body, Page(records, len(body), service_seconds=SERVICE_SECONDS))


def _sequence_number(number: int) -> str:
    return f"{100_000_000_000_000_000_000_000 + number}"


def _change(number: int) -> bytes:
    item = {"id": {"S": f"item-{number % KEYS}"}, "text": {"S": "x" * 80}, "count": {"N": "42"}}
    change = {
        "eventID": f"{number:032x}",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": SERVICE_SECONDS,
            "Keys": {"id": item["id"]},
            "NewImage": item,
            "OldImage": item,
            "SequenceNumber": _sequence_number(number),
            "SizeBytes": 200,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }
    return msgspec.json.encode(change)


def decode(pages: Pages, count: int) -> Measured:
    """The peer: every page is cut into its raw records."""
    decoder = msgspec.json.Decoder(_Envelope)
    begun, records = time.process_time(), 0
    for _ in range(count):
        records += len(decoder.decode(pages.body).records)
    return Measured(time.process_time() - begun, records, count)


def drive(pages: Pages, count: int, options: MappingOptions) -> Measured:
    """The core: pages are read, batched, invoked and saved until all of them are done."""
    mapping = EventSourceMapping(
        TRIM_HORIZON, ConsumerSettings("app@dev:orders:table:", options, 0.0, TRAITS), Cadence()
    )
    mapping.react(Sessions(ME, frozenset({ME}), frozenset({ME}), frozenset(), 1e9, 0.0), NOW)
    row = Lease(LeaseKey("row"), SHARD, TRIM_HORIZON, owner=ME, counter=1)
    fetches = iter(range(count))
    inbox: deque[Report] = deque([Taken(Take(row, ME), row)])
    begun, reports = time.process_time(), 0
    while inbox:
        decisions = mapping.react(inbox.popleft(), NOW).decisions
        reports += 1
        inbox.extend(_answers(decisions, pages.page, fetches))
    seconds = time.process_time() - begun
    (consumer,) = mapping
    assert consumer.settled, "something is left undone"
    return Measured(seconds, count * PAGE_RECORDS, reports)


def _answers(
    decisions: tuple[Decision, ...], page: Page, fetches: Iterator[int]
) -> Iterator[Report]:
    for decision in decisions:
        match decision:
            case Fetch():
                if next(fetches, None) is not None:
                    yield Fetched(decision, page)
            case Invoke():
                yield Invoked(decision, Succeeded())
            case Save(lease=lease, position=position):
                row = replace(lease, checkpoint=position, counter=lease.counter + 1)
                yield Saved(decision, row)
            case _:
                raise AssertionError(f"not part of this loop: {decision}")


def best(measure: Callable[[], Measured]) -> Measured:
    """The fastest of some rounds: what the machine can do when nothing disturbs it."""
    return min((measure() for _ in range(ROUNDS)), key=lambda measured: measured.seconds)


def main(count: int) -> None:
    """Measure and print."""
    pages = made()
    gc.collect()
    gc.freeze()
    peer = best(lambda: decode(pages, count))
    print(
        f"{count} pages of {PAGE_RECORDS} records, {len(pages.body) / PAGE_RECORDS:.0f} bytes each"
    )
    print(f"{'':24}{'records/s':>12}{'us/react':>10}{'time to decode':>16}")
    print(f"{'msgspec decodes':24}{peer.records / peer.seconds:>12,.0f}{'':>10}{'1.00':>16}")
    for lanes in (1, 10):
        for batch_size in (100, 1000):
            options = read_options({"batch_size": batch_size, "parallelization_factor": lanes})
            core = best(lambda options=options: drive(pages, count, options))  # type: ignore[misc]
            print(
                f"{f'core, {lanes} lanes of {batch_size}':24}"
                f"{core.records / core.seconds:>12,.0f}"
                f"{core.seconds / core.reports * 1e6:>10.1f}"
                f"{core.seconds / peer.seconds:>16.2f}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
