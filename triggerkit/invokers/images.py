"""The images of one stream record, each decoded at most once.

Source: DynamoDB API reference, API_streams_StreamRecord.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from triggerkit.core.changes import Differences, Item
from triggerkit.core.item_json import (
    Wire,
    WireImage,
    decoded,
    differences,
    equal,
    for_json,
    kind_of,
)
from triggerkit.errors import ImageNotInStream

T = TypeVar("T")
_UNREAD: Final = object()
_BOTH: Final = "NEW_AND_OLD_IMAGES"


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
            return not equal({"M": old}, {"M": new})
        return any(not equal(_lookup(old, path), _lookup(new, path)) for path in paths)

    def differences(self) -> Differences:
        """Every attribute that differs, maps by attribute."""
        old, new = self._both()
        found: Differences = {}
        for path, *sides in differences(old, new):
            pairs = zip(("old", "new"), sides, strict=True)
            found[path] = {side: for_json(wire) for side, wire in pairs if wire is not None}
        return found

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
        match kind_of(here):
            case ("M", inner) if step in inner:
                here = inner[step]
            case ("L", inner) if step.isdecimal() and int(step) < len(inner):
                here = inner[int(step)]
            case _:
                return None
    return here
