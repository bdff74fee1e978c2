"""Where indexes, transactions and statements mean to differ from DynamoDB Local 3.3.1, with reasons.

As in `divergences.py`: a difference that is not listed fails the comparison, and so does a listed one that
never shows. None concerns what a table or a stream holds.
"""

from __future__ import annotations

from typing import Any

from emulator.comparison import Outcome
from emulator.divergences import Divergence

REASONS = Divergence(
    r"TransactionCanceledException: .*\bValidationError\b.*",
    "ValidationException: .*",
    "AWS tells what an item does not allow as a reason of the cancellation (TransactWriteItems, "
    "Cancellation Reasons); DynamoDB Local fails the request",
)

DUPLICATE = Divergence(
    "DuplicateItemException: .*",
    "DuplicateItem: .*",
    "AWS's model names the error DuplicateItemException",
)
DUPLICATE_REASON = Divergence(
    r"TransactionCanceledException: .*\bDuplicateItem\b.*",
    r"TransactionCanceledException: .*\bValidationError\b.*",
    "the reason of an INSERT that finds its item is DuplicateItem, as BatchStatementError has it",
)
RANDOM_DIVERGENCES: tuple[Divergence, ...] = (REASONS, DUPLICATE, DUPLICATE_REASON)
"""What random operations may show, and over all seeds do."""


def feature_divergence(ours: Outcome, theirs: Outcome) -> Divergence | None:
    """Return the listed divergence that explains a difference between two refusals."""
    if ours.succeeded or theirs.succeeded:
        return None
    return next((each for each in RANDOM_DIVERGENCES if each.covers(ours, theirs)), None)


WORDING = "DynamoDB Local words it differently; ours is AWS's text where that is known"
MODEL = "AWS checks members against its service model, DynamoDB Local by hand"
READING = (
    "where a statement cannot be read, ours says what was expected, theirs the whole statement"
)
NAMED = "ours names the index and its key, as AWS does"
WELL_FORMED = "Statement wasn't well formed, can't be processed: .*"


def _text(ours: str, theirs: str, reason: str) -> Divergence:
    """Return a divergence of texts only, both ValidationExceptions."""
    return Divergence(f"ValidationException: {ours}", f"ValidationException: {theirs}", reason)


FRAGMENT = Divergence(
    "ok",
    "ok",
    "RETURNING MODIFIED of a path inside an attribute: AWS answers the touched fragment",
)
CATALOGUE_DIVERGENCES: tuple[Divergence, ...] = (
    REASONS,
    DUPLICATE,
    DUPLICATE_REASON,
    Divergence(
        r"TransactionCanceledException: .*\[ValidationError, None\]",
        r"TransactionCanceledException: .*\[ValidationError\]",
        "there is a reason for each action, also where a key attribute is updated",
    ),
    Divergence(
        "TransactionCanceledException: Transaction cancelled, .*",
        "TransactionCanceledException: .*Type mismatch for key",
        "TransactGetItems tells its reasons as TransactWriteItems does",
    ),
    Divergence("IdempotentParameterMismatchException: .+", ".*Exception: ", "theirs has no text"),
    Divergence(
        "ResourceNotFoundException: Requested resource not found.*",
        "ResourceNotFoundException: Cannot do operations on a non-existent table",
        WORDING,
    ),
    Divergence("ok", "InternalFailure: .*", "DynamoDB Local fails on ORDER BY with a sort range"),
    Divergence(
        "ValidationException: Number of parameters .*",
        "ok",
        "AWS refuses parameters that no question mark takes; shown on reads only",
    ),
    FRAGMENT,
    _text(".*Type mismatch for Index Key .*", ".*Type mismatch for Index Key", NAMED),
    _text(".*Type mismatch for Index Key .*", "Invalid attribute value type", NAMED),
    _text(".* secondary index key to unsupported type", ".*Type mismatch for Index Key", WORDING),
    _text(".* secondary index key to unsupported type", "Invalid attribute value type", WORDING),
    _text(".*Size limit exceeded: index key .*", ".*Size limit exceeded", NAMED),
    _text(".*IndexName: by_g_n, IndexKey: g", ".*IndexName: by_g_sk, IndexKey: g", NAMED),
    _text("Query condition missed key schema element: .*", "Query condition missed .*", WORDING),
    _text("The provided starting key is invalid", "Type mismatch for attribute .*", WORDING),
    _text(".*: Missing the key pk in the item", "One of the required keys .*", WORDING),
    _text("1 validation error detected: .*", ".*Member must .*", MODEL),
    _text("1 validation error detected: .*", ".*(was empty|empty statement)\\.", MODEL),
    _text("1 validation error detected: .*", "BatchGetItem cannot fetch more than 25 .*", MODEL),
    _text("1 validation error detected: .*", "(TimeToLiveSpec|AttributeName) ?.* null.*", MODEL),
    _text(WELL_FORMED, "(Statement wasn't|Unsupported (operation|token)).*", READING),
    _text("Invalid function name; function: missing", WELL_FORMED, READING),
    _text("Unsupported function in SELECT: count", "Unexpected path component .*", READING),
    _text("(Unsupported|Empty|Duplicate) .*", "(Unsupported|Empty|Duplicate) .* at .*", READING),
    _text("Invalid returning clause\\. .*", "Invalid returning clause: .*", READING),
    _text(
        "Tuple keys must be of type String. .*", "Tuple keys must be of type String. .*", READING
    ),
    _text(".*Input collection .* contains duplicates\\.", "Input collection contains .*", WORDING),
)
"""What the catalogue shows."""


def catalogue_divergence(
    request: dict[str, Any], ours: Outcome, theirs: Outcome
) -> Divergence | None:
    """Return the listed divergence that explains a difference in the catalogue."""
    if ours.succeeded and theirs.succeeded:
        return FRAGMENT if "RETURNING MODIFIED" in request.get("Statement", "") else None
    return next((each for each in CATALOGUE_DIVERGENCES if each.covers(ours, theirs)), None)
