"""Where indexes, transactions and statements mean to differ from DynamoDB Local 3.3.1, with reasons.

As in `divergences.py`: a difference that is not listed fails the comparison, and so does a listed one that
never shows. None concerns what a table or a stream holds.
"""

from __future__ import annotations

from emulator.comparison import Outcome
from emulator.divergences import DIVERGENCES, Divergence

REASONS = Divergence(
    r"TransactionCanceledException: .*\bValidationError\b.*",
    "ValidationException: .*",
    "AWS tells what an item does not allow as a reason of the cancellation (TransactWriteItems, "
    "Cancellation Reasons); DynamoDB Local fails the request",
)

FEATURE_DIVERGENCES: tuple[Divergence, ...] = (REASONS,)


def feature_divergence(ours: Outcome, theirs: Outcome) -> Divergence | None:
    """Return the listed divergence that explains a difference."""
    listed = (*FEATURE_DIVERGENCES, *DIVERGENCES)
    return next((each for each in listed if each.covers(ours, theirs)), None)
