"""Declaring `.each` and `.batch`: exact functions back, and what their signatures must say."""

from __future__ import annotations

import functools
import gc
import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypedDict, TypeVar, Union

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from triggerkit import Batch, Change, Context, Inserted, Modified, Removed, Triggers
from triggerkit.errors import HandlerSignatureError
from triggerkit.handlers import Typing
from triggerkit.runtime.handlers import callable_of, event_handler_of

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypes

M = TypeVar("M")
ALL = ["INSERT", "MODIFY", "REMOVE"]


class Order(BaseModel):
    id: str


@dataclass
class Plain:
    id: str


class Row(TypedDict):
    id: str


class Foreign:
    id: str


def declared(function: Callable[..., Any], unit: str = "each") -> Typing:
    handlers = Triggers("shop")
    assert getattr(handlers, unit)("dynamodb://orders", name="it")(function) is function
    (trigger,) = handlers.triggers
    assert trigger.typing is not None
    assert trigger.is_async == inspect.iscoroutinefunction(function)
    return trigger.typing


def refused(function: Callable[..., Any], unit: str = "each") -> HandlerSignatureError:
    with pytest.raises(HandlerSignatureError) as caught:
        declared(function, unit)
    assert caught.value.hint
    assert function.__name__ in str(caught.value)
    return caught.value


def annotated(annotation: object) -> Callable[..., Any]:
    """A handler with that annotation, as its module would give it without PEP 563."""

    def handler(given: object) -> None: ...

    handler.__annotations__["given"] = annotation
    return handler


def test_a_declared_function_is_called_as_before() -> None:
    handlers = Triggers("shop")

    @handlers.each("dynamodb://orders")
    def notify(change: Modified[Order], context: Context[None]) -> str:
        return "exact"

    (trigger,) = handlers.triggers
    assert trigger.handler is notify
    assert trigger.name == "notify"
    assert notify(None, None) == "exact"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("annotation", "models"),
    [
        (inspect.Parameter.empty, dict.fromkeys(ALL, dict)),
        (Any, dict.fromkeys(ALL, dict)),
        (object, dict.fromkeys(ALL, dict)),
        (Change, dict.fromkeys(ALL, dict)),
        (Change[Order], dict.fromkeys(ALL, Order)),
        (Inserted, {"INSERT": dict}),
        (Modified[Plain], {"MODIFY": Plain}),
        (Removed[Row], {"REMOVE": Row}),
        (Inserted[M], {"INSERT": dict}),
        (Modified[dict[str, Any]], {"MODIFY": dict[str, Any]}),
        (Modified[Order | Plain], {"MODIFY": Order | Plain}),
        (Modified[Annotated[Order, "note"]], {"MODIFY": Annotated[Order, "note"]}),
        (Annotated[Modified[Order], "note"], {"MODIFY": Order}),
        (Inserted[Order] | Removed[Plain], {"INSERT": Order, "REMOVE": Plain}),
        (Union[Inserted[Order], Removed[Order]], {"INSERT": Order, "REMOVE": Order}),  # noqa: UP007
    ],
    ids=str,
)
def test_the_annotation_says_which_changes_and_what_an_item_is(
    annotation: object, models: dict[str, object]
) -> None:
    function = annotated(annotation)
    if annotation is inspect.Parameter.empty:
        del function.__annotations__["given"]
        assert declared(function, "batch").annotation.models() == models
    else:
        inside = Batch[annotation] if annotation not in (Any, object) else annotation  # type: ignore[valid-type]
        assert declared(annotated(inside), "batch").annotation.models() == models
    assert declared(function).annotation.models() == models


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        dict,
        dict[str, Any],
        Order,
        list[Change[Order]],
        Optional[Modified[Order]],  # noqa: UP045
        Modified[int],
        Modified[str],
        Modified[list[Order]],
        Modified[Foreign],
        Modified[Order] | Modified[Plain],
        Modified[Order | int],
        Inserted[Order] | int,
        "Modified[",
        "1 / 0",
    ],
    ids=str,
)
def test_another_annotation_is_refused_where_it_is_written(annotation: object) -> None:
    error = refused(annotated(annotation))
    assert "first parameter" in str(error)
    refused(annotated(annotation), "batch")


