"""Bugs in who holds which shard, in which order, and for how long."""

from __future__ import annotations

from proof.mutants.mutant import Mutant

LEASES = "core/leases.py"
COORDINATOR = "core/coordinator.py"
TAKES = "core/takes.py"
MAPPING = "core/mapping.py"
MEMBERSHIP = "core/membership.py"

MUTANTS = (
    # --- lineage ----------------------------------------------------------------------------------
    Mutant(
        "child before parent",
        LEASES,
        "        if has_started(lease):\n            return None\n        parents",
        "        if True:\n            return None\n        parents",
        "an item's later change arrives before the earlier one",
    ),
    Mutant(
        "a merge waits for one parent only",
        LEASES,
        "        return next(waits_for, None)\n",
        "        first = next(waits_for, None)\n"
        "        return first if start == 0 and first == len(parents) - 1 else None\n",
        "half of the items of a merged shard arrive out of order",
    ),
    Mutant(
        "an unlisted parent counts as trimmed",
        LEASES,
        "        return _is_trimmed_before(lease, listed, self._trim_seconds)\n",
        "        return True\n",
        "a stale listing lets a child start before its parent",
    ),
    Mutant(
        "a listing older than the lease tells of its parents",
        LEASES,
        "return lease.shard in listed or bool(listed.children(lease.shard))",
        "return True",
        "a child starts before its parent, where shards have no times",
    ),
    Mutant(
        "LATEST on a child that a survey finds",
        LEASES,
        "        if shard.id in led_to or not self._is_from_before(shard):\n            return TRIM_HORIZON\n",
        "        if not self._is_from_before(shard):\n            return self.start\n",
        "the first records of a new shard are skipped",
    ),
    Mutant(
        "LATEST on a child that its parent's end finds",
        "core/ending.py",
        "new_lease(prefix, child, TRIM_HORIZON)",
        'new_lease(prefix, child, type(TRIM_HORIZON)(type(TRIM_HORIZON.kind)("LATEST")))',
        "the first records behind every split are skipped",
    ),
    Mutant(
        "leases created children first",
        LEASES,
        "    return tuple(created)\n\n\n@dataclass",
        "    return tuple(reversed(created))\n\n\n@dataclass",
        "a crash in between leaves a child whose parent nobody knows of",
    ),
    Mutant(
        "a row at LATEST leaves its ancestors wanted",
        LEASES,
        "return has_started(lease) or lease.checkpoint.kind is PositionKind.LATEST",
        "return has_started(lease)",
        "a start at LATEST reads the whole past",
    ),
    Mutant(
        "a finished shard whose row is gone is read again",
        LEASES,
        "if shard_id in planned or shard_id in over:",
        "if shard_id in planned:",
        "a day after the start everything that is still listed is delivered again",
    ),
    Mutant(
        "LATEST begins with half a listing",
        LEASES,
        "        return self.start if self.is_whole and not followed else None",
        "        return self.start if not followed else None",
        "the first start at LATEST takes a shard and its child for two leaves",
    ),
    Mutant(
        "no paging: a part of a listing is taken for all of it",
        COORDINATOR,
        "        if not listing.complete:\n",
        "        if False:\n",
        "shards on the second page of DescribeStream do not exist",
    ),
    Mutant(
        "to-do of childless shards forgotten",
        COORDINATOR,
        "shard not in newly_related and self._may_have_children(self._rows[shard], listing)",
        "False",
        "a crash at a shard's end hides its children until the next audit",
    ),
    Mutant(
        "nobody searches behind another worker's end",
        COORDINATOR,
        "            self.search_now(now)  # another worker ended",
        "            pass  # another worker ended",
        "only the worker that ended a shard looks for its children, and it may crash",
    ),
    Mutant(
        "no second look behind a shard's end",
        COORDINATOR,
        "        self._schedule.recheck(max(recheck_at, now.monotonic_seconds))\n",
        "",
        "the second child of a split, listed late, waits for the next audit",
    ),
    Mutant(
        "early forget: children that have not started",
        LEASES,
        "        and lease.shard not in waiting\n",
        "",
        "a child that waits loses its parent's row and cannot tell whether it may start",
    ),
    Mutant(
        "early forget: shards that are listed",
        LEASES,
        "        and lease.shard not in listed\n",
        "",
        "a finished shard is found again and read from the start",
    ),
    Mutant(
        "early forget: at once",
        LEASES,
        "        and is_past_retention(lease, listing)\n",
        "",
        "a listing that is stale brings a finished shard back",
    ),
    Mutant(
        "early forget: shards whose children were never found",
        LEASES,
        "        and (lease.children or lease.shard in parents)\n",
        "",
        "the only trace of a shard's children is deleted",
    ),
    # --- who holds what ---------------------------------------------------------------------------
    Mutant(
        "take a living owner",
        TAKES,
        "return owner not in sessions.known and sessions.read_at_seconds > self._surveyed_at_seconds",
        "return True",
        "workers take shards from each other all the time",
    ),
    Mutant(
        "an owner that is younger than the sessions counts as absent",
        TAKES,
        "return owner not in sessions.known and sessions.read_at_seconds > self._surveyed_at_seconds",
        "return owner not in sessions.known",
        "a worker that has just started loses its shards",
    ),
    Mutant(
        "take past the deadline",
        TAKES,
        "if sessions is None or sessions.deadline_seconds <= now.monotonic_seconds:",
        "if sessions is None:",
        "a worker that is dead for the others takes shards",
    ),
    Mutant(
        "a row that a write may have changed is taken as it was seen",
        TAKES,
        "            and shard not in self._taking\n",
        "",
        "one worker takes a shard twice and waits for two answers",
    ),
    Mutant(
        "stale reports accepted",
        MAPPING,
        "if consumer is None or consumer.tenure != decision.tenure:",
        "if consumer is None:",
        "an answer of an earlier stay counts for records of the present one",
    ),
    Mutant(
        "unfenced save: under the token that a survey shows",
        MAPPING,
        "        self.coordinator.absorb(report, now)\n        match report:\n",
        "        self.coordinator.absorb(report, now)\n"
        "        if isinstance(report, Surveyed):\n"
        "            for row in report.leases:\n"
        "                if row.shard in self.consumers:\n"
        "                    self.consumers[row.shard].lease = row\n"
        "        match report:\n",
        "a worker that lost its shard writes with its successor's token",
    ),
    Mutant(
        "blocked ignores running calls",
        MAPPING,
        "return shard in self.consumers or shard in self._calls",
        "return shard in self.consumers",
        "a sync handler that outlived its lease runs beside its own repetition",
    ),
    Mutant(
        "a expired worker keeps its shards",
        MAPPING,
        "if before is not None and before.me != sessions.me:",
        "if False:",
        "a worker that came back delivers beside its successor",
    ),
    Mutant(
        "a beat does not end the pause",
        MAPPING,
        "if deadline_before <= now.monotonic_seconds < sessions.deadline_seconds:",
        "if False:",
        "a shard that was read to its end before an outage is never finished",
    ),
    Mutant(
        "children at the end are not started",
        MAPPING,
        "                self._start(lease, now)\n        self._derive",
        "                pass\n        self._derive",
        "behind every split all items wait for the next takes",
    ),
    # --- who lives --------------------------------------------------------------------------------
    Mutant(
        "expire at once",
        MEMBERSHIP,
        "return self._silent_at(other, seen) <= self._read_at_seconds",
        "return True",
        "a worker that pauses for three seconds loses everything",
    ),
    Mutant(
        "silence counted from sending",
        MEMBERSHIP,
        "return _Sighting(other.beat, now.monotonic_seconds, 1)",
        "return _Sighting(other.beat, self._read_at_seconds, 1)",
        "a slow answer of the lease table expires the living",
    ),
    Mutant(
        "a gap in the reads counts as silence",
        MEMBERSHIP,
        "            self._sightings.clear()\n",
        "            pass\n",
        "the first worker back from an outage of the lease table expires all others",
    ),
    Mutant(
        "a beat holds from its answer",
        MEMBERSHIP,
        "self._read_at_seconds = sent",
        "self._read_at_seconds = now.monotonic_seconds",
        "a slow answer lets a worker act while it is being expired",
    ),
    Mutant(
        "no margin before the deadline",
        MEMBERSHIP,
        "deadline_seconds=self._read_at_seconds + SILENCE_SECONDS - MARGIN_SECONDS,",
        "deadline_seconds=self._read_at_seconds + SILENCE_SECONDS + MARGIN_SECONDS,",
        "a worker calls while another expires it",
    ),
)
