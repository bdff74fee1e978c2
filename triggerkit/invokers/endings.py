"""How a call of a handler ended, in Lambda's words. Rule: whatever user code does is an outcome.

Error types and texts are those of Lambda's Python runtime (lambda-contract 8.3).
"""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from triggerkit.core.model import Batch, LastFailure
from triggerkit.core.outcome import (
    Discard,
    Failed,
    GivenUp,
    Outcome,
    Retry,
    Succeeded,
    read_response,
)

RESPONSE_LIMIT_BYTES = 6_291_556
_HERE = Path(__file__).parent
_RUNTIME_FILES = (f"{_HERE}/", str(_HERE.parent / "triggers.py"), contextlib.__file__)


class Fault(NamedTuple):
    """An error type and its message, as they appear in logs and outcomes."""

    error_type: str
    error_message: str


def ending_of_result(result: object, batch: Batch, request_id: str, *, reports: bool) -> Outcome:
    """The outcome of a call that returned `result`; `reports`: batchItemFailures count (F-10)."""
    fault = response_fault(result)
    if fault is not None:
        return Failed(LastFailure(request_id, *fault))  # F-4
    return read_response(result, batch, request_id) if reports else Succeeded()


def ending_of_error(error: BaseException, request_id: str) -> Failed | GivenUp:
    """The outcome of a call that raised `error`; a task group's lone Retry or Discard counts too."""
    alone = error
    while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
        alone = alone.exceptions[0]
    if isinstance(alone, Retry | Discard):
        error = alone
    failure = LastFailure(request_id, *fault_of(error, request_id))
    match error:
        case Discard():
            return GivenUp(failure)
        case Retry():
            return Failed(failure, retry_after_seconds=error.after_seconds)
        case _:
            return Failed(failure)


def fault_of(error: BaseException, request_id: str) -> Fault:
    """What `error` is called: its class without module and its text (H-7), or a process exit (H-10)."""
    match error:
        case SystemExit(code=None | 0):
            why = "Runtime exited without providing a reason"
        case SystemExit(code=int() as status):
            why = f"Runtime exited with error: exit status {status}"
        case SystemExit():  # a text: Python prints it and exits with 1
            why = "Runtime exited with error: exit status 1"
        case KeyboardInterrupt():
            why = "Runtime exited with error: signal: interrupt"
        case _:
            return Fault(type(error).__name__, _text_of(error))
    return Fault("Runtime.ExitError", f"RequestId: {request_id} Error: {why}")


def timed_out(request_id: str, timeout_seconds: float) -> Failed:
    """The outcome of a call that was cancelled at its timeout (H-9)."""
    text = f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds"
    return Failed(LastFailure(request_id, "Sandbox.Timedout", text))


def response_fault(result: object) -> Fault | None:
    """Why Lambda could not send `result` as a response; None for one that it could (H-4, H-11)."""
    if result is None or isinstance(result, bytes):
        return None
    try:
        text = json.dumps(result, default=_encode_number, ensure_ascii=False)
        size_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    except Exception as error:  # noqa: BLE001 - a result may run any code when it is encoded
        return Fault("Runtime.MarshalError", f"Unable to marshal response: {error}")
    if size_bytes > RESPONSE_LIMIT_BYTES:
        return Fault(
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size "
            f"({RESPONSE_LIMIT_BYTES} bytes).",
        )
    return None


def without_own_frames(error: BaseException) -> BaseException:
    """`error` with a traceback that starts in user code; so do those of what caused it."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        link.__traceback__ = _user_frames(link.__traceback__)
        chain += (link.__cause__, link.__context__)
    return error


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    while frames and frames.tb_frame.f_code.co_filename.startswith(_RUNTIME_FILES):
        frames = frames.tb_next
    return frames


def _encode_number(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    name = type(value).__name__
    told = f"Object of type {name} is not JSON serializable"
    if name == "coroutine":
        told += ": nobody awaits what this handler returned; declare it with async def"
    raise TypeError(told)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception whose __str__ fails is still an exception
        return f"<{type(error).__name__} that cannot be shown>"
