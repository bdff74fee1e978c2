"""What the annotation of a typed handler asks for; light, since it is read at the line that declares the handler.

The annotation of the first parameter names the kinds of change that the handler is called for and the
type of an item. Nothing heavy is imported here; whether a model can be built shows when the worker starts.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from triggerkit.core.changes import Batch, EventName, Inserted, Modified, Removed
from triggerkit.errors import HandlerSignatureError

Unit: TypeAlias = Literal["each", "batch"]
Models: TypeAlias = Mapping[EventName, object]
"""The kinds of change that a handler is called for, each with the type of its item."""

_KINDS: dict[object, EventName] = {Inserted: "INSERT", Modified: "MODIFY", Removed: "REMOVE"}
_ANYTHING = (Any, object)
_EXAMPLES: dict[Unit, str] = {
    "each": "annotate it Change[Order], Inserted[Order], Modified[Order] or Removed[Order]",
    "batch": "annotate it Batch[Change[Order]] or Batch[Modified[Order]]",
}


class UnresolvedName(Exception):  # noqa: N818 - caught here and by the declaration, seen by nobody
    """A name in an annotation that does not exist yet."""


@dataclass(frozen=True, slots=True)
class HandlerAnnotation:
    """The annotation of a handler's first parameter as written, text under PEP 563.

    `names` are the globals of the handler's module, live, and what a text names in the function around it.
    """

    unit: Unit
    annotation: object
    where: str
    module_names: Mapping[str, Any] = field(repr=False)
    local_names: Mapping[str, Any] = field(repr=False)

    def models(self) -> Models:
        """The kinds of change and their types.

        Raises:
            UnresolvedName: a name in it does not exist (yet).
            HandlerSignatureError: it is no annotation of a typed handler.
        """
        wanted = self._resolved()
        if self.unit == "batch":
            wanted = self._inside_batch(wanted)
        found = self._kinds_in(wanted)
        for model in found.values():
            if not _can_be_item(model):
                raise self._wrong(
                    f"takes items as {_shown(model)}, and an item is a map of attributes",
                    "use a pydantic model, a dataclass, a TypedDict or dict",
                )
        return found

    def checked_models(self) -> Models:
        """The same, where every name must exist by now. Raises HandlerSignatureError."""
        try:
            return self.models()
        except UnresolvedName as error:
            raise self._wrong(
                f"is annotated {_shown(self.annotation)}, which cannot be resolved: {error}",
                "import the name where the handler is defined, not under `if TYPE_CHECKING:`",
            ) from None

    def _resolved(self) -> object:
        around = types.SimpleNamespace(__annotations__={"wanted": self.annotation})
        try:
            hints = typing.get_type_hints(
                around, dict(self.module_names), dict(self.local_names), include_extras=True
            )
        except NameError as error:
            raise UnresolvedName(str(error)) from None
        except Exception as error:  # noqa: BLE001 - an annotation is code and may raise anything
            raise self._wrong(
                f"is annotated {_shown(self.annotation)}, which fails: {error}",
                _EXAMPLES[self.unit],
            ) from None
        return _bare(hints["wanted"])

    def _inside_batch(self, wanted: object) -> object:
        if wanted in _ANYTHING or wanted is Batch:
            return object
        if get_origin(wanted) is Batch:
            (inner,) = get_args(wanted)
            return _bare(inner)
        raise self._wrong(f"is annotated {_shown(self.annotation)}", _EXAMPLES["batch"])

    def _kinds_in(self, wanted: object) -> dict[EventName, object]:
        if wanted in _ANYTHING or isinstance(wanted, TypeVar):
            return dict.fromkeys(_KINDS.values(), dict)
        found: dict[EventName, object] = {}
        members = get_args(wanted) if _is_union(wanted) else (wanted,)
        for member in map(_bare, members):
            kind = _KINDS.get(get_origin(member) or member)
            if kind is None or kind in found:
                raise self._not_a_change(wanted)
            (model,) = get_args(member) or (dict,)
            found[kind] = dict if isinstance(model, TypeVar) else _bare(model)
        return found

    def _not_a_change(self, wanted: object) -> HandlerSignatureError:
        if self.unit == "each" and Batch in (wanted, get_origin(wanted)):
            return self._wrong(
                "takes a Batch, but .each gives one change", "declare it with .batch"
            )
        return self._wrong(f"is annotated {_shown(self.annotation)}", _EXAMPLES[self.unit])

    def _wrong(self, what: str, hint: str) -> HandlerSignatureError:
        return HandlerSignatureError(
            f"handler {self.where}: its first parameter {what}", hint=f"{hint}, or not at all"
        )


def _bare(annotation: object) -> object:
    """Without `Annotated` (of a change, not of a model) and without the name of a `type` alias."""
    while True:
        if get_origin(annotation) is Annotated and _mentions_changes(get_args(annotation)[0]):
            annotation = get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__  # type: ignore[attr-defined]  # Python 3.12
        else:
            return annotation


def _mentions_changes(annotation: object) -> bool:
    origin = get_origin(annotation) or annotation
    return origin is Batch or origin in _KINDS or _is_union(annotation)


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _can_be_item(model: object) -> bool:
    if get_origin(model) is Annotated:
        return _can_be_item(get_args(model)[0])
    if _is_union(model):
        return all(map(_can_be_item, get_args(model)))
    if model in _ANYTHING:
        return True
    kind = get_origin(model) or model
    return (
        kind in (dict, Mapping)
        or (isinstance(kind, type) and dataclasses.is_dataclass(kind))
        or hasattr(kind, "__required_keys__")  # a TypedDict, also of typing_extensions
        or hasattr(kind, "__get_pydantic_core_schema__")
    )


def _shown(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
