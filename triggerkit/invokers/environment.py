"""The environment variables that Lambda sets for a function, where nobody has set them.

They are the process's, and one process has many triggers: where a value is of one function, it is that of
the only trigger, else of the application. What the user has set is never changed.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime

LOG_STREAM = "AWS_LAMBDA_LOG_STREAM_NAME"
MEMORY_MEGABYTES = "128"
"""Lambda's default. Handlers see it; nothing enforces it."""


class OfferedVariables:
    """Sets variables that are absent, and may set those again later that are still as it left them."""

    def __init__(self) -> None:
        self._set: dict[str, str] = {}

    def offer(self, variables: Mapping[str, str], environ: MutableMapping[str, str]) -> None:
        """Set each of `variables` that nobody else has set."""
        for name, value in variables.items():
            if environ.get(name) == self._set.get(name):  # absent, or ours
                environ[name] = self._set[name] = value

    def withdraw(self, environ: MutableMapping[str, str]) -> None:
        """Remove those that are still as they were set."""
        for name, value in self._set.items():
            if environ.get(name) == value:
                del environ[name]
        self._set.clear()


offered = OfferedVariables()
"""What this process has set."""


def function_variables(name: str, started_seconds: float) -> dict[str, str]:
    """Those of a function `name` in an environment that started at these UNIX seconds.

    Left out: AWS_EXECUTION_ENV, which tells AWS and libraries that this is Lambda; TZ, which would change what
    all the process takes for local time; LAMBDA_RUNTIME_DIR and _X_AMZN_TRACE_ID, which name what is not here.
    """
    return {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": MEMORY_MEGABYTES,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        LOG_STREAM: os.environ.get(LOG_STREAM) or fresh_log_stream_name(started_seconds),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }


def fresh_log_stream_name(started_seconds: float) -> str:
    """`YYYY/MM/DD/[VERSION]` and 32 hex digits, as of UNIX seconds."""
    day = datetime.fromtimestamp(started_seconds, UTC).strftime("%Y/%m/%d")
    return f"{day}/[$LATEST]{uuid.uuid4().hex}"
