"""Bugs in how one shard is read, batched, called and saved."""

from __future__ import annotations

from proof.mutants.mutant import Mutant

CONSUMER = "core/consumer.py"
FAILURE = "core/failure.py"

MUTANTS = (
    # --- reading ----------------------------------------------------------------------------------
    Mutant(
        "page dropped at shard end",
        CONSUMER,
        "        if page.records:\n            self.lanes.admit",
        "        if page.records and not page.ended:\n            self.lanes.admit",
        "the last records of every shard are lost",
    ),
    Mutant(
        "an empty page is the end",
        "core/reading.py",
        "self.ended = page.ended",
        "self.ended = page.ended or not page.records",
        "a shard is finished while it is still written to",
    ),
    Mutant(
        "a failed read goes on from the start",
        "core/reading.py",
        '"""Come back later."""',
        '"""Come back later."""\n        self.position = TRIM_HORIZON',
        "everything in the shard is delivered again",
    ),
    Mutant(
        "a failed read is the last",
        CONSUMER,
        "                self.reading.failed(at_seconds)\n",
        "                pass\n",
        "one throttled call stops a shard for good",
    ),
    Mutant(
        "a trimmed position is read again",
        "core/reading.py",
        "            self.position = TRIM_HORIZON\n            self.next_at_seconds = 0.0",
        "            self.next_at_seconds = 0.0",
        "a worker that was away for a day never reads again",
    ),
    Mutant(
        "a loss to retention is not told",
        "core/reading.py",
        "        if self._gap_from is None:\n            self._gap_from = self.position\n",
        "        if self._gap_from is None and self.gaps:\n            self._gap_from = self.position\n",
        "records are lost and nobody hears of it",
    ),
    Mutant(
        "pin not saved first",
        "core/reading.py",
        "if self.ended or self.fetching or self.pin_unsaved(saved):",
        "if self.ended or self.fetching:",
        "a crash before the first checkpoint opens LATEST at a later tip: records are skipped",
    ),
    Mutant(
        "LATEST reopened",
        "core/reading.py",
        "if at_tip and checkpoint.kind is PositionKind.LATEST and tenure.counter == 1:",
        "if checkpoint.kind is PositionKind.LATEST:",
        "each new owner starts at the tip and skips what came since the first",
    ),
    # --- batches and lanes ------------------------------------------------------------------------
    Mutant(
        "lane not busy",
        CONSUMER,
        "        if lane.busy:\n            return\n",
        "",
        "two calls of one lane run at once: the order of a key is gone",
    ),
    Mutant(
        "lanes ignore keys",
        "core/batches.py",
        "members[lane_of(record.key, lanes)]",
        "members[ordinal % lanes]",
        "changes of one item run beside each other",
    ),
    Mutant(
        "window never closes",
        "core/batches.py",
        "return self._opened_seconds + options.maximum_batching_window_in_seconds",
        "return None if options.maximum_batching_window_in_seconds else self._opened_seconds",
        "the last records of a quiet stream wait for ever",
    ),
    Mutant(
        "halves of a half go behind the other half",
        "core/batches.py",
        "self._again.extendleft(reversed(batches))",
        "self._again.extend(batches)",
        "a batch that is split twice leaves in the wrong order",
    ),
    Mutant(
        "a failure record does not hold its lane",
        "core/lanes.py",
        "return NEVER if lane.held is not None else",
        "return NEVER if lane.held is not None and not lane.waiting else",
        "a key's next record is delivered before the one before it is disposed of",
    ),
    # --- what became of a call --------------------------------------------------------------------
    Mutant(
        "partial response off by one",
        FAILURE,
        "done, rest = batch.split(index)",
        "done, rest = batch.split(index + 1)",
        "the record that failed counts as done",
    ),
    Mutant(
        "retry quota not reset",
        FAILURE,
        "fresh = replace(rest, attempts=0, tries=(), last_failure=failure)",
        "fresh = replace(rest, attempts=batch.attempts + 1, tries=(), last_failure=failure)",
        "records behind several bad ones are given up before their turn",
    ),
    Mutant(
        "retry quota off by one",
        FAILURE,
        "if 0 <= limit < tried.attempts:",
        "if 0 <= limit <= tried.attempts:",
        "the last try is not made",
    ),
    Mutant(
        "a throttled call spends a try",
        FAILURE,
        "case NotInvoked(wait_seconds=wait):\n            return Verdict(again=(_later(batch,",
        "case NotInvoked(wait_seconds=wait):\n            batch = replace(batch, attempts=batch.attempts + 1)\n"
        "            return Verdict(again=(_later(batch,",
        "records are given up that no handler has seen",
    ),
    Mutant(
        "a record that had no turn spends a try",
        FAILURE,
        "batch.tries_of(index) + (index in failed) for",
        "batch.tries_of(index) + 1 for",
        "records behind a bad one of their key are given up with it",
    ),
    Mutant(
        "a call that fails as a whole gives up each record alike",
        FAILURE,
        "    if batch.tries:\n        every",
        "    if False:\n        every",
        "a record that had tries left is given up with one that had none",
    ),
    Mutant(
        "bisect order",
        FAILURE,
        "return Verdict(again=fresh.split(len(batch) // 2))",
        "return Verdict(again=fresh.split(len(batch) // 2)[::-1])",
        "the newer half of a batch is delivered first",
    ),
    Mutant(
        "record age of the newest instead of the oldest",
        FAILURE,
        "if record.at_seconds > oldest_kept or",
        "if batch.records[-1].at_seconds > oldest_kept or",
        "one fresh record keeps those that are too old in front of the lane",
    ),
    Mutant(
        "record age of the oldest for all",
        FAILURE,
        "if record.at_seconds > oldest_kept or",
        "if batch.records[0].at_seconds > oldest_kept or",
        "fresh records are given up with an old one",
    ),
    Mutant(
        "discard without destination loses the lane",
        "core/lanes.py",
        "        self._lanes[batch.lane].under_way = None\n",
        "",
        "behind a record that was given up nothing moves any more",
    ),
    Mutant(
        "a destination that is down loses the record",
        "core/lanes.py",
        "lane.hold(batch, reason, not_before_seconds)",
        "self.progress.account(batch.ordinals)",
        "failure records are lost while the destination is away",
    ),
    # --- the checkpoint ---------------------------------------------------------------------------
    Mutant(
        "highest instead of contiguous watermark",
        "core/progress.py",
        "watermark = self._admitted if missing < 0 else self._first + missing",
        "watermark = self.accounted_to",
        "a crash loses what a slower lane had not done",
    ),
    Mutant(
        "checkpoint before the handler",
        CONSUMER,
        "decisions.append(Save(self.lease, self.tenure, self.position))",
        "decisions.append(Save(self.lease, self.tenure, self.reading.position))",
        "a crash loses what was read and not done",
    ),
    Mutant(
        "SHARD_END with work outstanding",
        CONSUMER,
        "if not self.outstanding and self._is_due(",
        "if self._is_due(",
        "children start before the last records of their parent are done",
    ),
    Mutant(
        "string comparison of sequence numbers, before a save",
        CONSUMER,
        "        if moved and self._is_due(self._writer.save_at_seconds, now):",
        "        goes_back = self.position.sequence_number < self.lease.checkpoint.sequence_number\n"
        "        if moved and not goes_back and self._is_due(self._writer.save_at_seconds, now):",
        "behind record 999 nothing is saved up to record 9991",
    ),
    Mutant(
        "a failed write is the last",
        "core/checkpoints.py",
        "        self.writing = False\n        self._retry_seconds = retry_seconds",
        "        self._retry_seconds = retry_seconds",
        "one error of the lease table, and nothing is saved any more",
    ),
    Mutant(
        "a lost lease is kept",
        CONSUMER,
        "return self.ask_to_stop(StopReason.LEASE_LOST)",
        "self._under_way.discard(_Work.WRITE)",
        "two workers deliver the same shard",
    ),
    Mutant(
        "no deadline",
        CONSUMER,
        "is_late = now.monotonic_seconds >= deadline_seconds",
        "is_late = False",
        "a worker that was frozen calls beside its successor",
    ),
    # --- letting go -------------------------------------------------------------------------------
    Mutant(
        "pages admitted while draining",
        CONSUMER,
        "        if self.phase is not Phase.RUNNING:\n            return  # what was not",
        "        if False:\n            return  # what was not",
        "a stop takes in what it will not do",
    ),
    Mutant(
        "drain saves a position it has not done",
        CONSUMER,
        "self._writer.release(self.position)",
        "self._writer.release(self.reading.position)",
        "every restart loses what was read and not done",
    ),
    Mutant(
        "a stop does not wait for its calls",
        CONSUMER,
        "if self.lanes.are_busy and self._stop is StopReason.REQUESTED:",
        "if False:",
        "every restart delivers batches twice",
    ),
    Mutant(
        "a stop leaves what lanes did ahead",
        CONSUMER,
        "if self._stop is StopReason.REQUESTED and not self._writer.is_releasing:",
        "if False:",
        "every restart delivers again what faster lanes had done",
    ),
    Mutant(
        "a call begins behind a release",
        CONSUMER,
        "if self._stop is StopReason.REQUESTED and not self._writer.is_releasing:",
        "if self._stop is StopReason.REQUESTED:",
        "the next owner and this one deliver the same records",
    ),
)
