"""Items as the type that a handler asks for. A mismatch names field and type, never a value.

What pydantic says about an error may quote the input, and a key of a map is input too: only the names
that the type itself declares are shown.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, NotRequired, Required, TypeAlias, Union, get_args, get_origin

import typing_extensions
from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from triggerkit.core.changes import Item
from triggerkit.errors import HandlerSignatureError, ImageMismatchError

Reader: TypeAlias = Callable[[Item], Any]
_SHOWN_ERRORS = 5
_OPEN = (Any, object)


def reader_of(model: Any, where: str) -> Reader:
    """What makes a `model` of an item.

    Args:
        model: a pydantic model, dataclass, TypedDict, or dict, which gets the item as it is.
        where: the handler, for messages.

    Raises:
        HandlerSignatureError: pydantic cannot read into it.
    """
    adapter = adapter_of(model, where)
    if adapter is None:
        return _as_it_is
    fields = frozenset(_declared(adapter.core_schema))
    validate, name = adapter.validate_python, name_of(model)

    def read(item: Item) -> Any:
        try:
            return validate(item)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
        # Outside of `except`: the error of pydantic shows values and must not come along.
        raise ImageMismatchError(
            f"an item does not fit {name}: {_told(problems, fields)}",
            hint=f"change {name}, or the program that writes such items",
        )

    return read


def adapter_of(model: Any, where: str) -> TypeAdapter[Any] | None:
    """What reads a `model`, with its schema complete; None for dict, which takes every item.

    Raises:
        HandlerSignatureError: pydantic cannot read into it.
    """
    if _is_plain(model):
        return None
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_readable(model))
        if not getattr(adapter, "pydantic_complete", True):  # it would tell at the first item
            adapter.rebuild(raise_errors=True)
        _ = adapter.core_schema
    except (PydanticUserError, NameError, TypeError) as error:
        raise HandlerSignatureError(
            f"handler {where}: {name_of(model)} cannot be read from an item: {error}",
            hint="check the annotations of its fields",
        ) from error
    return adapter


def _as_it_is(item: Item) -> Item:
    return item


def _is_plain(model: object) -> bool:
    if model in (dict, Mapping, *_OPEN):
        return True
    return get_origin(model) in (dict, Mapping) and get_args(model)[1] in _OPEN


def name_of(model: object) -> str:
    """The name of a type, as messages show it."""
    return model.__name__ if isinstance(model, type) else str(model)


def _told(problems: list[ErrorDetails], fields: frozenset[str]) -> str:
    shown = [f"{_place(p['loc'], fields)} ({p['type']})" for p in problems[:_SHOWN_ERRORS]]
    more = len(problems) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _place(location: tuple[int | str, ...], fields: frozenset[str]) -> str:
    steps = (str(s) if isinstance(s, int) or s in fields else "*" for s in location)
    return ".".join(steps) or "the item"


def _declared(schema: Any) -> typing.Iterator[str]:
    """The names of all fields and aliases in a core schema, and of the types in its unions."""
    if isinstance(schema, dict):
        if schema.get("type") in ("model-fields", "typed-dict"):
            yield from schema["fields"]
        for part in ("name", "validation_alias", "cls_name", "type"):
            if isinstance(value := schema.get(part), str):
                yield value
        for name, inner in schema.items():
            if name not in ("metadata", "serialization", "default"):
                yield from _declared(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from _declared(inner)


def _readable(model: Any) -> Any:
    """`model` with each TypedDict of `typing` as one that pydantic reads on this Python.

    Source: pydantic's error `typed-dict-version`.
    """
    if sys.version_info >= (3, 12):
        return model
    if typing.is_typeddict(model) and type(model).__module__ == "typing":
        return _rebuilt(model)
    given = get_args(model)
    args = tuple(_readable(arg) for arg in given)
    if args == given:
        return model
    origin: Any = get_origin(model)
    if origin is Annotated:
        return Annotated[(args[0], *model.__metadata__)]
    if origin in (Union, UnionType):
        return Union[args]  # noqa: UP007 - of as many as there are
    return origin[args]


def _rebuilt(model: Any) -> Any:
    fields: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(model, include_extras=True).items():
        # under PEP 563 `__required_keys__` knows the class's own `total` only, not what a field says
        wrap: Any = Required if name in model.__required_keys__ else NotRequired
        if get_origin(hint) in (Required, NotRequired):
            wrap = get_origin(hint)
            (hint,) = get_args(hint)
        fields[name] = wrap[_readable(hint)]
    return typing_extensions.TypedDict(model.__name__, fields)  # type: ignore[operator]
