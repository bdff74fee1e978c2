"""What a reader of a stream owes: every record at least once, those of one key in order.

The judge knows what was written and what was delivered, and nothing of how either was done.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

Record = tuple[str, int]
"""A key, and the how manieth record of that key this is, from 1."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One world's outcome, in records.

    `lost` have a later record of their key behind them; `unreached` have none, however long one waited.
    `late` came for the first time behind a later record of their key.
    """

    lost: int = 0
    unreached: int = 0
    late: int = 0
    duplicates: int = 0
    raised: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing is owed; a record may come twice."""
        return not (self.lost or self.unreached or self.late or self.raised)

    def __str__(self) -> str:
        counts = {"lost": self.lost, "unreached": self.unreached, "out of order": self.late}
        told = [f"{what} {count}" for what, count in counts.items() if count]
        told += [f"raised {name}" for name in self.raised]
        if not told:
            told.append("ok")
        if self.duplicates:
            told.append(f"twice {self.duplicates}")
        return ", ".join(told)


@dataclass(slots=True)
class Judge:
    """Told of every write and every delivery, in the order in which they happened."""

    _written: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _owed: dict[Record, None] = field(default_factory=dict)
    _probes: set[Record] = field(default_factory=set)
    _delivered: Counter[Record] = field(default_factory=Counter)
    _furthest: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _raised: dict[str, None] = field(default_factory=dict)
    _late: int = 0

    def write(self, key: str, is_probe: bool = False) -> Record:
        """Return the next record of a key; it is owed from now on.

        A probe is written behind a world's end, to see whether later records still come.
        """
        self._written[key] += 1
        record = (key, self._written[key])
        self._owed[record] = None
        if is_probe:
            self._probes.add(record)
        return record

    def forgive(self) -> None:
        """Owe nothing of what was written so far: it was trimmed, or lies before the start."""
        self._owed.clear()

    def deliver(self, record: Record) -> None:
        """Note that a record was handed over."""
        key, number = record
        self._delivered[record] += 1
        if self._delivered[record] == 1 and number < self._furthest[key]:
            self._late += 1
        self._furthest[key] = max(self._furthest[key], number)

    def fail(self, name: str) -> None:
        """Note that the subject ended with an error."""
        self._raised[name] = None

    @property
    def owed(self) -> int:
        """How many records have not come."""
        return sum(1 for record in self._owed if not self._delivered[record])

    def verdict(self) -> Verdict:
        """Judge what has happened so far."""
        missing = [
            (key, number)
            for key, number in self._owed
            if not self._delivered[key, number] and (key, number) not in self._probes
        ]
        lost = sum(1 for key, number in missing if number < self._furthest[key])
        return Verdict(
            lost=lost,
            unreached=len(missing) - lost,
            late=self._late,
            duplicates=sum(count - 1 for count in self._delivered.values()),
            raised=tuple(self._raised),
        )
