"""What a handler's result becomes on its way out of Lambda: the body of a response, or an error.

Lambda's runtime interface client encodes with simplejson, which takes other values than `json` does: bytes
inside a result are text, a named tuple is an object. Whether a call succeeded depends on that, so the
same library with the same settings is used here (`awslambdaric/lambda_runtime_marshaller.py`, 4.2.2).
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import sys
from decimal import Decimal
from typing import Any, NamedTuple

RESPONSE_LIMIT_BYTES = 6_291_556
_RUNTIME = re.compile(r"AWS_Lambda_python(\d+)\.(\d+)")
_FIRST_UNESCAPED = (3, 12)
"""The first Python on Lambda whose responses hold other characters than ASCII as they are."""


class Fault(NamedTuple):
    """An error type and its message, as they appear in logs and outcomes."""

    error_type: str
    error_message: str


def response_of(result: object, request_id: str) -> bytes | Fault:
    """The body that Lambda would send for `result`, or the error that it would answer (H-4, H-11)."""
    if result is None:
        return b"null"
    try:
        text = result if isinstance(result, bytes) else _encoder(_escapes()).encode(result)
    except Exception as error:  # noqa: BLE001 - a result may run any code when it is encoded
        return Fault("Runtime.MarshalError", f"Unable to marshal response: {error}")
    try:
        body = text if isinstance(text, bytes) else text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: the client does not survive it
        return exit_fault(1, request_id)
    if len(body) > RESPONSE_LIMIT_BYTES:
        return Fault(
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size "
            f"({RESPONSE_LIMIT_BYTES} bytes).",
        )
    return body


def value_in(body: bytes) -> object:
    """What the event source mapping reads in a body; None where it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def exit_fault(status: int, request_id: str) -> Fault:
    """The error of a call in which the process exited (H-10)."""
    why = f" with error: exit status {status}" if status else " without providing a reason"
    return Fault("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited{why}")


def _escapes() -> bool:
    """Whether the runtime that `AWS_EXECUTION_ENV` names, else that of this Python, writes ASCII only."""
    named = _RUNTIME.fullmatch(os.environ.get("AWS_EXECUTION_ENV", ""))
    version = (int(named[1]), int(named[2])) if named else sys.version_info[:2]
    return version < _FIRST_UNESCAPED


@functools.cache
def _encoder(escapes: bool) -> Any:
    import simplejson  # most handlers return nothing

    def encode_other(value: object) -> Any:
        if isinstance(value, Decimal):
            return math.nan if value.is_nan() else simplejson.raw_json.RawJSON(str(value))
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    return simplejson.JSONEncoder(
        use_decimal=False, ensure_ascii=escapes, allow_nan=True, default=encode_other
    )
