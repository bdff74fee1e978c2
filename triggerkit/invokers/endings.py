"""How a call of a handler ended, in Lambda's words: whatever user code does is an outcome.

Error types and texts are those of Lambda's Python runtime (lambda-contract 8.3).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

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
from triggerkit.invokers.responses import Fault, exit_fault, response_of, value_in

_HERE = Path(__file__).parent
_RUNTIME_FILES = (f"{_HERE}/", str(_HERE.parent / "triggers.py"), contextlib.__file__)


def ending_of_result(result: object, batch: Batch, request_id: str, *, reports: bool) -> Outcome:
    """The outcome of a call that returned `result`; `reports`: batchItemFailures count (F-10)."""
    body = response_of(result, request_id)
    if isinstance(body, Fault):
        return Failed(LastFailure(request_id, *body))  # F-4
    return read_response(value_in(body), batch, request_id) if reports else Succeeded()


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
    """What `error` is called: its class without module and its text (H-7), or a process exit (H-10).

    On Lambda whatever is no `Exception` ends the process.
    """
    match error:
        case Exception():
            return Fault(type(error).__name__, _text_of(error))
        case SystemExit():
            return exit_fault(_exit_status(error.code), request_id)
        case KeyboardInterrupt():
            why = f"RequestId: {request_id} Error: Runtime exited with error: signal: interrupt"
            return Fault("Runtime.ExitError", why)
        case _:
            return exit_fault(1, request_id)


def _exit_status(code: object) -> int:
    """What a process exits with after `sys.exit(code)`."""
    if code is None:
        return 0
    if not isinstance(code, int):
        return 1  # Python prints it
    fits = -(2**63) <= code < 2**63
    return (code if fits else -1) & 0xFF


def timed_out(request_id: str, timeout_seconds: float) -> Failed:
    """The outcome of a call that was cancelled at its timeout (H-9)."""
    text = f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds"
    return Failed(LastFailure(request_id, "Sandbox.Timedout", text))


_HINTS = (
    (
        "signal only works in main thread",
        "handlers run on threads, which signals do not reach: for a limit of time use async def with timeout",
    ),
    (
        "There is no current event loop in thread",
        "a thread that the handler starts has no event loop: use asyncio.run in it",
    ),
    (
        "SQLite objects created in a thread can only be used in that same thread",
        "open the connection in a lifespan, or with check_same_thread=False",
    ),
)


def hint_for(error: BaseException) -> str:
    """What helps where code for Lambda fails because handlers run on threads here; else empty."""
    told = _text_of(error)
    return next((hint for words, hint in _HINTS if words in told), "")


def without_own_frames(
    error: BaseException, own_files: tuple[str, ...] = _RUNTIME_FILES
) -> BaseException:
    """`error` with a traceback that starts in user code; so do those of what caused it.

    `own_files` are how the paths of files begin whose frames are left out at the start.
    """
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        frames = link.__traceback__
        while frames and frames.tb_frame.f_code.co_filename.startswith(own_files):
            frames = frames.tb_next
        link.__traceback__ = frames
        chain += (link.__cause__, link.__context__)
    return error


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception whose __str__ fails is still an exception
        return f"<{type(error).__name__} that cannot be shown>"
