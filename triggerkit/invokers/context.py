"""What a handler gets as its second argument: every attribute that Lambda's has, of the same type.

It is a plain object, so that libraries may hang attributes of their own on it, as they do on Lambda.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from triggerkit.invokers.environment import MEMORY_MEGABYTES

R = TypeVar("R")

LONGEST_CALL_MILLISECONDS = 900_000
"""Lambda's maximum (H-13): what a call without any deadline is told that it has left."""


@dataclass(frozen=True, slots=True)
class CognitoIdentity:
    """Who called; nobody for stream events."""

    cognito_identity_id: None = None
    cognito_identity_pool_id: None = None


class InvocationContext(Generic[R]):
    """The context of one call (lambda-contract 8.2), with `trigger`, `attempt` and `resources`."""

    function_version = "$LATEST"
    client_context: None = None
    tenant_id: str | None = None

    def __init__(
        self,
        trigger: str,
        resources: R,
        remaining_seconds: Callable[[], float],
        *,
        request_id: str,
        attempt: int = 1,
        function_arn: str = "",
    ) -> None:
        self.trigger = trigger
        self.resources = resources
        self.attempt = attempt
        self.function_name = trigger
        self.invoked_function_arn = function_arn
        self.aws_request_id = request_id
        self.memory_limit_in_mb = MEMORY_MEGABYTES
        self.log_group_name = f"/aws/lambda/{trigger}"
        self.log_stream_name = ""
        self.identity = CognitoIdentity()
        self._remaining_seconds = remaining_seconds

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this call may no longer take effect; never below 0."""
        remaining = self._remaining_seconds()
        if math.isinf(remaining):
            return LONGEST_CALL_MILLISECONDS
        return max(0, int(remaining * 1000))

    def w3c(self) -> dict[str, str]:
        """The W3C trace context of the call: empty for stream events."""
        return {}

    def log(self, msg: object) -> None:
        """Write a line to the log, with the context of this call."""
        sys.stdout.write(f"{msg}\n")

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name in (
                "aws_request_id",
                "log_group_name",
                "log_stream_name",
                "function_name",
                "memory_limit_in_mb",
                "function_version",
                "invoked_function_arn",
                "client_context",
                "identity",
                "tenant_id",
                "trigger",
                "attempt",
            )
        )
        return f"InvocationContext({shown})"
