"""What became of every record, from streams, calls and outcomes alone.

It holds the promises in a user's words: nothing is lost, the records of an item come in order, and
no checkpoint passes a record that is neither done nor discarded (leases.md 5: I4, I5, I8).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from triggerkit.core.model import Batch, Gap, Position, PositionKind, Record
from triggerkit.core.outcome import Outcome, PartlyFailed, RecordsEnded, Succeeded
from triggerkit.emulator import Emulator, EmulatorError
from triggerkit.testing.calls import shown_key

_WRITES = ("PutItem", "DeleteItem", "UpdateItem", "BatchWriteItem", "TransactWriteItems")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record for one trigger, as a failed assertion shows it."""

    trigger: str
    table: str
    key: object
    event_name: str
    sequence_number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Written:
    """One record of a stream; `before` is the record of the same item in front of it."""

    table: str
    shard: str
    number: int
    key: object
    event_name: str
    before: int | None


@dataclass(slots=True)
class _Account:
    """One trigger's. Numbers are sequence numbers, which grow over all streams of an emulator."""

    tables: frozenset[str]
    from_tip: bool
    after: int | None = 0
    pending: set[int] = field(default_factory=set)
    done: Counter[int] = field(default_factory=Counter)
    discarded: set[int] = field(default_factory=set)
    trimmed: set[int] = field(default_factory=set)
    """Lost: the worker said that the stream no longer had them."""

    def awaits(self, number: int) -> bool:
        """Whether the record is for this trigger, and still to be done."""
        return self.after is not None and number > self.after and number in self.pending


