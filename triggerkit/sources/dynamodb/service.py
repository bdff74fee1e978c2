"""The facts about DynamoDB Streams."""

from __future__ import annotations

from triggerkit.ports import SourceTraits

TRAITS = SourceTraits(
    kind="change",
    retention_seconds=24 * 3600.0,
    page_records=1000,
    full_page_bytes=900_000,  # pages are cut at 1 MB
    starting_positions=frozenset({"TRIM_HORIZON", "LATEST"}),
    batch_info="DDBStreamBatchInfo",
    arrival_precision="seconds",
)
