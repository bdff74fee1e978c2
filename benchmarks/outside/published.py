"""Bugs that the subjects' projects have published themselves, and where they would show.

A number is that of a thread of the project on GitHub; its content is given in our own words.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """One published bug; it shows in `scenario` when the verdict has the words of `sign`."""

    project: str
    number: str
    tells: str
    fixed: str
    scenario: str
    sign: str


PUBLISHED = (
    Published(
        "bloop",
        "#111",
        "the last page of a closed shard is thrown away when its children take over",
        "2.0.1",
        "roll while reading",
        "lost",
    ),
    Published(
        "bloop",
        "PR #141",
        "a listed shard whose parent is not listed any more ends the stream with a KeyError",
        "2.4.1",
        "parent gone",
        "raised KeyError",
    ),
    Published(
        "bloop",
        "#111 (comment)",
        "DescribeStream answers no shards for once, and the consumer stops",
        "",
        "empty listing",
        "raised",
    ),
    Published(
        "async-kinesis",
        "#26, #29",
        "a closed shard's answer has no NextShardIterator: KeyError, and nothing is read any more",
        "2.5.6",
        "roll when drained",
        "unreached",
    ),
    Published(
        "async-kinesis",
        "#68",
        "a shard whose parent is not listed any more is never read",
        "2.4.1",
        "parent gone",
        "unreached",
    ),
    Published(
        "async-kinesis",
        "PR #66",
        "records are skipped when the queue to the handler stays full for 30 s",
        "2.4.0, in part",
        "slow handler",
        "lost",
    ),
    Published(
        "async-kinesis",
        "#94",
        "closing the DynamoDB checkpointer raises AttributeError",
        "2.5.5",
        "restart at a split",
        "raised AttributeError",
    ),
)
