"""The bugs of the first round, in the order that was fixed before the first run.

They were chosen and written by somebody who had read neither the simulations nor their checker, after both were
frozen. First come the 13 that were named in advance, then new ones of kinds that real consumers of streams
shipped: failures of lease tables, of readers, and of retries. None was removed after a run because no test
found it.
"""

from __future__ import annotations

from proof.mutants import in_adapters, in_fleets, in_shards
from proof.mutants.mutant import Mutant

_OLDER = {
    mutant.name: mutant for mutant in (*in_shards.MUTANTS, *in_fleets.MUTANTS, *in_adapters.MUTANTS)
}

NAMED = tuple(
    _OLDER[name]
    for name in (
        "child before parent",
        "LATEST on a child that a survey finds",
        "string comparison of sequence numbers",
        "highest instead of contiguous watermark",
        "checkpoint before the handler",
        "unfenced save",
        "page dropped at shard end",
        "no paging of DescribeStream",
        "iterator re-created from the start",
        "missing Records taken for empty",
        "retry quota not reset",
        "bisect order",
        "leases created children first",
    )
)
"""The bugs that had to be among the planted ones, whatever else is."""

MUTANTS = (
    # --- lease tables and sessions ----------------------------------------------------------------
    Mutant(
        "a failed beat is the last",
        "core/membership.py",
        "                self._watchdog.failed(report, now)\n                self._beating = False\n",
        "                self._watchdog.failed(report, now)\n",
        "one throttled write, and a worker does nothing any more",
    ),
    Mutant(
        "a expired session beats again",
        "lease_stores/_sessions.py",
        "if row.is_dead or session.beat not in (row.session.beat, row.named_beat):",
        "if session.beat not in (row.session.beat, row.named_beat):",
        "a worker that was frozen goes on beside those that took its shards over",
    ),
    Mutant(
        "a stop leaves the checkpoint where the last save put it",
        "core/consumer.py",
        "self._writer.release(self.position)",
        "self._writer.release(self.lease.checkpoint)",
        "every deployment delivers the tail of each shard twice",
    ),
    Mutant(
        "a release keeps the owner",
        "lease_stores/_rows.py",
        "table.put(Row(replace(_with_checkpoint(row.lease, position), owner=None), nonce))",
        "table.put(Row(_with_checkpoint(row.lease, position), nonce))",
        "each deployment stops a shard until its former owner is declared dead",
    ),
    Mutant(
        "a expiry that failed is not tried again",
        "core/membership.py",
        "    def _absorb_not_expired(self, alive: SessionId) -> None:\n        self._expiring.discard(alive)\n",
        "    def _absorb_not_expired(self, alive: SessionId) -> None:\n",
        "the shards of a worker that died in an outage of the lease table belong to a dead one for good",
    ),
    Mutant(
        "a failed search for children is the last",
        "core/consumer.py",
        "                self._children.failed(now, wait_seconds)\n",
        "                pass\n",
        "one throttled DescribeStream at a shard's end, and nothing behind that shard is read",
    ),
    Mutant(
        "only a direct child proves that a shard is over",
        "core/lineage.py",
        "                    stack.append(parent)\n        return frozenset",
        "                    pass\n        return frozenset",
        "grandparents whose rows are gone are read again from the start",
    ),
    Mutant(
        "a parent without a row counts as done",
        "core/leases.py",
        "return parent in self._over",
        "return True",
        "a child whose parent's row is not written yet is delivered before it",
    ),
    Mutant(
        "a trimmed position is refused for ever",
        "runtime/perform.py",
        "            case PositionTrimmedError(), Fetch():\n"
        "                return Trimmed(decision)\n",
        "",
        "a shard that was not read for a day is never read again",
    ),
    Mutant(
        "behind what was trimmed comes the tip",
        "core/reading.py",
        "            self.position = TRIM_HORIZON\n            self.next_at_seconds = 0.0",
        "            self.position = Position(PositionKind.LATEST)\n            self.next_at_seconds = 0.0",
        "a worker that was away for a day skips what it could still have read",
    ),
    Mutant(
        "a shard that is gone is asked for ever",
        "runtime/perform.py",
        "            case ShardGoneError(), Fetch():\n"
        "                self._backoff.forget(decision.lease.shard)\n"
        "                return ShardGone(decision)\n",
        "",
        "a shard that was deleted holds its children back for good",
    ),
    Mutant(
        "a quiet shard's iterator is made anew at the tip",
        "sources/shards/track.py",
        "iterator, _ = await self._calls.iterator(TRIM_HORIZON)",
        "iterator, _ = await self._calls.iterator(Position(PositionKind.LATEST))",
        "the first records behind a pause are skipped, where a shard was opened at LATEST",
    ),
    Mutant(
        "the leases are read before the shards",
        "runtime/perform.py",
        "                listing = await self.parts.listing.get() if list_shards else None\n"
        "                return Surveyed(decision, await store.read(self.parts.prefix), listing)",
        "                rows = await store.read(self.parts.prefix)\n"
        "                listing = await self.parts.listing.get() if list_shards else None\n"
        "                return Surveyed(decision, rows, listing)",
        "rows that were written meanwhile look missing: what is over is read again",
    ),
    Mutant(
        "a failing batch is logged and skipped",
        "core/failure.py",
        "        case Failed(failure=failure, retry_after_seconds=wait):\n"
        "            return _failed(batch, failure, wait, options, now)",
        "        case Failed():\n            return Verdict(done=batch)",
        "an exception in the handler loses the batch",
    ),
    Mutant(
        "a expired worker goes on under its old name",
        "core/membership.py",
        "self._me = replace(fresh, state=self._me.state)",
        "self._me = replace(self._me, beat=fresh.beat)",
        "a worker that was frozen for some seconds never comes back",
    ),
    Mutant(
        "a shard's end writes over a child that has begun",
        "lease_stores/_rows.py",
        "            if table.row(child.key) is None:\n                table.put(Row(_newborn(",
        "            if True:\n                table.put(Row(_newborn(",
        "a child is set back to its start and taken from its owner",
    ),
    Mutant(
        "a lost lease is taken for an error of the table",
        "runtime/perform.py",
        "            case LeaseLostError(), Save() | Finish() | Release():\n"
        "                self._backoff.forget(decision.lease.shard)\n"
        "                return LeaseLost(decision)\n",
        "",
        "a worker goes on with a shard that belongs to another",
    ),
    # --- readers ----------------------------------------------------------------------------------
    Mutant(
        "an expired iterator is asked for ever",
        "sources/shards/track.py",
        "frozenset({EXPIRED_ITERATOR, VALIDATION})",
        "frozenset({VALIDATION})",
        "a shard whose reader paused for a quarter of an hour stands still until a restart",
    ),
    Mutant(
        "a checkpoint is the end of its page",
        "core/progress.py",
        "after(records[min(count, len(records)) - 1])",
        "after(records[-1])",
        "a crash loses the rest of the page",
    ),
    Mutant(
        "only the latest stream of a table",
        "sources/dynamodb/incarnations.py",
        "        return sorted(",
        "        kept = kept[-1:]\n        return sorted(",
        "a stream that is turned off and on loses what was not read yet",
    ),
    Mutant(
        "a shard whose parent is not listed is a root",
        "sources/shards/lineage.py",
        "                parents_of(stream.incarnation, shard, leaves),\n",
        "                parents_of(stream.incarnation, shard, leaves)\n"
        "                if shard.parent is None or shard.parent in {s.name for s in stream.shards}\n"
        "                else (),\n",
        "a listing that is behind lets a child start before its parent",
    ),
    Mutant(
        "an iterator is made anew from a stale place",
        "sources/shards/track.py",
        "_Place(after(records[-1]), decoded.next_iterator, skip_before_seconds)",
        "_Place(self._place.behind, decoded.next_iterator, skip_before_seconds)",
        "an iterator that expires sets a shard back to where its reader began",
    ),
    Mutant(
        "a parent that has begun counts as done",
        "core/leases.py",
        "return row.finished  # also before",
        "return row.finished or has_started(row)  # also before",
        "a child is delivered beside its parent",
    ),
    # --- behind the thirty-six --------------------------------------------------------------------
    Mutant(
        "the lane that holds the checkpoint waits, too",
        "core/lanes.py",
        "if starts and room < options.batch_size and lane is not in_order[0]:",
        "if starts and room < options.batch_size:",
        "lanes that ran ahead stop the one that everything waits for",
    ),
    Mutant(
        "lanes run ahead without a limit",
        "core/lanes.py",
        "    if len(lanes) == 1:\n        return lanes",
        "    if lanes:\n        return lanes",
        "a crash delivers again all that faster lanes did",
    ),
    Mutant(
        "every page opens the window anew",
        "core/batches.py",
        "        if not self.waiting:\n            self._opened_seconds = max(",
        "        if True:\n            self._opened_seconds = max(",
        "a steady trickle is never delivered before the batch is full",
    ),
    Mutant(
        "a batch that was tried is never too old",
        "core/failure.py",
        "    if limit < 0:\n        return Verdict(again=(batch,))",
        "    if limit < 0 or batch.attempts:\n        return Verdict(again=(batch,))",
        "a bad record holds its lane long past the age that was set for it",
    ),
    Mutant(
        "expire, whether it has beaten or not",
        "lease_stores/_sessions.py",
        "    if row.session.beat != session.beat and not is_gone(row):\n        return False\n",
        "",
        "a worker that was slow and lives loses all its shards",
    ),
    Mutant(
        "a call that could not be made counts as done",
        "core/consumer.py",
        "self._absorb_call(batch, NotInvoked(str(error), wait_seconds), now)",
        "self._absorb_call(batch, Succeeded(), now)",
        "what a function that is throttled or gone should have had is lost",
    ),
    Mutant(
        "a destination's refusal is swallowed",
        "runtime/perform.py",
        "        await self.parts.destination.send(record)\n",
        "        try:\n            await self.parts.destination.send(record)\n"
        "        except Exception:\n            return\n",
        "failure records are lost while the destination is away",
    ),
    Mutant(
        "a take that failed stays reserved",
        "core/takes.py",
        "        self._taking.discard(shard)\n        self._doubtful",
        "        self._doubtful",
        "one throttled write, and this worker never takes that shard",
    ),
    Mutant(
        "an earlier wake-up waits for a later one",
        "runtime/engine.py",
        "            if wakes_at_seconds == mapping.wakes_at_seconds:\n",
        "            if wakes_at_seconds >= 0.0:\n",
        "a retry that is due waits for a survey that is not",
    ),
    Mutant(
        "a wait that doubles without an end",
        "runtime/backoff.py",
        "return min(LONGEST_WAIT_SECONDS, wait_seconds)",
        "return wait_seconds",
        "hours behind an outage a shard still stands still",
    ),
    Mutant(
        "a success does not end a streak of failures",
        "runtime/backoff.py",
        "            failures.pop(call, None)\n",
        "            del call\n",
        "one throttled call now and then, and after a day each of them costs ten seconds",
    ),
    Mutant(
        "a wake-up that is put off is lost",
        "core/mapping.py",
        "                else:\n                    self._schedule(consumer)\n\n    def _schedule",
        "\n    def _schedule",
        "a shard's retry waits until something else happens to it",
    ),
    Mutant(
        "the highest record of a partial response",
        "core/outcome.py",
        "    lowest = len(batch)\n",
        "    lowest = 0\n    min = max\n",
        "records between two that failed count as done",
    ),
    Mutant(
        "a retry does not wait",
        "core/batches.py",
        "            return self._again[0].not_before_seconds\n",
        "            return 0.0\n",
        "a database that is down is called in a tight loop",
    ),
    Mutant(
        "no handler hears that its worker is cut off",
        "runtime/deadline.py",
        "return min(NEVER if healthy else self._fence_seconds, self._drain_seconds)",
        "return self._drain_seconds",
        "a handler goes on beside its shard's next owner",
    ),
    Mutant(
        "string comparison in a page that is out of order",
        "sources/shards/order.py",
        "records.sort(key=lambda record: int(record.sequence_number))",
        "records.sort(key=lambda record: record.sequence_number)",
        "records whose number has a digit more are handed on too early",
    ),
    Mutant(
        "who falls off the ring hears that there is nothing",
        "sources/shards/ring.py",
        "                    return self._take(number_of_pages - page, index + 1, limit)\n        return None",
        "                    return self._take(number_of_pages - page, index + 1, limit)\n        return ()",
        "the slower of two triggers on a stream never gets on",
    ),
)
"""New bugs, in the order in which they were written down."""

SCORED = (*NAMED, *MUTANTS[:23])
"""What the worlds are measured by."""
GATE = SCORED[:30]
"""Of these they are to tell 25."""
