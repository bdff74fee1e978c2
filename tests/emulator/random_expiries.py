"""Seeded tables with Time to Live: items whose expiry lies everywhere and is of every kind.

A real server removes what has expired some seconds later, the emulator at once. So an item that has expired is
left alone until both have removed it; only then are contents and records compared.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from emulator.comparison import Endpoint, all_items, by_key, create_table, read_stream
from emulator.listed import Comparison

HOUR = 3600
DAY = 24 * HOUR
YEAR = 365 * DAY
KEYS = [f"k{number}" for number in range(12)]
SENTINEL = "sentinel"
PAST = (-HOUR, -DAY, -YEAR, -5 * YEAR + 3 * DAY)
LATER = (HOUR, 5 * HOUR, DAY, 3 * DAY)
TOO_OLD = (-5 * YEAR - 3 * DAY, -20 * YEAR)


def number(seconds: float) -> dict[str, str]:
    return {"N": f"{seconds:.0f}"}


@dataclass
class ExpiringTable:
    """One table on two endpoints; `ahead_seconds` tells how far their clocks were moved."""

    name: str
    ours: Endpoint
    theirs: Endpoint
    random: Random
    comparison: Comparison
    ahead_seconds: Callable[[], int]
    writes: int = 0
    enabled: bool = False
    expiries: dict[str, float | None] = field(default_factory=dict)

    def start(self) -> None:
        create_table(self.ours, self.theirs, name=self.name)

    def now_seconds(self) -> float:
        return time.time() + self.ahead_seconds()

    def switch(self, *, enable: bool, attribute: str = "expires") -> None:
        """Switch Time to Live; a switch to what is already so is refused."""
        asked = {"Enabled": enable, "AttributeName": attribute}
        told = self._ask("UpdateTimeToLive", TimeToLiveSpecification=asked)
        if told == ["ok", "ok"]:
            self.enabled = enable
        self._judge("UpdateTimeToLive", told)
        self._judge("DescribeTimeToLive", self._described())

    def write(self) -> None:
        """Put, change or remove an item that has not expired; nobody can tell for the others yet."""
        now_seconds = self.now_seconds()
        alive = [
            key
            for key in KEYS
            if not (due := self.expiries.get(key)) or due > now_seconds + HOUR / 2
        ]
        if not alive:
            return
        key = self.random.choice(alive)
        self.writes += 1
        if key in self.expiries and self.random.random() < 0.15:
            del self.expiries[key]
            self._judge("DeleteItem", self._ask("DeleteItem", Key={"pk": {"S": key}}))
            return
        item: dict[str, Any] = {"pk": {"S": key}, "n": {"N": str(self.writes)}}
        expiry, due = self._expiry(now_seconds)
        if expiry is not None:
            item["expires"] = expiry
        self.expiries[key] = due
        self._judge("PutItem", self._ask("PutItem", Item=item))

    def _expiry(self, now_seconds: float) -> tuple[dict[str, Any] | None, float | None]:
        """Return an expiry attribute, and when the item goes where Time to Live is on."""
        match self.random.choices(("past", "later", "old", "odd", "none"), (25, 35, 8, 22, 10))[0]:
            case "past":
                due = now_seconds + self.random.choice(PAST)
                return number(due), due
            case "later":
                due = now_seconds + self.random.choice(LATER)
                return number(due), due
            case "old":
                return number(now_seconds + self.random.choice(TOO_OLD)), None
            case "odd":
                return self.random.choice(odd_expiries(now_seconds - HOUR)), None
            case _:
                return None, None

    def plant_sentinel(self) -> None:
        """Put an item that has expired: when it is gone, somebody has looked at the whole table."""
        item = {"pk": {"S": SENTINEL}, "expires": number(self.now_seconds() - HOUR)}
        self._judge("PutItem", self._ask("PutItem", Item=item))

    def settled(self) -> bool:
        """Tell whether the real server has removed what the emulator has."""
        return all_items(self.ours, self.name) == all_items(self.theirs, self.name)

    def forget_expired(self) -> None:
        """Take the keys whose items are gone as free again."""
        items = [json.loads(item) for item in all_items(self.ours, self.name)]
        kept = {item["pk"]["S"] for item in items}
        self.expiries = {key: due for key, due in self.expiries.items() if key in kept}
        # An item that outlived its expiry, since nothing removes it, may be written again.
        for key, due in self.expiries.items():
            if due is not None and due < self.now_seconds():
                self.expiries[key] = None

    def compare(self) -> None:
        """Compare the items and, key by key, the records."""
        items = [set(all_items(each, self.name)) for each in (self.ours, self.theirs)]
        assert items[0] == items[1], (
            f"{self.name}: ours alone {items[0] - items[1]}, theirs alone {items[1] - items[0]}"
        )
        mine, others = (by_key(read_stream(each, self.name)) for each in (self.ours, self.theirs))
        assert mine.keys() == others.keys(), self.name
        for key, records in mine.items():
            assert len(records) == len(others[key]), (self.name, key, records, others[key])
            for one, other in zip(records, others[key], strict=True):
                kind = "removal by Time to Live" if one["userIdentity"] else "other change"
                self._judge(kind, [shown(one), shown(other)])

    def _ask(self, operation: str, **request: Any) -> list[str]:
        asked = {"TableName": self.name, **request}
        return [each.send(operation, asked).error or "ok" for each in (self.ours, self.theirs)]

    def _described(self) -> list[str]:
        answers = [
            each.send("DescribeTimeToLive", {"TableName": self.name})
            for each in (self.ours, self.theirs)
        ]
        return [json.dumps(each.body, sort_keys=True) for each in answers]

    def _judge(self, asked: str, answers: list[str]) -> None:
        self.comparison.judge(asked, answers[0], answers[1], f"{self.name} write {self.writes}")


def odd_expiries(past_seconds: float) -> list[dict[str, Any]]:
    """Return attributes that name no moment, or none that Time to Live heeds."""
    return [
        {"S": f"{past_seconds:.0f}"},
        {"NULL": True},
        {"BOOL": True},
        {"L": [number(past_seconds)]},
        {"NS": [f"{past_seconds:.0f}"]},
        {"M": {"N": number(past_seconds)}},
        number(0),
        number(-past_seconds),
        number(past_seconds * 1000),
        {"N": "9E+100"},
        {"N": "1E-10"},
    ]


def shown(record: dict[str, Any]) -> str:
    """Return a record in one line."""
    image = json.dumps([record["OldImage"], record["NewImage"]], sort_keys=True)
    identity = json.dumps(record["userIdentity"], sort_keys=True)
    return f"{record['eventName']} by {identity} of {image}, {record['SizeBytes']} bytes"
