"""Where indexes and transactions mean to differ from DynamoDB Local 3.3.1, with reasons.

As in `divergences.py`: a difference that is not listed fails the comparison, and so does a listed one that
never shows. None concerns what a table or a stream holds.
"""

from __future__ import annotations

from emulator.comparison import Outcome
from emulator.divergences import Divergence

REASONS = Divergence(
    r"TransactionCanceledException: .*\bValidationError\b.*",
    "ValidationException: .*",
    "AWS tells what an item does not allow as a reason of the cancellation (TransactWriteItems, "
    "Cancellation Reasons); DynamoDB Local fails the request",
)

RANDOM_DIVERGENCES: tuple[Divergence, ...] = (REASONS,)
"""What random operations may show, and over all seeds do."""


def feature_divergence(ours: Outcome, theirs: Outcome) -> Divergence | None:
    """Return the listed divergence that explains a difference between two refusals."""
    if ours.succeeded or theirs.succeeded:
        return None
    return next((each for each in RANDOM_DIVERGENCES if each.covers(ours, theirs)), None)


WORDING = "DynamoDB Local words it differently; ours is AWS's text where that is known"
MODEL = "AWS checks members against its service model, DynamoDB Local by hand"
NAMED = "ours names the index and its key, as AWS does"


def _text(ours: str, theirs: str, reason: str) -> Divergence:
    """Return a divergence of texts only, both ValidationExceptions."""
    return Divergence(f"ValidationException: {ours}", f"ValidationException: {theirs}", reason)


CATALOGUE_DIVERGENCES: tuple[Divergence, ...] = (
    REASONS,
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
    _text("1 validation error detected: .*", "(TimeToLiveSpec|AttributeName) ?.* null.*", MODEL),
)
"""What the catalogue shows."""


def catalogue_divergence(ours: Outcome, theirs: Outcome) -> Divergence | None:
    """Return the listed divergence that explains a difference in the catalogue."""
    if ours.succeeded and theirs.succeeded:
        return None
    return next((each for each in CATALOGUE_DIVERGENCES if each.covers(ours, theirs)), None)
