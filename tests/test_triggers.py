"""Triggers: declaring returns the function, refuses what cannot work, and imports nothing heavy."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

import triggerkit
from triggerkit import Triggers
from triggerkit.errors import (
    DuplicateTriggerError,
    HandlerSignatureError,
    LocatorError,
    OptionError,
    UsageError,
)

ORDERS = "dynamodb://orders"


def handler(event: Any, context: Any) -> None:
    """Stands for a handler."""


async def async_handler(event: Any, context: Any) -> None:
    """Stands for an async handler."""


def test_the_decorated_function_comes_back_unchanged() -> None:
    handlers = Triggers("shop")
    assert handlers.on(ORDERS)(handler) is handler
    assert handlers.on(ORDERS, name="other")(async_handler) is async_handler


def test_a_trigger_keeps_what_was_declared() -> None:
    handlers = Triggers("shop", batch_size=10, enabled=False)
    handlers.on(ORDERS, "dynamodb://${PREFIX}users", batch_size=5)(handler)
    (trigger,) = handlers.triggers
    assert trigger.name == "handler"
    assert trigger.handler is handler
    assert trigger.sources == (ORDERS, "dynamodb://${PREFIX}users")
    assert dict(trigger.options) == {"batch_size": 5}
    assert dict(trigger.defaults) == {"batch_size": 10, "enabled": False}
    assert not trigger.is_async
    assert trigger.lifespan is None
    assert trigger.origin.endswith("test_triggers.handler")


def test_one_function_may_be_two_triggers() -> None:
    handlers = Triggers()
    handlers.on(ORDERS, name="a")(handlers.on(ORDERS, name="b")(handler))
    assert [trigger.name for trigger in handlers.triggers] == ["b", "a"]


class Callable2:
    def __call__(self, event: Any, context: Any) -> None:
        """A handler with state."""


class AsyncCallable:
    async def __call__(self, event: Any, context: Any) -> None:
        """An async handler with state."""


def with_extra(extra: int, event: Any, context: Any) -> None:
    """Needs functools.partial."""


@pytest.mark.parametrize(
    ("declared", "is_async"),
    [
        (handler, False),
        (async_handler, True),
        (Callable2(), False),
        (AsyncCallable(), True),
        (functools.partial(async_handler), True),
        (functools.partial(functools.partial(with_extra), 1), False),
        (lambda event, context: None, False),
        (lambda *arguments: None, False),
        (lambda event, context, more=1: None, False),
    ],
)
def test_anything_that_takes_event_and_context_is_a_handler(declared: Any, is_async: bool) -> None:
    handlers = Triggers()
    handlers.on(ORDERS, name="n")(declared)
    assert handlers.triggers[0].is_async is is_async


def no_argument() -> None:
    """Takes too little."""


def one_argument(event: Any) -> None:
    """Takes too little."""


def three_arguments(event: Any, context: Any, third: Any) -> None:
    """Takes too much."""


def keyword_only(event: Any, *, context: Any) -> None:
    """Cannot be called with positions."""


@pytest.mark.parametrize("wrong", [no_argument, one_argument, three_arguments, keyword_only])
def test_a_handler_of_another_shape_is_named_with_its_signature(wrong: Any) -> None:
    with pytest.raises(HandlerSignatureError) as caught:
        Triggers().on(ORDERS)(wrong)
    assert f"test_triggers.{wrong.__name__}(" in caught.value.message
    assert "handler(event, context)" in caught.value.message
    assert "def NAME(event, context)" in caught.value.hint


def generator(event: Any, context: Any) -> Iterator[int]:
    yield 1


async def async_generator(event: Any, context: Any) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("wrong", [generator, async_generator])
def test_a_generator_is_refused_since_calling_it_runs_nothing(wrong: Any) -> None:
    with pytest.raises(HandlerSignatureError, match="is a generator"):
        Triggers().on(ORDERS)(wrong)


def test_what_is_no_function_is_refused() -> None:
    wrong: Any = "text"
    with pytest.raises(HandlerSignatureError, match="'text' is not a function"):
        Triggers().on(ORDERS)(wrong)


@pytest.mark.parametrize("method", ["on", "each", "batch"])
def test_c7_a_decorator_without_parentheses_is_refused_at_its_line(method: str) -> None:
    handlers: Any = Triggers()
    with pytest.raises(UsageError, match=r"got .*test_triggers\.handler") as refused:
        getattr(handlers, method)(handler)
    assert f'write @handlers.{method}("dynamodb://TABLE") above' in refused.value.hint
    assert handlers.triggers == ()


def test_c7_a_handler_among_the_sources_is_refused_too() -> None:
    handlers: Any = Triggers()
    for given in (Callable2(), functools.partial(handler, context=None), lambda event: None):
        with pytest.raises(UsageError, match="declares nothing"):
            handlers.on("dynamodb://orders", given)


def test_an_object_with_a_func_of_its_own_is_no_partial() -> None:
    handlers = Triggers()

    class Answering:
        """Has every attribute, `func` among them, as a mock has."""

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return self

        def __call__(self, event: Any, context: Any) -> None: ...

    given = Answering()
    assert handlers.on(ORDERS, name="mocked")(given) is given
    assert not handlers.triggers[0].is_async


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(UsageError, match="has no name to keep state under"):
        Triggers().on(ORDERS)(lambda event, context: None)


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a@b", "a*", "a=b"])
def test_a_name_that_cannot_be_part_of_a_lease_key_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Triggers().on(ORDERS, name=name)(handler)
    assert repr(name) in caught.value.message
    assert "letters, digits" in caught.value.hint


def test_the_name_of_a_group_obeys_the_same_rule() -> None:
    with pytest.raises(UsageError, match="Triggers name 'a:b'"):
        Triggers("a:b")


def test_two_triggers_with_one_name_are_refused_at_the_second() -> None:
    handlers = Triggers()
    handlers.on(ORDERS)(handler)
    with pytest.raises(DuplicateTriggerError) as caught:
        handlers.on("dynamodb://users")(handler)
    assert "two triggers are named 'handler'" in caught.value.message
    assert "prefix" in caught.value.hint
    assert len(handlers.triggers) == 1


def test_a_source_given_twice_is_refused() -> None:
    with pytest.raises(LocatorError, match="'dynamodb://orders' is given twice"):
        Triggers().on(ORDERS, ORDERS)(handler)


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    wrong: Any = {"batch_sise": 5}
    with pytest.raises(OptionError, match="trigger 'handler': unknown option 'batch_sise'") as one:
        Triggers().on(ORDERS, **wrong)(handler)
    assert one.value.hint == "did you mean batch_size?"
    with pytest.raises(OptionError, match=r"Triggers\('shop'\): unknown option 'batch_sise'"):
        Triggers("shop", **wrong)
    wrong = {"zzz": 5}
    with pytest.raises(OptionError) as other:
        Triggers(**wrong)
    assert other.value.hint.startswith("known: batch_size, ")


def test_included_groups_keep_their_order_and_get_the_prefix() -> None:
    orders, users, shop = Triggers("orders"), Triggers("users"), Triggers("shop")
    orders.on(ORDERS)(handler)
    users.on("dynamodb://users")(handler)
    shop.on(ORDERS)(async_handler)
    shop.include(orders, prefix="orders.")
    shop.include(users)
    assert [t.name for t in shop.triggers] == ["async_handler", "orders.handler", "handler"]
    assert [t.name for t in orders.triggers] == ["handler"]


def test_what_a_group_declares_after_it_was_included_counts_too() -> None:
    orders, shop = Triggers(), Triggers()
    shop.include(orders)
    orders.on(ORDERS)(handler)
    assert [trigger.name for trigger in shop.triggers] == ["handler"]


def test_the_defaults_and_the_lifespan_of_the_nearest_group_win() -> None:
    @contextmanager
    def outer_resources() -> Iterator[int]:
        yield 1

    @contextmanager
    def inner_resources() -> Iterator[int]:
        yield 2

    inner = Triggers(lifespan=inner_resources, batch_size=1)
    plain = Triggers(batch_size=2)
    middle = Triggers(maximum_retry_attempts=3)
    outer = Triggers(lifespan=outer_resources, batch_size=9, maximum_retry_attempts=9, timeout=9)
    inner.on(ORDERS, name="inner")(handler)
    plain.on(ORDERS, name="plain")(handler)
    middle.include(inner, plain)
    outer.include(middle)
    first, second = outer.triggers
    assert dict(first.defaults) == {"batch_size": 1, "maximum_retry_attempts": 3, "timeout": 9}
    assert first.lifespan is inner_resources
    assert second.defaults["batch_size"] == 2
    assert second.lifespan is outer_resources


def test_two_groups_with_one_name_are_refused_at_the_include() -> None:
    orders, users, shop = Triggers(), Triggers(), Triggers()
    orders.on(ORDERS)(handler)
    users.on(ORDERS)(handler)
    shop.include(orders)
    with pytest.raises(DuplicateTriggerError):
        shop.include(users)
    with pytest.raises(DuplicateTriggerError):
        shop.include(orders)
    shop.include(users, prefix="users.")
    assert [trigger.name for trigger in shop.triggers] == ["handler", "users.handler"]


def test_a_name_that_comes_to_clash_after_the_include_is_found_when_triggers_are_read() -> None:
    orders, shop = Triggers(), Triggers()
    shop.on(ORDERS)(handler)
    shop.include(orders)
    orders.on(ORDERS)(handler)
    with pytest.raises(DuplicateTriggerError):
        _ = shop.triggers


def test_a_group_cannot_include_itself_at_any_depth() -> None:
    inner, middle, outer = Triggers("inner"), Triggers("middle"), Triggers("outer")
    outer.include(middle)
    middle.include(inner)
    for group, other in ((outer, outer), (inner, outer), (middle, outer)):
        with pytest.raises(UsageError, match="would include itself"):
            group.include(other)


def test_a_module_is_no_group() -> None:
    wrong: Any = triggerkit
    with pytest.raises(UsageError, match="not a Triggers"):
        Triggers().include(wrong)


def test_a_prefix_that_cannot_be_part_of_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="prefix 'a:'"):
        Triggers().include(Triggers(), prefix="a:")


def test_a_lifespan_is_passed_uncalled() -> None:
    @asynccontextmanager
    async def resources() -> AsyncIterator[int]:
        yield 1

    for wrong in (resources(), generator, async_generator, 7):
        given: Any = wrong
        with pytest.raises(UsageError, match="does not return a context manager") as caught:
            Triggers("shop", lifespan=given)
        assert "uncalled" in caught.value.hint
    assert Triggers(lifespan=resources).triggers == ()


def test_the_package_exports_what_it_lists() -> None:
    for name in triggerkit.__all__:
        assert getattr(triggerkit, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = triggerkit.Nothing


def test_importing_the_package_and_declaring_a_trigger_loads_nothing_heavy() -> None:
    code = (
        "import json, sys, triggerkit\n"
        "h = triggerkit.Triggers('a', batch_size=1)\n"
        "h.on('dynamodb://t')(print)\n"
        "print(json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(done.stdout))
    heavy = {"boto3", "botocore", "httptools", "pydantic", "msgspec", "structlog", "click", "rich"}
    assert not heavy & loaded
    assert "asyncio" not in loaded
