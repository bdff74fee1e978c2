"""`triggerkit invoke`: one call of a handler, on a thread or a loop as in a worker. No stream, no state."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import os
import pdb
import sys
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triggerkit.commands.failures import event_of, files_of, named
from triggerkit.commands.loading import load
from triggerkit.commands.output import print_json, say, say_block, say_bytes, set_up_logging
from triggerkit.core.model import Batch, Record
from triggerkit.core.outcome import Outcome, PartlyFailed, Succeeded
from triggerkit.core.payloads import function_arn
from triggerkit.errors import HandlerError, UsageError
from triggerkit.files import DOCUMENT_BYTES, decoded, open_input, parse_json, read_bytes
from triggerkit.invokers.capture import capturing
from triggerkit.invokers.context import InvocationContext
from triggerkit.invokers.endings import ending_of_result, without_own_frames
from triggerkit.invokers.environment import offered
from triggerkit.invokers.responses import Fault, response_of
from triggerkit.runtime.clock import monotonic_seconds
from triggerkit.runtime.handlers import event_handler_of, variables_of
from triggerkit.runtime.logs import get_logger
from triggerkit.runtime.pools import ThreadRunner
from triggerkit.settings import MappingPlan

_OWN_FILES = (
    f"{Path(__file__).parents[1]}/",
    f"{Path(asyncio.__file__).parent}/",
    contextlib.__file__,
)
FIRST_ATTEMPT = 1
_EVENT_HINT = 'write {"Records": [...]}, as `triggerkit generate-event dynamodb insert` prints it'


def invoke(given: Mapping[str, Any]) -> int:
    """Call the handler of the trigger that is selected; the exit code. `given` are the command's parameters.

    The event is that of `--event FILE` or that of a failure record, whose trigger is called.

    Raises:
        UsageError: more than one trigger is selected, or no such event; and all that `load` raises.
    """
    event_file, which = given["event"], given["failure"]
    if (event_file is None) == (which is None):
        raise UsageError(
            "--event and --failure contradict each other"
            if which
            else "no --event and no --failure",
            hint="give one of them: -e FILE, or --failure N as `triggerkit failures ls` shows it",
        )
    if given["pdb"]:
        refuse_debugger(event_file)
    set_up_logging(given)
    loaded = load(given)
    plans = loaded.settings.mappings
    if which is None:
        what = f"event file {'stdin' if event_file == '-' else repr(event_file)}"
        plan = choose(plans)
        event = read_event(event_file, what)
    else:
        what = f"failure record {which}"
        files = files_of(loaded.settings, given["target"] or "")
        found = named(which, files, given["trigger"], must_exist=False)
        event = parse_json(event_of(found), what, hint="the file was changed by hand")
        plan = choose([one for one in plans if one.name == found[0].trigger])
    missing = what_is_missing(event)
    if missing and plan.trigger.typing is not None:
        raise UsageError(f"{what}: {missing}", hint=_EVENT_HINT)
    offered.offer(variables_of([plan], loaded.settings.app), os.environ)
    with redirect_stdout(sys.stderr):
        result = asyncio.run(call(plan, event))
    if isinstance(result, Raised):
        say_block("".join(traceback.format_exception(result.error)))
        say(f"triggerkit: {result.by} of trigger {plan.name!r} failed", err=True)
        if missing:
            say(f"  {what}: {missing}; {_EVENT_HINT}", err=True)
        if given["pdb"]:
            debug(result.error)
        return HandlerError.exit_code
    outcome = read_outcome(plan, event, result)
    if isinstance(outcome, Succeeded):
        show_answer(result)
        return 0
    if isinstance(outcome, PartlyFailed):
        show_answer(result)
    say(f"triggerkit: handler {plan.name!r}: {describe(outcome)}", err=True)
    return HandlerError.exit_code


def refuse_debugger(event_file: str | None) -> None:
    """Raises UsageError: nobody can type into a debugger here."""
    if event_file == "-":
        raise UsageError(
            "--pdb needs the terminal, and the event comes from stdin",
            hint="write the event to a file first: --event event.json",
        )
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise UsageError("--pdb needs a terminal", hint="run it in one, without a pipe")


def debug(error: BaseException) -> None:
    """Open the debugger at the frame that raised; it ends with `q` or Ctrl-D."""
    frames = error.__traceback__
    if frames is None:
        say("triggerkit: no frame of the handler is left to look at", err=True)
        return
    say("triggerkit: the debugger: where, up, p NAME; q ends it", err=True)
    pdb.post_mortem(frames)


def choose(plans: Sequence[MappingPlan]) -> MappingPlan:
    """The only trigger there is. Raises UsageError: there are several, or none."""
    names = sorted({plan.name for plan in plans})
    if not names:
        raise UsageError(
            "no trigger has the name in the failure record",
            hint="name it with -t NAME and give the event: failures show N --event | invoke -e -",
        )
    if len(names) > 1:
        raise UsageError(
            "there are several triggers", hint=f"choose one with -t NAME: {', '.join(names)}"
        )
    return plans[0]


def read_event(file: str, what: str) -> object:
    """The JSON value of a file; `what` names it in errors.

    Raises:
        UsageError: it cannot be read, or is not JSON; with line and column.
    """
    with open_input(file, what, hint="name a JSON file, or - for stdin") as stream:
        text = decoded(read_bytes(stream, what, DOCUMENT_BYTES), what)
    return parse_json(text, what, hint=_EVENT_HINT)


def what_is_missing(event: object) -> str:
    """What every event of a DynamoDB or Kinesis stream has and this one has not; empty for nothing."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        return 'it has no list "Records"'
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            return f"record {number} is not an object"
        if "kinesis" in record:
            continue
        for member in ("dynamodb", "eventName"):
            if member not in record:
                return f'record {number} has no "{member}"'
    return ""


