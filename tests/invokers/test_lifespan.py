"""Lifespans: entered once, where handlers live, left by the last trigger; failures name the group."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

import pytest
from invokers.handler_stage import Stage, invocation, on_stage, own_streams

from triggerkit.core.outcome import Succeeded
from triggerkit.errors import HandlerError
from triggerkit.invokers.lifespan import LifespanFactory


class Diary:
    """Where and how often a lifespan was entered and left."""

    def __init__(self) -> None:
        self.pages: list[tuple[str, str]] = []

    def note(self, what: str) -> None:
        self.pages.append((what, threading.current_thread().name))

    def what(self) -> list[str]:
        return [what for what, _ in self.pages]

    @contextmanager
    def plain(self) -> Iterator[str]:
        self.note("entered")
        yield "resources"
        self.note("left")

    @asynccontextmanager
    async def on_loop(self) -> AsyncIterator[str]:
        self.note("entered")
        await asyncio.sleep(0)
        yield "resources"
        self.note("left")


SYNC, ASYNC = "triggerkit-handler-notify-1", "triggerkit-handler-loop"


@pytest.mark.parametrize(
    ("lifespan", "handler", "place"),
    [("plain", "sync", SYNC), ("plain", "async", ASYNC), ("on_loop", "async", ASYNC)],
)
def test_it_is_entered_where_its_handler_runs(lifespan: str, handler: str, place: str) -> None:
    diary = Diary()

    def plain(event: object, context: Any) -> None:
        diary.note(context.resources)

    async def on_loop(event: object, context: Any) -> None:
        diary.note(context.resources)

    async def scene(stage: Stage) -> None:
        chosen = plain if handler == "sync" else on_loop
        invoker = stage.invoker(chosen, lifespan=stage.lifespan(getattr(diary, lifespan)))
        await invoker.start()
        assert await invoker.invoke(invocation()) == Succeeded()
        await invoker.close()

    on_stage(scene)
    assert diary.pages == [("entered", place), ("resources", place), ("left", place)]


def test_a_sync_handler_may_have_an_async_lifespan() -> None:
    diary = Diary()

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(
            lambda event, context: diary.note(context.resources),
            lifespan=stage.lifespan(diary.on_loop),
        )
        await invoker.start()
        await invoker.invoke(invocation())
        await invoker.close()

    on_stage(scene)
    assert diary.pages == [("entered", ASYNC), ("resources", SYNC), ("left", ASYNC)]


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("lifespan", ["plain", "on_loop"])
def test_all_triggers_of_a_group_share_one_and_the_last_leaves(
    lifespan: str, *, inline: bool
) -> None:
    diary = Diary()
    found: list[object] = []

    async def scene(stage: Stage) -> None:
        shared = stage.lifespan(getattr(diary, lifespan))
        invokers = [
            stage.invoker(
                lambda event, context: found.append(context.resources), lifespan=shared, name=name
            )
            for name in ("notify", "count", "copy")
        ]
        await asyncio.gather(*(invoker.start() for invoker in invokers))
        for invoker in invokers:
            await invoker.invoke(invocation())
        for invoker in invokers:
            assert diary.what() == ["entered"]
            await invoker.close()

    on_stage(scene, inline=inline)
    assert diary.what() == ["entered", "left"]
    assert found == ["resources"] * 3


def test_a_connection_bound_to_its_thread_works_in_a_sync_handler() -> None:
    @contextmanager
    def database() -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(":memory:")  # refuses every other thread
        yield connection
        connection.close()

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(
            lambda event, context: context.resources.execute("SELECT 1").fetchall() and None,
            lifespan=stage.lifespan(database),
        )
        await invoker.start()
        assert await invoker.invoke(invocation()) == Succeeded()
        await invoker.close()
        assert stage.log.entries == []

    on_stage(scene)


def test_task_groups_inside_an_async_lifespan_are_sound() -> None:
    @asynccontextmanager
    async def with_group() -> AsyncIterator[asyncio.TaskGroup]:
        async with asyncio.TaskGroup() as group, asyncio.timeout(60):
            yield group

    async def handler(event: object, context: Any) -> None:
        await context.resources.create_task(asyncio.sleep(0))

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(handler, lifespan=stage.lifespan(with_group))
        await invoker.start()
        assert await invoker.invoke(invocation()) == Succeeded()
        await invoker.close()
        assert stage.log.entries == []

    on_stage(scene)


def failing_factory() -> AbstractContextManager[None]:
    raise ValueError("no password")


@contextmanager
def failing_sync() -> Iterator[None]:
    raise ValueError("no password")
    yield


@asynccontextmanager
async def failing_async() -> AsyncIterator[None]:
    raise ValueError("no password")
    yield


@contextmanager
def exiting_sync() -> Iterator[None]:
    raise SystemExit(3)
    yield


@asynccontextmanager
async def exiting_async() -> AsyncIterator[None]:
    raise SystemExit(3)
    yield


def undecorated() -> Iterator[None]:
    yield


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (failing_factory, "lifespan of 'shop' failed: ValueError: no password"),
        (failing_sync, "lifespan of 'shop' failed: ValueError: no password"),
        (failing_async, "lifespan of 'shop' failed: ValueError: no password"),
        (exiting_sync, "lifespan of 'shop' failed: Runtime.ExitError: .*exit status 3"),
        (exiting_async, "lifespan of 'shop' failed: Runtime.ExitError: .*exit status 3"),
        (undecorated, "lifespan of 'shop' returned <generator object .* not a context manager"),
    ],
)
def test_a_lifespan_that_fails_is_an_error_with_the_users_own_behind_it(
    factory: LifespanFactory, message: str, *, is_async: bool
) -> None:
    async def on_loop(event: object, context: object) -> None: ...

    async def scene(stage: Stage) -> None:
        handler = on_loop if is_async else (lambda event, context: None)
        invoker = stage.invoker(handler, lifespan=stage.lifespan(factory))
        with pytest.raises(HandlerError, match=message) as failure:
            await invoker.start()
        cause = failure.value.__cause__
        if cause is not None:
            assert cause.__traceback__ is not None
            assert cause.__traceback__.tb_frame.f_code.co_filename == __file__
            assert [entry["exc_info"] for entry in stage.log.named("lifespan_failed")] == [cause]

    on_stage(scene)


def test_what_a_lifespan_raises_at_its_end_is_logged_and_not_raised() -> None:
    @contextmanager
    def badly_left() -> Iterator[None]:
        yield
        raise ValueError("cannot flush")

    @asynccontextmanager
    async def badly_left_on_loop() -> AsyncIterator[None]:
        yield
        raise ValueError("cannot flush")

    async def scene(stage: Stage) -> None:
        for factory in (badly_left, badly_left_on_loop):
            invoker = stage.invoker(lambda event, context: None, lifespan=stage.lifespan(factory))
            await invoker.start()
            await invoker.close()
        told = stage.log.named("lifespan_failed")
        assert [str(entry["exc_info"]) for entry in told] == ["cannot flush"] * 2

    on_stage(scene)


def test_a_lifespan_that_ends_by_itself_is_reported() -> None:
    broken = asyncio.Event()

    @asynccontextmanager
    async def with_background() -> AsyncIterator[None]:
        async def background() -> None:
            await broken.wait()
            raise ValueError("connection lost")

        async with asyncio.TaskGroup() as group:
            group.create_task(background())
            yield

    async def handler(event: object, context: object) -> None:
        broken.set()

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(handler, lifespan=stage.lifespan(with_background))
        await invoker.start()
        await invoker.invoke(invocation())
        async with asyncio.timeout(10):
            while not stage.log.named("lifespan_failed"):
                await asyncio.sleep(0)
        assert len(stage.log.named("lifespan_ended_early")) == 1
        await invoker.close()

    on_stage(scene)


def test_what_a_lifespan_prints_is_logged_under_its_group() -> None:
    @contextmanager
    def talking() -> Iterator[None]:
        print("hello")
        yield

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(lambda event, context: None, lifespan=stage.lifespan(talking))
        await invoker.start()
        await invoker.close()
        (entry,) = stage.log.named("handler_printed")
        assert (entry["message"], entry["group"]) == ("hello", "shop")

    with own_streams():
        on_stage(scene)


def test_a_trigger_without_a_lifespan_has_no_resources() -> None:
    found: list[object] = []

    async def scene(stage: Stage) -> None:
        invoker = stage.invoker(lambda event, context: found.append(context.resources))
        await invoker.start()
        await invoker.invoke(invocation())
        await invoker.close()
        shared = stage.lifespan(lambda: nullcontext(7))
        again = stage.invoker(
            lambda event, context: found.append(context.resources), lifespan=shared
        )
        await again.start()
        await again.invoke(invocation())
        await again.close()

    on_stage(scene)
    assert found == [None, 7]
