"""DynamoDB's item JSON as Python values. Rule: exact; a number is its own digits and never a float on its way.

Source: DynamoDB API reference, API_AttributeValue and API_streams_StreamRecord.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, Generic, TypeAlias, TypeVar

from triggerkit.core.changes import Differences, Item
from triggerkit.errors import ImageMismatchError, ImageNotInStream

T = TypeVar("T")
Wire: TypeAlias = dict[str, Any]
"""One attribute value as the stream has it: `{"S": "x"}`."""
WireImage: TypeAlias = dict[str, Wire]

_UNREAD: Final = object()
_BOTH: Final = "NEW_AND_OLD_IMAGES"


def decoded(image: WireImage) -> Item:
    """The item, fresh: numbers are Decimal, sets are set, binary values bytes.

    Raises:
        ImageMismatchError: an attribute is no value of DynamoDB's; names it, not what it holds.
    """
    item: Item = {}
    for name, wire in image.items():
        try:
            item[name] = value_of(wire)
        except Exception:  # noqa: BLE001 - whatever an endpoint sent: the attribute is what matters
            raise ImageMismatchError(
                f"attribute {name!r} is no attribute value of DynamoDB",
                hint='the endpoint of the stream must send it as {"S": "text"}, {"N": "1"} and so on',
            ) from None
    return item


def value_of(wire: Wire) -> Any:
    """One attribute value. Raises ValueError: no type of DynamoDB's, or not of the type it names."""
    kind, inner = _typed(wire)
    if kind == "S":
        return inner
    read = _READ.get(kind)
    if read is None:
        raise ValueError(f"{kind} is no attribute type of DynamoDB")
    return read(inner)


def _typed(wire: Wire) -> tuple[str, Any]:
    """The type and the value in it; DynamoDB Local 3 writes an empty map as `{}`, not as `{"M": {}}`."""
    for pair in wire.items():
        return pair
    return "M", {}


def _same(inner: Any) -> Any:
    return inner


_READ: dict[str, Callable[[Any], Any]] = {
    "S": _same,
    "N": Decimal,
    "BOOL": _same,
    "NULL": lambda _: None,
    "M": lambda inner: {name: value_of(wire) for name, wire in inner.items()},
    "L": lambda inner: [value_of(each) for each in inner],
    "SS": set,
    "NS": lambda inner: {Decimal(each) for each in inner},
    "B": b64decode,
    "BS": lambda inner: {b64decode(each) for each in inner},
}


def for_json(wire: Wire) -> Any:
    """One attribute value for `json.dumps`; binary stays base64 text, sets are sorted."""
    kind, inner = _typed(wire)
    match kind:
        case "N":
            return _number(inner)
        case "NULL":
            return None
        case "M":
            return {name: for_json(each) for name, each in inner.items()}
        case "L":
            return [for_json(each) for each in inner]
        case "NS":
            return [_number(each) for each in sorted(inner, key=Decimal)]
        case "SS" | "BS":
            return sorted(inner)
        case _:
            return inner


def _number(digits: str) -> int | float | str:
    exact = Decimal(digits)
    if exact == exact.to_integral_value():
        return int(exact)
    near = float(exact)
    return near if Decimal(repr(near)) == exact else digits


