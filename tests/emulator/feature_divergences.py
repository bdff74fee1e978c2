"""Where indexes, transactions and statements mean to differ from DynamoDB Local 3.3.1, with reasons.

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
