"""`triggerkit invoke`. Rule: the handler runs as in a worker, once, and nothing else is touched."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import click

from triggerkit.cli.flags import configuration_flags, load, read_flags, target_argument
from triggerkit.cli.output import print_json
from triggerkit.core.model import Batch, Record
from triggerkit.core.outcome import Outcome, PartlyFailed, Succeeded
from triggerkit.core.payloads import function_arn
from triggerkit.errors import HandlerError, UsageError
from triggerkit.invokers.context import InvocationContext
from triggerkit.invokers.endings import ending_of_result, without_own_frames
from triggerkit.runtime.clock import monotonic_seconds
from triggerkit.settings import MappingPlan


@click.command(
    "invoke",
    epilog="""\b
Examples:
  triggerkit invoke app:handlers -n process_user_table -e event.json
  triggerkit tail dynamodb://orders -n 1 --event | triggerkit invoke app:handlers -n notify -e -""",
)
@target_argument
@configuration_flags
@click.option("-n", "--name", help="The trigger; may be left out when there is only one.")
@click.option("-e", "--event", "event_file", required=True, help="A JSON file; - is stdin.")
def command(name: str | None, event_file: str, **given: Any) -> int:
    """Call the handler of one trigger with the event of a file; prints what it returns."""
    loaded = load(read_flags(given))
    plan = choose(loaded.settings.mappings, name)
    event = read_event(event_file)
    try:
        result = asyncio.run(call(plan, event))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exception(without_own_frames(error), file=sys.stderr)
        click.echo(f"triggerkit: handler {plan.name!r} failed", err=True)
        return HandlerError.exit_code
    print_json(result)
    outcome = read_outcome(plan, event, result)
    if isinstance(outcome, Succeeded):
        return 0
    click.echo(f"triggerkit: handler {plan.name!r}: {describe(outcome)}", err=True)
    return HandlerError.exit_code


def choose(plans: tuple[MappingPlan, ...], name: str | None) -> MappingPlan:
    """The trigger of that name, or the only one. Raises UsageError."""
    names = sorted({plan.name for plan in plans})
    if name is None and len(names) == 1:
        return plans[0]
    for plan in plans:
        if plan.name == name:
            return plan
    what = "several triggers" if name is None else f"no trigger is named {name!r}"
    raise UsageError(what, hint=f"-n one of: {', '.join(names)}")


def read_event(file: str) -> object:
    """The JSON value of a file.

    Raises:
        UsageError: it cannot be read, or is not JSON; with line and column.
    """
    try:
        if file == "-":
            return json.load(sys.stdin)
        with open(file, encoding="utf-8") as stream:
            return json.load(stream)
    except OSError as error:
        raise UsageError(
            f"event file {file!r}: {error.strerror}", hint="name a JSON file"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"event file {file!r} is not JSON: {error}",
            hint='write an event such as {"Records": [...]}',
        ) from None


async def call(plan: MappingPlan, event: object) -> object:
    """Enter the lifespan, call the handler, leave the lifespan."""
    async with AsyncExitStack() as stack:
        resources: object = None
        if plan.trigger.lifespan is not None:
            manager = plan.trigger.lifespan()
            if isinstance(manager, AbstractAsyncContextManager):
                resources = await stack.enter_async_context(manager)
            else:
                resources = stack.enter_context(manager)
        limit_seconds = plan.options.timeout
        context = InvocationContext(
            plan.name,
            resources,
            _remaining(limit_seconds),
            request_id=str(uuid.uuid4()),
            function_arn=function_arn(_stream_arn(event), plan.name),
        )
        async with asyncio.timeout(limit_seconds):
            result = plan.trigger.handler(event, context)
            return await result if inspect.isawaitable(result) else result


def _remaining(limit_seconds: float | None) -> Callable[[], float]:
    deadline = float("inf") if limit_seconds is None else monotonic_seconds() + limit_seconds
    return lambda: deadline - monotonic_seconds()


def records_of(event: object) -> list[dict[str, Any]]:
    """The records of an event; none where it has another shape."""
    records = event.get("Records") if isinstance(event, dict) else None
    return [r for r in records if isinstance(r, dict)] if isinstance(records, list) else []


def _stream_arn(event: object) -> str:
    records = records_of(event)
    return str(records[0].get("eventSourceARN", "")) if records else ""


def read_outcome(plan: MappingPlan, event: object, result: object) -> Outcome:
    """What a worker would make of the result."""
    numbers = [str(r.get("dynamodb", {}).get("SequenceNumber", "")) for r in records_of(event)]
    records = tuple(Record(number, 0.0, b"", b"") for number in numbers)
    batch = Batch(0, records, range(len(records)))
    return ending_of_result(result, batch, "", reports=plan.options.report_batch_item_failures)


def describe(outcome: Outcome) -> str:
    """One line."""
    if isinstance(outcome, PartlyFailed):
        return f"failed from record {outcome.index} on ({outcome.failure.error_message})"
    return str(getattr(getattr(outcome, "failure", None), "error_message", outcome))
