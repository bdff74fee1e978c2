"""Plays a cassette into a simulation. Each record is put into the shard that stands for the recorded one.

Shards split and roll where they did in the recording, and a stream is turned off and on where it was. Where the
simulation has split a shard by itself, the records of a key follow it, so an item's order is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, assert_never

import msgspec

from triggerkit.cassettes.lines import Line, Recorded, ShardBegun, ShardClosed
from triggerkit.cassettes.reading import Cassette
from triggerkit.emulator import Emulator, EmulatorError
from triggerkit.errors import CassetteError

LAST_SECONDS = 253_402_300_799
"""The end of the year 9999."""
Pace: TypeAlias = Literal["at once", "recorded"]


class _Change(msgspec.Struct, rename="pascal", gc=False):
    approximate_creation_date_time: float | None = None


class _Head(msgspec.Struct, gc=False):
    dynamodb: _Change


_HEAD = msgspec.json.Decoder(_Head)


@dataclass(slots=True)
class Player:
    """Plays one cassette into one table, which has its stream on.

    `changed` is called after each record, `wait` with the seconds to the next one, at the recorded pace.
    """

    emulator: Emulator
    table: str
    view_type: str
    changed: Callable[[], None]
    wait: Callable[[float], None]
    _live: dict[str, str] = field(default_factory=dict)
    _roots: list[str] = field(default_factory=list)
    _label: str = ""

    def play(self, cassette: Cassette, pace: Pace) -> None:
        """All of it. Raises CassetteError: it is damaged, cut off, or does not fit the table."""
        try:
            if pace == "at once":
                for line in cassette.lines():
                    self._play(line)
            else:
                self._play_timed(cassette.lines())
        except (EmulatorError, msgspec.DecodeError) as error:
            raise CassetteError(
                f"{cassette.path} cannot be played into table {self.table!r}: {error}",
                hint="the line is no record of a stream: record it again",
            ) from error

    def _play_timed(self, lines: Iterable[Line]) -> None:
        now_seconds: float | None = None
        for at_seconds, line in in_time(lines):
            if now_seconds is not None and at_seconds > now_seconds:
                self.wait(at_seconds - now_seconds)
            if at_seconds > (now_seconds or 0.0):
                now_seconds = at_seconds
            self._play(line)

    def _play(self, line: Line) -> None:
        match line:
            case ShardBegun(shard=shard):
                if shard not in self._live:
                    self._begin_root(shard)
            case Recorded(shard=shard, record=record):
                self._settle_roots()
                self._replay(record, self._live.get(shard))
                self.changed()
            case ShardClosed():
                self._settle_roots()
                self._close(line)
            case _:
                assert_never(line)

    def _replay(self, record: msgspec.Raw, shard: str | None) -> None:
        """Raises msgspec.DecodeError, EmulatorError: it is no record of a change."""
        try:
            wire = msgspec.json.decode(record)
            self.emulator.replay(self.table, wire, shard)
        except RecursionError:
            raise msgspec.DecodeError("it is nested too deeply") from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise msgspec.DecodeError(f"it is no change of an item: {error}") from error

    def _begin_root(self, shard: str) -> None:
        if self._roots and _label(self._roots[0]) != _label(shard):
            self._settle_roots()
        self._roots.append(shard)

    def _settle_roots(self) -> None:
        """Give every recorded root that waits an open shard of its own."""
        if not self._roots:
            return
        label = _label(self._roots[0])
        if self._label and label != self._label:
            self._turn_off_and_on()
        self._label = label
        places = self.emulator.open_shards(self.table)
        while len(places) < len(self._roots):
            places += self.emulator.split(self.table, places.pop(0))
        self._live.update(zip(self._roots, places, strict=False))
        self._roots.clear()

    def _turn_off_and_on(self) -> None:
        on = {"StreamEnabled": True, "StreamViewType": self.view_type}
        for specification in ({"StreamEnabled": False}, on):
            asked = {"TableName": self.table, "StreamSpecification": specification}
            self.emulator.call("UpdateTable", asked)

    def _close(self, closed: ShardClosed) -> None:
        """Go on in as many children; in what has become of the shard where it is closed already."""
        children = [one for one in closed.children if _label(one) == _label(closed.shard)]
        live = self._live.get(closed.shard)
        if live is None or not children:
            return
        if live not in self.emulator.open_shards(self.table):
            self._live.update(dict.fromkeys(children, live))
            return
        if len(children) == 1:
            places = self.emulator.roll(self.table, live)
        else:
            places = list(self.emulator.split(self.table, live))
        while len(places) < len(children):
            places += self.emulator.split(self.table, places.pop(0))
        self._live.update(zip(children, places, strict=True))


def in_time(lines: Iterable[Line]) -> Iterator[tuple[float, Line]]:
    """Lines in the order in which things happened, with their time (UNIX seconds).

    Shards were read one page after the other; what happened to them at the same time lies far apart in a
    file. The order within a shard stays, and no child comes before its parent's end.
    """
    reached: dict[str, float] = {}
    timed: list[tuple[float, Line]] = []
    for line in lines:
        at_seconds = reached.get(line.shard, 0.0)
        match line:
            case ShardBegun(parents=parents):
                at_seconds = max([at_seconds, *(reached.get(one, 0.0) for one in parents)])
            case Recorded(record=record):
                change = _HEAD.decode(record).dynamodb
                told_seconds = change.approximate_creation_date_time or 0.0
                if not 0 <= told_seconds <= LAST_SECONDS:
                    raise msgspec.ValidationError(f"its time, {told_seconds:g}, is none")
                at_seconds = max(at_seconds, told_seconds)
            case ShardClosed():
                pass
        reached[line.shard] = at_seconds
        timed.append((at_seconds, line))
    timed.sort(key=lambda one: one[0])
    timed.reverse()
    while timed:
        yield timed.pop()


def _label(shard: str) -> str:
    return shard.partition(":")[0]
