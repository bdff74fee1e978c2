"""The bugs of the second round, in the order that was fixed before the first run.

The worlds were widened by what the first round had shown. These were chosen by somebody who had read neither
the worlds nor their checker, before any of them was run, and before the widened worlds were frozen.
"""

from __future__ import annotations

from proof.mutants.first_round import NAMED
from proof.mutants.mutant import Mutant

NEW = (
    # --- what became of a call --------------------------------------------------------------------
    Mutant(
        "no retries means for ever",
        "core/failure.py",
        "if 0 <= limit < tried.attempts:",
        "if 0 < limit < tried.attempts:",
        "a bad record holds its shard where it was to be given up at once",
    ),
    Mutant(
        "a report of the first record starts the allowance again",
        "core/failure.py",
        "case PartlyFailed(index=index, failure=failure) if index > 0:",
        "case PartlyFailed(index=index, failure=failure) if index >= 0:",
        "a record that always fails is retried without an end",
    ),
    Mutant(
        "a record that had no turn is forgotten",
        "core/failure.py",
        "left = [index for index in range(len(batch)) if index not in gone]",
        "left = sorted(staying)",
        "what a call that ended early did not come to is never delivered",
    ),
    Mutant(
        "an identifier that nobody knows is passed over",
        "core/outcome.py",
        '            return _unreadable(request_id, "an itemIdentifier that is not in the batch")\n'
        "        lowest = min(lowest, index)\n",
        "            continue\n        lowest = min(lowest, index)\n"
        "    if lowest == len(batch):\n        return Succeeded()\n",
        "a handler that reports event ids loses each record that it reports",
    ),
    # --- batches and the checkpoint ---------------------------------------------------------------
    Mutant(
        "a batch out of two pages counts for what lies between",
        "core/batches.py",
        "if ordinals[-1] - ordinals[0] + 1 == len(ordinals):",
        "if ordinals:",
        "records of other lanes are checkpointed before they are done",
    ),
    Mutant(
        "a save counts for what was done meanwhile",
        "core/consumer.py",
        "self.lease = replace(lease, lost_reason=self.lease.lost_reason)",
        "self.lease = replace(lease, checkpoint=self.position)",
        "the last records before a pause are never saved, and a crash delivers them again",
    ),
    # --- leases -----------------------------------------------------------------------------------
    Mutant(
        "a shard that is granted during a stop is begun",
        "core/mapping.py",
        "        if self._stop is not None:\n            self._decisions += consumer.ask_to_stop(self._stop)",
        "        if False:\n            pass",
        "a worker that is told to stop while it takes a shard reads on and does not end",
    ),
    Mutant(
        "a lease that names its reader is free for nobody",
        "core/takes.py",
        "if owner is None or owner in sessions.dead or owner == sessions.me:",
        "if owner is None or owner in sessions.dead:",
        "a take whose answer was lost stops the shard for as long as that worker lives",
    ),
    Mutant(
        "a worker that drains counts as gone",
        "core/membership.py",
        "known=frozenset(self._others) | {self._me.id},",
        "known=frozenset(live) | {self._me.id},",
        "its shards are taken while its last calls run: records come twice and out of order",
    ),
    Mutant(
        "a beat whose answer was lost ends the session",
        "lease_stores/_sessions.py",
        "session.beat not in (row.session.beat, row.named_beat)",
        "session.beat != row.session.beat",
        "one lost answer, and a healthy worker drops all of its shards",
    ),
    # --- readers ----------------------------------------------------------------------------------
    Mutant(
        "the end is told with a page that is cut short",
        "sources/shards/track.py",
        "ended=at_end and self._end_is_sure,",
        "ended=self._end_is_sure,",
        "the slower of two triggers on a stream loses the rest of each shard",
    ),
    Mutant(
        "what left the ring is passed over",
        "sources/shards/ring.py",
        "            self._start = after(evicted.records[-1])\n",
        "",
        "who comes from the ring's old start skips the pages that it has let go",
    ),
    Mutant(
        "a shard that was refused once is gone at the next refusal",
        "sources/dynamodb/reader.py",
        "            self._refused_since_seconds = None\n            if page.records",
        "            if page.records",
        "two passing refusals, hours apart, and the rest of a shard is given up",
    ),
    Mutant(
        "a pin whose iterator is made anew reads the whole past",
        "sources/shards/track.py",
        "iterator=iterator, skip_before_seconds=place.behind.at_seconds",
        "iterator=iterator",
        "a start at LATEST that is followed by a restart delivers a day of old records",
    ),
    # --- the worker -------------------------------------------------------------------------------
    Mutant(
        "the first mapping that has stopped ends the worker",
        "runtime/engine.py",
        "if all(mapping.machine.stopped for mapping in self.mappings):",
        "if any(mapping.machine.stopped for mapping in self.mappings):",
        "the calls of the other triggers are cut off, and their last checkpoints are not saved",
    ),
    Mutant(
        "the first listing stands for ever",
        "runtime/listings.py",
        "        finally:\n            self._asking = None",
        "        finally:\n            pass",
        "shards that only a survey can find are never read",
        tests=("runtime/test_listings.py",),
    ),
    Mutant(
        "a beat that failed waits as long as any other call",
        "core/membership.py",
        "min(wait, LONGEST_RETRY_SECONDS)",
        "wait",
        "behind an outage of the lease table the first worker that is back buries the others",
    ),
)
"""New bugs, in the order in which they were written down."""

SCORED = (*NAMED, *NEW)
"""What the widened worlds are measured by."""
