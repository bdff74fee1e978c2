"""What the embedded endpoint answers when it refuses a request.

An `EmulatorError` is an answer on the wire, never a fault of triggerkit. Its type is AWS's name of the error and
its text is AWS's where that is known, so that clients see what they will see in production. Faults of our own code
stay ordinary exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_DYNAMODB = "com.amazonaws.dynamodb.v20120810#"
_VALIDATE = "com.amazon.coral.validate#"
_CORAL = "com.amazon.coral.service#"
_PREFIXES = {
    "ValidationException": _VALIDATE,
    "SerializationException": _CORAL,
    "UnknownOperationException": _CORAL,
    "ThrottlingException": _CORAL,
    "AccessDeniedException": _CORAL,
}


class EmulatorError(Exception):
    """One error answer: `type` as boto3 shows it, `message`, HTTP `status`, extra members of the body."""

    def __init__(
        self,
        type: str,
        message: str,
        status: int = 400,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message
        self.status = status
        self.extra: Mapping[str, Any] = extra or {}

    def body(self) -> dict[str, Any]:
        """Return the JSON body, with the namespaced `__type` that AWS writes."""
        name = _PREFIXES.get(self.type, _DYNAMODB) + self.type
        return {"__type": name, "message": self.message, **self.extra}


def validation(message: str) -> EmulatorError:
    """Return a ValidationException."""
    return EmulatorError("ValidationException", message)


def invalid_parameter(message: str) -> EmulatorError:
    """Return the ValidationException that opens with DynamoDB's usual words."""
    return validation(f"One or more parameter values were invalid: {message}")


def not_found(message: str) -> EmulatorError:
    """Return a ResourceNotFoundException."""
    return EmulatorError("ResourceNotFoundException", message)


def condition_failed(item: Mapping[str, Any] | None) -> EmulatorError:
    """Return ConditionalCheckFailedException, with the item when the caller asked for it."""
    extra = {"Item": item} if item else None
    return EmulatorError(
        "ConditionalCheckFailedException", "The conditional request failed", extra=extra
    )


def transaction_cancelled(refusals: Sequence[EmulatorError | None]) -> EmulatorError:
    """Return TransactionCanceledException; each action's refusal, or None, gives a reason."""
    reasons = [_reason(refusal) for refusal in refusals]
    codes = ", ".join(reason["Code"] for reason in reasons)
    return EmulatorError(
        "TransactionCanceledException",
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        extra={"CancellationReasons": reasons},
    )


def _reason(refusal: EmulatorError | None) -> dict[str, Any]:
    if refusal is None:
        return {"Code": "None"}
    codes = {
        "ConditionalCheckFailedException": "ConditionalCheckFailed",
        "ValidationException": "ValidationError",
    }
    code = codes.get(refusal.type, refusal.type)
    return {"Code": code, "Message": refusal.message, **refusal.extra}


def idempotent_mismatch() -> EmulatorError:
    """Return the answer to a client token that was used for another request."""
    return EmulatorError(
        "IdempotentParameterMismatchException",
        "Specified idempotent token was used with different request parameters within the "
        "idempotency window",
    )


def invalid_argument(message: str) -> EmulatorError:
    """Return Kinesis's InvalidArgumentException."""
    return EmulatorError("InvalidArgumentException", message)


def unknown_operation(operation: str, is_kinesis: bool = False) -> EmulatorError:
    """Return the answer to an operation that the embedded endpoint does not have."""
    asked = operation or "this operation"
    if is_kinesis:
        return EmulatorError(
            "UnknownOperationException",
            f"The embedded endpoint of triggerkit does not have {asked} of Kinesis. Use Kinesis Mock "
            "or AWS for it: point AWS_ENDPOINT_URL_KINESIS there.",
        )
    return EmulatorError(
        "UnknownOperationException",
        f"The embedded endpoint of triggerkit does not have {asked}. Use DynamoDB Local or AWS for it: "
        "`triggerkit dev --backend http://127.0.0.1:8000` uses DynamoDB Local; elsewhere point "
        "AWS_ENDPOINT_URL_DYNAMODB (and AWS_ENDPOINT_URL_DYNAMODB_STREAMS) there.",
    )
