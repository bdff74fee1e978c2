"""Bugs in the lease stores and the reader."""

from __future__ import annotations

from proof.mutants.mutant import Mutant

ROWS = "lease_stores/_rows.py"
LINEAGE = "sources/shards/lineage.py"
TRACK = "sources/shards/track.py"
PAGES = "sources/dynamodb/pages.py"

MUTANTS = (
    # --- lease tables -----------------------------------------------------------------------------
    Mutant(
        "string comparison of sequence numbers",
        ROWS,
        "int(behind) < int(before)",
        "behind < before",
        "a checkpoint of 100 behind 99 is refused, one of 99 behind 100 is written",
    ),
    Mutant(
        "unfenced save",
        ROWS,
        "    raise _lost(lease, found)\n",
        "    return row, nonce\n",
        "a worker that lost its shard moves its successor's checkpoint",
    ),
    Mutant(
        "unfenced take",
        ROWS,
        "    if not _has_token(row, lease):\n        return None\n",
        "",
        "two workers that saw the same row both own it",
    ),
    Mutant(
        "an applied save whose answer was lost costs the lease",
        ROWS,
        'row.nonce in (nonce, _nonce(actor, lease.counter, "advance"))',
        "row.nonce == nonce",
        "a lost answer sets a worker back to its last checkpoint",
    ),
    Mutant(
        "a checkpoint may go back",
        ROWS,
        "    if goes_back:\n",
        "    if False:\n",
        "a bug elsewhere delivers everything again, and nobody hears of it",
    ),
    Mutant(
        "create writes over what is there",
        ROWS,
        "        if table.row(lease.key) is None:\n            table.put(",
        "        if True:\n            table.put(",
        "a second worker that starts sets every checkpoint back",
    ),
    Mutant(
        "a merge child is owned while a parent is unfinished",
        ROWS,
        "ready = all(row is not None and row.lease.finished for row in rows)",
        "ready = any(row is not None and row.lease.finished for row in rows)",
        "half of the items of a merged shard arrive out of order",
    ),
    Mutant(
        "forget deletes what has changed",
        ROWS,
        "if not row.lease.finished or row.lease.counter != lease.counter:",
        "if not row.lease.finished:",
        "children that were written into a row meanwhile are lost with it",
    ),
    # --- sources ----------------------------------------------------------------------------------
    Mutant(
        "no paging of DescribeStream",
        "sources/dynamodb/streams_api.py",
        "if not last or flaw:  # paging",
        "if True:  # paging",
        "a table with more than a hundred shards loses the rest",
    ),
    Mutant(
        "iterator re-created from the start",
        TRACK,
        "            iterator, _ = await self._calls.iterator(position)\n",
        "            iterator, _ = await self._calls.iterator(TRIM_HORIZON)\n",
        "every fifteen minutes of rest deliver a day again",
    ),
    Mutant(
        "one null iterator is the end",
        TRACK,
        "_CONFIRMED_NULLS = 2",
        "_CONFIRMED_NULLS = 1",
        "a damaged answer finishes a shard that is still written to",
    ),
    Mutant(
        "a record of the pin's own second is left out",
        TRACK,
        "record.at_seconds + self._resolution_seconds > skip_before_seconds",
        "record.at_seconds > skip_before_seconds",
        "LATEST skips records that came right behind the start",
    ),
    Mutant(
        "missing Records taken for empty",
        PAGES,
        "records: list[msgspec.Raw]\n    next_shard_iterator",
        "records: list[msgspec.Raw] = []\n    next_shard_iterator",
        "a damaged page is skipped",
    ),
    Mutant(
        "a key depends on the order of its attributes",
        PAGES,
        "for name in sorted(keys)]",
        "for name in keys]",
        "changes of one item go through two lanes",
    ),
    Mutant(
        "a refused shard is gone at once",
        "sources/dynamodb/reader.py",
        "if now_seconds - self._refused_since_seconds < refused_seconds:",
        "if False:",
        "a shard that is listed a little too early is given up with all its records",
    ),
    Mutant(
        "roots of a newer stream wait for nothing",
        LINEAGE,
        "        return older_leaves\n",
        "        return ()\n",
        "behind a stream turned off and on, new changes come before old ones",
    ),
    Mutant(
        "a filter that is ignored makes strangers children",
        LINEAGE,
        "if shard.parent == parent != shard.name}",
        "if parent != shard.name}",
        "a shard is finished with children that are not its own",
    ),
)
