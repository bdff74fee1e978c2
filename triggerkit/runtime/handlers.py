"""The invokers of one process: one for each trigger, however many sources it has.

So a sync handler runs one call at a time over all of its sources, and a lifespan is entered once for
all triggers that share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from triggerkit.invokers.calls import Handler, HandlerSettings, ShownRecords
from triggerkit.invokers.environment import function_variables
from triggerkit.invokers.inprocess import InProcessInvoker
from triggerkit.invokers.lifespan import Lifespan, LifespanFactory
from triggerkit.invokers.typed import TypedHandler, typed_handler
from triggerkit.ports import Clock, Invoker
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.pools import HandlerThreads
from triggerkit.settings import MappingPlan
from triggerkit.triggers import Trigger


class Handlers:
    """Async context manager: enters the lifespans, and leaves them when the worker is done."""

    def __init__(
        self, plans: Sequence[MappingPlan], clock: Clock, shown_records: ShownRecords = "none"
    ) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._clock = clock
        self._shown_records: ShownRecords = shown_records
        self._threads = HandlerThreads()
        self._invokers: dict[str, Invoker] = {}
        self._lifespans: dict[int, Lifespan] = {}
        self._closing = AsyncExitStack()

    def invoker(self, trigger: str) -> Invoker:
        """The invoker of a trigger by name."""
        return self._invokers[trigger]

    async def __aenter__(self) -> Self:
        """Start every invoker. Raises HandlerError: a lifespan failed; the others are left again."""
        try:
            self._closing.push_async_callback(self._threads.close)
            for name, plan in self._plans.items():
                invoker = self._build(plan)
                await invoker.start()
                self._invokers[name] = invoker
                self._closing.push_async_callback(invoker.close)
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave every lifespan and stop the handler threads."""
        await self._closing.aclose()

    def _build(self, plan: MappingPlan) -> Invoker:
        options = plan.options
        settings = HandlerSettings(
            is_async=plan.trigger.is_async,
            report_batch_item_failures=options.report_batch_item_failures,
            timeout_seconds=options.timeout,
            maximum_concurrency=options.maximum_concurrency,
            shown_records=self._shown_records,
        )
        return InProcessInvoker(
            plan.name,
            callable_of(plan.trigger),
            settings,
            lifespan=self._lifespan(plan.trigger),
            places=self._threads,
            clock=self._clock,
            log=get_logger().bind(trigger=plan.name),
        )

    def _lifespan(self, trigger: Trigger) -> Lifespan | None:
        factory: LifespanFactory | None = trigger.lifespan
        if factory is None:
            return None
        known = self._lifespans.get(id(factory))
        if known is None:
            name = getattr(factory, "__qualname__", repr(factory))
            log = get_logger()
            known = self._lifespans[id(factory)] = Lifespan(name, factory, log)
        return known


def variables_of(plans: Sequence[MappingPlan], app: str) -> dict[str, str]:
    """Lambda's environment variables for a process that runs `plans`: of its one trigger, else of `app`."""
    name, handler = app, ""
    triggers = {plan.name: plan for plan in plans if plan.options.enabled}
    if len(triggers) == 1:
        ((name, plan),) = triggers.items()
        handler = plan.trigger.origin
    variables = function_variables(name, SystemClock().now().service_seconds)
    return {**variables, "_HANDLER": handler} if handler else variables


def callable_of(trigger: Trigger) -> Handler | TypedHandler:
    """What an invoker calls for `trigger`: the function, or a typed one with its models built.

    Raises:
        HandlerSignatureError: an annotation names what does not exist, or a model cannot be built.
    """
    typing = trigger.typing
    if typing is None:
        return trigger.handler
    return typed_handler(
        typing.annotation,
        trigger.handler,
        is_async=trigger.is_async,
        takes_context=typing.takes_context,
    )


def event_handler_of(trigger: Trigger) -> Handler:
    """The trigger's function as one that takes an event and a context, for a call without a stream.

    Raises:
        HandlerSignatureError: as `callable_of`.
    """
    called = callable_of(trigger)
    return called.as_event_handler() if isinstance(called, TypedHandler) else called