def test_a_batch_for_each_and_a_change_for_batch_are_told_what_to_use() -> None:
    assert ".batch" in refused(annotated(Batch[Change[Order]])).hint
    assert "Batch[Change[Order]]" in refused(annotated(Change[Order]), "batch").hint


def test_a_text_may_name_a_class_of_the_function_around_it() -> None:
    class Local(BaseModel):
        id: str

    handlers = Triggers("shop")

    @handlers.each("dynamodb://orders")
    def notify(change: Modified[Local]) -> None: ...

    @handlers.batch("dynamodb://orders")
    def collect(batch: Batch[Modified[Local]]) -> None: ...

    first, second = handlers.triggers
    assert first.typing is not None
    assert second.typing is not None
    assert first.typing.annotation.models() == {"MODIFY": Local}
    assert second.typing.annotation.models() == {"MODIFY": Local}


def test_a_text_may_name_a_class_further_down_the_module() -> None:
    handlers = Triggers("shop")

    @handlers.each("dynamodb://orders")
    def notify(change: Modified[FurtherDown]) -> None: ...

    (trigger,) = handlers.triggers
    assert callable_of(trigger)


class FurtherDown(BaseModel):
    id: str


def test_a_name_that_never_exists_is_told_when_the_worker_starts() -> None:
    handlers = Triggers("shop")

    @handlers.each("dynamodb://orders")
    def notify(change: Modified[OnlyForTypes]) -> None: ...

    (trigger,) = handlers.triggers
    with pytest.raises(HandlerSignatureError, match="OnlyForTypes") as caught:
        callable_of(trigger)
    assert "TYPE_CHECKING" in caught.value.hint
    assert "notify" in str(caught.value)


def test_a_model_that_cannot_be_built_is_told_when_the_worker_starts() -> None:
    @dataclass
    class Odd:
        inner: Foreign

    handlers = Triggers("shop")
    handlers.each("dynamodb://orders", name="it")(annotated(Modified[Odd]))
    (trigger,) = handlers.triggers
    with pytest.raises(HandlerSignatureError, match="Odd cannot be read"):
        callable_of(trigger)


def test_a_declaration_keeps_nothing_of_the_function_around_it_alive() -> None:
    def declare() -> tuple[Triggers[None], weakref.ref[Foreign]]:
        large = Foreign()
        handlers = Triggers("shop")

        @handlers.each("dynamodb://orders")
        def notify(change: Modified[Order]) -> None: ...

        return handlers, weakref.ref(large)

    handlers, seen = declare()
    gc.collect()
    assert handlers.triggers
    assert seen() is None


# --- the context ----------------------------------------------------------------------------------


def one(change: Change[Order]) -> None: ...
def with_context(change: Change[Order], context: Context[None]) -> None: ...
def with_powertools(change: Change[Order], context: LambdaContext) -> None: ...
def with_anything(change, ctx): ...  # type: ignore[no-untyped-def]
def with_none(change: Change[Order], context: Context[None] | None = None) -> None: ...
def with_more(change: Change[Order], *, retries: int = 3) -> None: ...
def with_rest(*args: Any) -> None: ...
def positional(change: Change[Order], context: Any, /) -> None: ...
async def async_one(change: Change[Order]) -> None: ...


class Callable_:  # noqa: N801
    __name__ = "callable"

    def __call__(self, change: Modified[Order], context: Any) -> None: ...

    def method(self, change: Modified[Order]) -> None: ...


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