class Ledger:
    """Written down as the simulation goes on."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._writes_seen = -1
        self._records: dict[int, Written] = {}
        self._newest_of_key: dict[tuple[str, object], int] = {}
        self._of_shard: defaultdict[str, list[int]] = defaultdict(list)
        self._read_through: dict[str, str] = {}
        self._read_to_end: set[str] = set()
        self._accounts: dict[str, _Account] = {}
        self._key_names: dict[str, tuple[str, ...]] = {}
        self.out_of_order: list[Delivery] = []
        self.unsafe: list[Delivery] = []
        """Checkpoints that passed a record which was neither done nor discarded."""

    # --- what is known ----------------------------------------------------------------------------

    def know_table(self, table: str, key_names: tuple[str, ...]) -> None:
        """A table exists; its key, partition key first."""
        self._key_names[table] = key_names

    def know_trigger(self, trigger: str, tables: Iterable[str], *, from_tip: bool) -> None:
        """A trigger reads these tables; `from_tip`: only what is written once it is there."""
        self._accounts[trigger] = _Account(frozenset(tables), from_tip, None if from_tip else 0)

    def started(self, trigger: str) -> None:
        """The trigger runs for the first time: from now on records are for it, also if it starts at LATEST."""
        self.refresh()
        account = self._accounts[trigger]
        if account.after is None:
            account.after = max(self._records, default=0)

    def key_names(self, table: str) -> tuple[str, ...]:
        """The key attributes of a table."""
        return self._key_names.get(table, ())

    # --- what happens -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read what was written since the last time."""
        writes = sum(self._emulator.calls[name] for name in _WRITES)
        if writes == self._writes_seen:
            return
        self._writes_seen = writes
        self.reread()

    def reread(self) -> None:
        """Read what was written, also without a call: an item that expired."""
        found: list[tuple[int, str, str, object, str]] = []
        for table, key_names in self._key_names.items():
            for arn in self._emulator.stream_arns(table):
                for shard in self._shards(arn):
                    for record in self._unread(arn, shard):
                        change = record["dynamodb"]
                        number, key = int(change["SequenceNumber"]), change["Keys"]
                        # Images are left behind at once: there may be very many records.
                        name = record["eventName"]
                        found.append((number, table, shard, shown_key(key, key_names), name))
        for written in sorted(found, key=lambda one: one[0]):
            self._write_down(*written)

    def begun(self, trigger: str, records: Sequence[Record]) -> None:
        """A call for these records begins: all that was before them of their items must be over."""
        self.refresh()
        account = self._accounts[trigger]
        seen: set[int] = set()
        for record in records:
            written = self._records.get(number := int(record.sequence_number))
            seen.add(number)
            before = None if written is None else written.before
            if before is None or before in seen or not account.awaits(before):
                continue
            self.out_of_order.append(self._delivery(trigger, number))

    def ended(self, trigger: str, batch: Batch, outcome: Outcome) -> None:
        """A call ended; which records it did."""
        match outcome:
            case Succeeded():
                done = range(len(batch))
            case PartlyFailed(index=index):
                done = range(index)
            case RecordsEnded(done=indexes):
                self._done(trigger, [batch.records[index] for index in indexes])
                return
            case _:
                return
        self._done(trigger, [batch.records[index] for index in done])

    def discarded(self, trigger: str, batch: Batch) -> None:
        """Records were given up; their failure record is where it belongs."""
        account = self._accounts[trigger]
        numbers = {int(record.sequence_number) for record in batch.records}
        account.discarded |= numbers
        account.pending -= numbers

    def gap_found(self, trigger: str, shard: str, gap: Gap) -> None:
        """The stream no longer has records of a shard: they are lost, and nothing waits for them any more."""
        self.refresh()
        first = int(gap.last_seen) + 1 if gap.last_seen else 0
        stop = int(gap.resumed_at) if gap.resumed_at else None
        shards = [shard] if gap.resumed_at else [shard, *self._gone_shards()]
        account = self._accounts[trigger]
        for number in [number for each in shards for number in self._of_shard[each]]:
            if number >= first and (stop is None or number < stop) and account.awaits(number):
                account.pending.discard(number)
                account.trimmed.add(number)

    def _gone_shards(self) -> list[str]:
        """Shards that retention took as a whole: nobody can read them, so a gap goes on through them."""
        kept = {
            shard
            for table in self._key_names
            for arn in self._emulator.stream_arns(table)
            for shard in self._described(arn)
        }
        return [shard for shard in self._of_shard if shard not in kept]

    def saved(self, trigger: str, shard: str, position: Position) -> None:
        """A checkpoint was written: all up to it must be over (I4)."""
        if position.kind is PositionKind.AFTER:
            through = int(position.sequence_number)
            self._check_saved(trigger, shard, lambda number: number <= through)

    def finished(self, trigger: str, shard: str) -> None:
        """The end of a shard was written: all of it must be over (I4)."""
        self._check_saved(trigger, shard, lambda number: number > 0)

    def _check_saved(self, trigger: str, shard: str, covers: Callable[[int], bool]) -> None:
        account = self._accounts[trigger]
        for number in self._of_shard[shard]:
            if covers(number) and account.awaits(number):
                self.unsafe.append(self._delivery(trigger, number))

    # --- what it came to --------------------------------------------------------------------------

    @property
    def written(self) -> int:
        """Records of all tables."""
        self.refresh()
        return len(self._records)

    def lost(self) -> tuple[Delivery, ...]:
        """Neither done nor discarded by now, oldest first; what the stream trimmed is among them."""
        self.refresh()
        return tuple(
            self._delivery(trigger, number)
            for trigger, account in self._accounts.items()
            for number in sorted(account.pending | account.trimmed)
            if account.awaits(number) or number in account.trimmed
        )

    def has_done(self, trigger: str) -> bool:
        """Whether the trigger has done any record."""
        return bool(self._accounts[trigger].done)

    def is_pending(self) -> bool:
        """Whether a record is still to be done."""
        self.refresh()
        return any(
            account.awaits(number)
            for account in self._accounts.values()
            for number in account.pending
        )

    def duplicates(self) -> tuple[Delivery, ...]:
        """Done more than once, each as often as it was done again."""
        return tuple(
            self._delivery(trigger, number)
            for trigger, account in self._accounts.items()
            for number, times in sorted(account.done.items())
            for _ in range(times - 1)
        )

    def given_up(self) -> tuple[Delivery, ...]:
        """Discarded, oldest first."""
        return tuple(
            self._delivery(trigger, number)
            for trigger, account in self._accounts.items()
            for number in sorted(account.discarded)
        )

    # --- inside -----------------------------------------------------------------------------------

    def _done(self, trigger: str, records: Iterable[Record]) -> None:
        account = self._accounts[trigger]
        for record in records:
            number = int(record.sequence_number)
            account.done[number] += 1
            account.pending.discard(number)

    def _write_down(
        self, number: int, table: str, shard: str, key: object, event_name: str
    ) -> None:
        before = self._newest_of_key.get((table, key))
        self._newest_of_key[table, key] = number
        self._records[number] = Written(table, shard, number, key, event_name, before)
        self._of_shard[shard].append(number)
        for account in self._accounts.values():
            if table in account.tables:
                account.pending.add(number)

    def _delivery(self, trigger: str, number: int) -> Delivery:
        written = self._records[number]
        return Delivery(trigger, written.table, written.key, written.event_name, str(number))

    def _shards(self, arn: str) -> list[str]:
        """The shards of a stream that may have more to read, parents first."""
        return [shard for shard in self._described(arn) if shard not in self._read_to_end]

    def _described(self, arn: str) -> list[str]:
        request: dict[str, object] = {"StreamArn": arn}
        found: list[str] = []
        while True:
            description = self._emulator.peek("DescribeStream", request)["StreamDescription"]
            found += [shard["ShardId"] for shard in description["Shards"]]
            last = description.get("LastEvaluatedShardId")
            if last is None:
                return found
            request["ExclusiveStartShardId"] = last

    def _unread(self, arn: str, shard: str) -> Iterable[Mapping[str, Any]]:
        iterator = self._iterator(arn, shard)
        while iterator is not None:
            answer = self._emulator.peek("GetRecords", {"ShardIterator": iterator})
            records, iterator = answer["Records"], answer.get("NextShardIterator")
            yield from records
            if records:
                self._read_through[shard] = records[-1]["dynamodb"]["SequenceNumber"]
            elif iterator is not None:
                return  # the tip of an open shard
        self._read_to_end.add(shard)

    def _iterator(self, arn: str, shard: str) -> str | None:
        place: dict[str, object] = {"StreamArn": arn, "ShardId": shard}
        horizon = {**place, "ShardIteratorType": "TRIM_HORIZON"}
        through = self._read_through.get(shard)
        if through is not None:
            place |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": through}
            with suppress(EmulatorError):  # trimmed: go on with what is kept
                return str(self._emulator.peek("GetShardIterator", place)["ShardIterator"])
        return str(self._emulator.peek("GetShardIterator", horizon)["ShardIterator"])
