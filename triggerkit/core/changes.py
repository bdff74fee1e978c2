"""Changes of items, as typed handlers get them; `core/item_json.py` reads the images.

`Change[T]` is closed: an insert, a modification or a removal. An image becomes a `T` on first use, once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar, get_args, overload

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
X = TypeVar("X")

EventName: TypeAlias = Literal["INSERT", "MODIFY", "REMOVE"]
Item: TypeAlias = dict[str, Any]  # type: ignore[explicit-any]  # users index into it
"""Attribute names to values: text, Decimal, bytes, bool, None, sets, and lists and dicts of these."""
Differences: TypeAlias = dict[str, dict[str, Any]]  # type: ignore[explicit-any]
"""Attribute paths to `{"old": ..., "new": ...}`, ready for JSON."""

ViewType: TypeAlias = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
"""Which images of an item a table's stream has."""
VIEW_TYPES: Final[tuple[str, ...]] = get_args(ViewType)

_TIME_TO_LIVE: Final = ("Service", "dynamodb.amazonaws.com")


def is_expiry(event: Mapping[str, object]) -> bool:
    """Whether Time to Live deleted the item; `event` is one element of `Records`."""
    identity = event.get("userIdentity")
    if not isinstance(identity, Mapping):
        return False
    return (identity.get("type"), identity.get("principalId")) == _TIME_TO_LIVE


class Images(Protocol[T_co]):
    """The two images of one change."""

    @property
    def new(self) -> T_co:
        """The item after the change. Raises ImageNotInStream, ImageMismatchError."""
        ...

    @property
    def old(self) -> T_co:
        """The item before the change. Raises ImageNotInStream, ImageMismatchError."""
        ...

    def changed(self, paths: Sequence[str]) -> bool:
        """Whether one of `paths` differs between the images; without paths, whether anything does."""
        ...

    def differences(self) -> Differences:
        """Every attribute that differs."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Inserted(Generic[T_co]):
    """An item that was not there before.

    `keys` is its primary key, `at` when it was written (UTC, whole seconds), `raw` the record as Lambda's
    event has it. `sequence_number` is unique within the shard only.
    """

    keys: Item
    at: datetime
    event_id: str
    sequence_number: str
    shard_id: str
    raw: Item = field(repr=False)
    images: Images[T_co] = field(repr=False)

    @property
    def new(self) -> T_co:
        """The item. Raises ImageNotInStream, ImageMismatchError."""
        return self.images.new

    @property
    def old(self) -> None:
        """None: there was no item."""
        return

    def changed(self, *paths: str) -> bool:
        """Whether the item has one of `paths`, such as `status` or `address.city`."""
        return self.images.changed(paths)

    def diff(self) -> Differences:
        """Every attribute, as `{"status": {"new": "open"}}`, ready for JSON; see `Modified.diff`."""
        return self.images.differences()


@dataclass(frozen=True, slots=True, eq=False)
class Modified(Generic[T_co]):
    """An item that was there and has changed; the fields are those of `Inserted`."""

    keys: Item
    at: datetime
    event_id: str
    sequence_number: str
    shard_id: str
    raw: Item = field(repr=False)
    images: Images[T_co] = field(repr=False)

    @property
    def new(self) -> T_co:
        """The item as it is now. Raises ImageNotInStream, ImageMismatchError."""
        return self.images.new

    @property
    def old(self) -> T_co:
        """The item as it was, read on first use. Raises ImageNotInStream, ImageMismatchError."""
        return self.images.old

    def changed(self, *paths: str) -> bool:
        """Whether one of `paths` differs between the two images; without paths, whether anything does.

        A path leads through maps by name and through lists by number: `address.city`, `lines.0.price`.

        Raises:
            ImageNotInStream: the stream carries only one of the images, or none.
        """
        return self.images.changed(paths)

    def diff(self) -> Differences:
        """What differs, as `{"address.city": {"old": "Bonn", "new": "Kiel"}}`.

        Ready for JSON: sets are sorted lists, binary values base64 text, and numbers are int or float
        where those have exactly the same digits, text where not. A side that lacks the attribute is
        left out. Maps are compared by attribute, lists as a whole.

        Raises:
            ImageNotInStream: the stream carries only one of the images, or none.
        """
        return self.images.differences()


@dataclass(frozen=True, slots=True, eq=False)
class Removed(Generic[T_co]):
    """An item that is gone; the fields are those of `Inserted`."""

    keys: Item
    at: datetime
    event_id: str
    sequence_number: str
    shard_id: str
    raw: Item = field(repr=False)
    images: Images[T_co] = field(repr=False)

    @property
    def new(self) -> None:
        """None: there is no item any more."""
        return

    @property
    def old(self) -> T_co:
        """The item as it was, read on first use. Raises ImageNotInStream, ImageMismatchError."""
        return self.images.old

    @property
    def expired(self) -> bool:
        """Whether Time to Live deleted it. Source: DynamoDB dev guide, time-to-live-ttl-streams."""
        return is_expiry(self.raw)

    def changed(self, *paths: str) -> bool:
        """Whether the item had one of `paths`, such as `status` or `address.city`."""
        return self.images.changed(paths)

    def diff(self) -> Differences:
        """Every attribute, as `{"status": {"old": "open"}}`, ready for JSON; see `Modified.diff`."""
        return self.images.differences()


Change: TypeAlias = Inserted[T] | Modified[T] | Removed[T]
"""What happened to one item; `match` over it is exhaustive."""


class Batch(Sequence[X]):
    """The changes of one call, in stream order."""

    __slots__ = ("_failed", "_items")

    def __init__(self, items: Sequence[X] = ()) -> None:
        self._items = tuple(items)
        self._failed: dict[int, BaseException | None] = {}

    def fail(self, item: X, error: BaseException | None = None) -> None:
        """Report that `item` failed: it and all behind it come again, all before it are done.

        That is Lambda's partial batch response, whatever `report_batch_item_failures` says. To give the
        batch up or to choose the delay, raise `Discard` or `Retry` instead.

        Args:
            item: one of this batch, the same object.
            error: why, for the log.

        Raises:
            ValueError: `item` is not in the batch.
        """
        for index, mine in enumerate(self._items):
            if mine is item:
                self._failed[index] = error
                return
        raise ValueError("fail(): this item is not of this batch; pass the object that it gave you")

    @property
    def failed(self) -> dict[int, BaseException | None]:
        """The indexes that `fail` named, ascending, and why."""
        return dict(sorted(self._failed.items()))

    @overload
    def __getitem__(self, index: int) -> X: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[X]: ...  # type: ignore[explicit-any]

    def __getitem__(self, index: int | slice) -> X | Sequence[X]:  # type: ignore[explicit-any]
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[X]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"Batch({len(self._items)} items)"