@pytest.mark.parametrize(
    ("function", "takes"),
    [
        (one, False),
        (with_context, True),
        (with_powertools, True),
        (with_anything, True),
        (with_none, True),
        (with_more, False),
        (with_rest, True),
        (positional, True),
        (async_one, False),
        (functools.partial(with_more, retries=4), False),
        (wrapped(one), False),
        (wrapped(with_context), True),
        (Callable_(), True),
        (Callable_().method, False),
    ],
    ids=lambda value: getattr(
        value, "__name__", type(value).__name__ if callable(value) else str(value)
    ),
)
def test_the_context_is_for_a_second_positional_parameter(
    function: Callable[..., Any], takes: bool
) -> None:
    assert declared(function).takes_context is takes


@pytest.mark.parametrize("function", [Callable_(), Callable_().method], ids=["object", "method"])
def test_the_annotation_of_a_callable_object_counts(function: Callable[..., Any]) -> None:
    assert declared(function).annotation.models() == {"MODIFY": Order}


def none() -> None: ...
def three(change: Any, context: Any, third: Any) -> None: ...
def keyword(change: Any, *, name: str) -> None: ...
def own_default(change: Any, retries: int = 3) -> None: ...
def only_keyword(*, change: Any) -> None: ...


@pytest.mark.parametrize("function", [none, three, keyword, own_default, only_keyword])
@pytest.mark.parametrize("unit", ["each", "batch"])
def test_other_parameters_are_refused_with_the_right_ones(
    function: Callable[..., Any], unit: str
) -> None:
    error = refused(function, unit)
    what = "change" if unit == "each" else "batch"
    assert f"handler({what}) or handler({what}, context)" in str(error)


def test_a_generator_is_refused_as_a_typed_handler_too() -> None:
    def generator(change: Change[Order]) -> Any:
        yield

    assert "generator" in str(refused(generator))


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(HandlerSignatureError, match="not a function"):
        Triggers("shop").each("dynamodb://orders")(7)  # type: ignore[type-var]


# --- one event, without a stream ------------------------------------------------------------------


def element(number: str, name: str = "INSERT") -> dict[str, Any]:
    images = {"NewImage": {"id": {"S": number}}, "Keys": {"id": {"S": number}}}
    return {"eventName": name, "dynamodb": {**images, "SequenceNumber": number}}


def event_handler(function: Callable[..., Any], unit: str) -> Callable[[Any, Any], Any]:
    handlers = Triggers("shop")
    getattr(handlers, unit)("dynamodb://orders", name="it")(function)
    (trigger,) = handlers.triggers
    return event_handler_of(trigger)


def test_a_typed_handler_can_be_called_with_an_event() -> None:
    seen: list[object] = []

    def handler(change: Inserted[Order], context: object) -> None:
        seen.extend([change.new, context])

    event = {"Records": [element("1"), element("2", "MODIFY")]}
    assert event_handler(handler, "each")(event, "context") is None
    assert seen == [Order(id="1"), "context"]


def test_an_event_handler_is_called_as_it_is() -> None:
    def handler(event: object, context: object) -> tuple[object, object]:
        return event, context

    assert event_handler(handler, "on")("event", "context") == ("event", "context")


def test_a_batch_answers_an_event_with_the_failures_that_it_named() -> None:
    def handler(batch: Batch[Inserted[Order]]) -> None:
        batch.fail(batch[1])

    event = {"Records": [element("1"), element("2")]}
    answer = event_handler(handler, "batch")(event, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}]}


def test_an_async_typed_handler_answers_an_event_when_awaited() -> None:
    async def collect(batch: Batch[Inserted[Order]]) -> str:
        return batch[0].new.id

    async def notify(change: Inserted[Order]) -> None:
        raise ValueError(change.new.id)

    event = {"Records": [element("1")]}
    with pytest.raises(StopIteration) as ended:
        event_handler(collect, "batch")(event, None).send(None)
    assert ended.value.value == "1"
    with pytest.raises(ValueError, match="1"):
        event_handler(notify, "each")(event, None).send(None)