class StreamImages(Generic[T]):
    """Implements `core.changes.Images` over the `dynamodb` part of one record.

    Args:
        change: that part, as Lambda's event has it.
        read: makes a `T` of an item.
        stream_arn: for messages.
        inserted: no old image belongs to this change.
        removed: no new image belongs to it.
    """

    __slots__ = (
        "_change",
        "_inserted",
        "_new",
        "_old",
        "_read",
        "_removed",
        "_stream_arn",
        "misfit",
    )

    def __init__(
        self,
        change: dict[str, Any],
        read: Callable[[Item], T],
        *,
        stream_arn: str = "",
        inserted: bool = False,
        removed: bool = False,
    ) -> None:
        self._change = change
        self._read = read
        self._stream_arn = stream_arn
        self._inserted = inserted
        self._removed = removed
        self._new: Any = _UNREAD
        self._old: Any = _UNREAD
        self.misfit: Exception | None = None
        """Why an image could not be read, once it was tried."""

    @property
    def new(self) -> T:
        """The item after the change; one object, however often it is asked for."""
        if self._new is _UNREAD:
            self._new = self._as_model("NewImage")
        value: T = self._new
        return value

    @property
    def old(self) -> T:
        """The item before the change; one object, however often it is asked for."""
        if self._old is _UNREAD:
            self._old = self._as_model("OldImage")
        value: T = self._old
        return value

    def carries(self, name: str) -> bool:
        """Whether the stream sent that image, `NewImage` or `OldImage`."""
        return name in self._change

    def changed(self, paths: Sequence[str]) -> bool:
        """Whether one of `paths` differs; without paths, whether anything does."""
        old, new = self._both()
        if not paths:
            return not _equal({"M": old}, {"M": new})
        return any(_differs(_lookup(old, path), _lookup(new, path)) for path in paths)

    def differences(self) -> Differences:
        """Every attribute that differs, maps by attribute."""
        old, new = self._both()
        return dict(_differences(old, new, ""))

    def _both(self) -> tuple[WireImage, WireImage]:
        old = {} if self._inserted else self._image("OldImage")
        return old, {} if self._removed else self._image("NewImage")

    def _as_model(self, name: str) -> T:
        image = self._image(name)
        try:
            return self._read(decoded(image))
        except Exception as error:
            self.misfit = error
            raise

    def _image(self, name: str) -> WireImage:
        image: WireImage | None = self._change.get(name)
        if image is not None:
            return image
        table = _table_of(self._stream_arn)
        view = self._change.get("StreamViewType", "unknown")
        what = "new" if name == "NewImage" else "old"
        raise ImageNotInStream(
            f"the stream of table {table!r} carries no {what} images: its view type is {view}",
            hint=f"run: triggerkit enable-stream {table} {_BOTH} (a stream with another view type "
            "must be turned off first)",
        )


def _table_of(stream_arn: str) -> str:
    """`arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL`."""
    _, _, rest = stream_arn.partition(":table/")
    return rest.partition("/")[0] or "TABLE"


def _lookup(image: WireImage, path: str) -> Wire | None:
    if path in image:  # also an attribute with a dot in its name
        return image[path]
    here: Wire = {"M": image}
    for step in path.split("."):
        match _typed(here):
            case ("M", inner) if step in inner:
                here = inner[step]
            case ("L", inner) if step.isdecimal() and int(step) < len(inner):
                here = inner[int(step)]
            case _:
                return None
    return here


def _differs(old: Wire | None, new: Wire | None) -> bool:
    if old is None or new is None:
        return old is not new
    return not _equal(old, new)


def _equal(old: Wire, new: Wire) -> bool:
    """The same value: sets in any order, numbers by value, text apart from numbers."""
    if old == new:
        return True
    (kind, before), (other, now) = _typed(old), _typed(new)
    if kind != other:
        return False
    match kind:
        case "M":
            return before.keys() == now.keys() and all(_equal(before[n], now[n]) for n in before)
        case "L":
            return len(before) == len(now) and all(map(_equal, before, now))
        case _:
            return bool(value_of(old) == value_of(new))


def _differences(
    old: WireImage, new: WireImage, prefix: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in (*old, *(name for name in new if name not in old)):
        before, now = old.get(name), new.get(name)
        if not _differs(before, now):
            continue
        if before is not None and now is not None:
            (kind, inside), (other, inside_now) = _typed(before), _typed(now)
            if kind == other == "M":
                yield from _differences(inside, inside_now, f"{prefix}{name}.")
                continue
        sides = {"old": before, "new": now}
        yield (
            f"{prefix}{name}",
            {side: for_json(wire) for side, wire in sides.items() if wire is not None},
        )