@dataclass(frozen=True, slots=True)
class Raised:
    """What user code raised, with a traceback that starts in it; `by` is handler or lifespan."""

    error: BaseException
    by: str


async def call(plan: MappingPlan, event: object) -> object:
    """Enter the lifespan, call the handler, leave the lifespan; the result, or a `Raised`."""
    result: object = None
    run = ThreadRunner("handler", 1, for_handlers=True)
    try:
        async with AsyncExitStack() as stack:
            stack.callback(run.close)
            resources = await _enter(plan, stack)
            request_id = str(uuid.uuid4())
            context = _context(plan, event, resources, request_id)
            fields = {"trigger": plan.name, "request_id": request_id, "attempt": FIRST_ATTEMPT}
            stack.enter_context(capturing(get_logger(), fields))  # on its log lines
            result = await _result(plan, event, context, run)
    except BaseException as error:
        if _interrupted(error):
            raise
        return _raised(error, "lifespan")
    return result


async def _enter(plan: MappingPlan, stack: AsyncExitStack) -> object:
    if plan.trigger.lifespan is None:
        return None
    entering = plan.trigger.lifespan()
    if isinstance(entering, AbstractAsyncContextManager):
        return await stack.enter_async_context(entering)
    return stack.enter_context(entering)


def _context(
    plan: MappingPlan, event: object, resources: object, request_id: str
) -> InvocationContext[object]:
    return InvocationContext(
        plan.name,
        resources,
        _remaining(plan.options.timeout),
        request_id=request_id,
        function_arn=function_arn(_stream_arn(event), plan.name),
    )


async def _result(
    plan: MappingPlan, event: object, context: InvocationContext[object], run: ThreadRunner
) -> object:
    handler = event_handler_of(plan.trigger)
    if not plan.trigger.is_async:
        inside = contextvars.copy_context()  # else its log lines would not count as a handler's
        return await run(lambda: inside.run(_call_guarded, lambda: handler(event, context)))
    limit = asyncio.timeout(plan.options.timeout)
    try:
        async with limit:
            result = handler(event, context)
            return await result if inspect.isawaitable(result) else result
    except BaseException as error:
        if _interrupted(error):
            raise
        if not limit.expired():
            return _raised(error, "handler")
        late = TimeoutError(f"it ran longer than its timeout of {plan.options.timeout:g} s")
        where = error if error.__cause__ is None else error.__cause__  # what was cancelled
        return _raised(late.with_traceback(where.__traceback__), "handler")


def _call_guarded(handler: Callable[[], object]) -> object:
    try:
        return handler()
    except BaseException as error:  # noqa: BLE001 - a pool's thread lets no SystemExit through
        return _raised(error, "handler")


def _interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C ends the command, rather than user code the call."""
    task = asyncio.current_task()
    return isinstance(error, KeyboardInterrupt) or (task is not None and task.cancelling() > 0)


def _raised(error: BaseException, by: str) -> Raised:
    return Raised(without_own_frames(error, _OWN_FILES), by)


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


def _sequence_number(record: Mapping[str, Any]) -> str:
    change = record.get("dynamodb")
    return str(change.get("SequenceNumber", "")) if isinstance(change, dict) else ""


def read_outcome(plan: MappingPlan, event: object, result: object) -> Outcome:
    """What a worker would make of the result."""
    records = tuple(Record(_sequence_number(r), 0.0, b"", b"") for r in records_of(event))
    batch = Batch(0, records, range(len(records)))
    typing = plan.trigger.typing
    reports = typing is not None and typing.annotation.unit == "batch"  # what `Batch.fail` answers
    reports = reports or plan.options.report_batch_item_failures
    return ending_of_result(result, batch, "", reports=reports)


def show_answer(result: object) -> None:
    """What Lambda would answer for a result that it can send, to stdout."""
    body = response_of(result, "")
    if isinstance(body, Fault):
        return
    try:
        print_json(json.loads(body))
    except ValueError:  # bytes, which Lambda sends as they are
        say_bytes(body)


def describe(outcome: Outcome) -> str:
    """One line."""
    if isinstance(outcome, PartlyFailed):
        return f"failed from record {outcome.index} on ({outcome.failure.error_message})"
    return str(getattr(getattr(outcome, "failure", None), "error_message", outcome))
