"""What was written, and which records are done or discarded: each once, and the oldest of its key first."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence

from proof.facts import Number, TrueShard, Truth, require

from triggerkit.core.model import Position, PositionKind, Record, ShardId

PIN_ERROR_SECONDS = 2.0
"""How far the time of a record may be before a pin that leaves it out, whole seconds on both sides."""


class Start:
    """Where reading was to begin: the rule, and the pins that it came to in the rows."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self.pins: dict[ShardId, float] = {}
        """Service time from which on a shard's records count; of rows that are gone, too."""
        self.begun: set[ShardId] = set()
        """Shards with a row."""

    def is_after(self, truth: Truth) -> bool:
        """Whether this record is before the start, so that nobody need read it."""
        match self.position.kind:
            case PositionKind.AT_TIMESTAMP:
                return truth.record.at_seconds < self.position.at_seconds
            case PositionKind.LATEST:
                shard = truth.shard.id
                if shard in self.pins or shard in self.begun:
                    return truth.created_seconds < self.pins.get(shard, float("-inf"))
                # a shard that the start rule left out: its end came before any pin
                return truth.created_seconds < min(self.pins.values(), default=float("inf"))
            case _:
                return False


class Written:
    """All records, in the order of their keys and of their shards."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self.truth: dict[Number, Truth] = {}
        self.accounted: set[Number] = set()
        self.trimmed: set[Number] = set()
        self._of_key: dict[bytes, list[Number]] = defaultdict(list)
        self._in_key: dict[Number, int] = {}
        self._key_done: Counter[bytes] = Counter()
        self._of_shard_key: dict[tuple[ShardId, bytes], list[int]] = defaultdict(list)

    def put(self, record: Record, shard: TrueShard, created_seconds: float) -> None:
        """A record was written, as the last one of its shard."""
        number = record.sequence_number
        index = len(shard.records) - 1
        self.truth[number] = Truth(shard, index, created_seconds, record)
        self._in_key[number] = len(self._of_key[record.key])
        self._of_key[record.key].append(number)
        self._of_shard_key[shard.id, record.key].append(index)

    def lost(self, records: Sequence[Record]) -> None:
        """Retention took these records."""
        self.trimmed.update(record.sequence_number for record in records)

    def is_before_start(self, number: Number) -> bool:
        """Whether the start rule leaves this record out."""
        return self._start.is_after(self.truth[number])

    def is_long_before_start(self, number: Number) -> bool:
        """Whether its shard was pinned more than a second behind it: pins count whole seconds."""
        truth = self.truth[number]
        pin = self._start.pins.get(truth.shard.id, float("-inf"))
        return truth.created_seconds < pin - PIN_ERROR_SECONDS

    def is_excused(self, number: Number) -> bool:
        """Whether this record need not reach the handler: trimmed, or before the start."""
        return number in self.trimmed or self.is_before_start(number)

    def is_settled(self, number: Number) -> bool:
        """Whether nothing more has to happen to this record."""
        return number in self.accounted or self.is_excused(number)

    def outstanding(self) -> list[Number]:
        """I5: records that must still reach the handler or the destination."""
        return [number for number in self.truth if not self.is_settled(number)]

    def account(self, record: Record, given_up: Collection[Number] = ()) -> None:
        """A record is done or given up; behind one that its call gave up, the key goes on in that call."""
        number, key = record.sequence_number, record.key
        for older in self._of_key[key][self._key_done[key] : self._in_key[number]]:
            fine = older in given_up or self.is_settled(older)
            require(fine, "I8", f"{number} was done before {older}")
        self.accounted.add(number)

    def require_key_order(self, record: Record, here: Collection[Number]) -> None:
        """I8 over all shards: everything older of this key is settled, or before it in its call."""
        number, key = record.sequence_number, record.key
        numbers, index = self._of_key[key], self._key_done[key]
        while index < len(numbers) and self.is_settled(numbers[index]):
            index += 1
        self._key_done[key] = index
        for older in numbers[index : self._in_key[number]]:
            fine = older in here or self.is_settled(older)
            require(fine, "I8", f"{number} of {key!r} began before {older} was done")

    def of_key_between(
        self, key: bytes, truth: Truth, first: int, behind: int
    ) -> Iterator[tuple[int, Number]]:
        """Records of a key in a shard before that one: those behind `first` of the key, none before index `behind`.

        Yields:
            The place behind the record among its key's in the shard, and its number.
        """
        indexes = self._of_shard_key[truth.shard.id, key]
        at = max(first, bisect_left(indexes, behind))
        while at < len(indexes) and indexes[at] < truth.index:
            at += 1
            yield at, truth.shard.records[indexes[at - 1]].sequence_number
