"""Where the emulator means to differ from DynamoDB Local 3.3.1, each with its reason.

The comparison fails on a difference that is not listed and, over the whole catalogue, on a listed one
that never shows: so the list stays as short as the truth. No listed difference concerns what a table or
a stream holds after requests that both accept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from emulator.comparison import Outcome


@dataclass(frozen=True)
class Divergence:
    """Answers that may differ: patterns of "error: text" (success is "ok"), ours and theirs."""

    ours: str
    theirs: str
    reason: str

    def covers(self, ours: Outcome, theirs: Outcome) -> bool:
        return bool(
            re.fullmatch(self.ours, _shown(ours), re.DOTALL)
            and re.fullmatch(self.theirs, _shown(theirs), re.DOTALL)
        )


def _shown(outcome: Outcome) -> str:
    return "ok" if outcome.succeeded else f"{outcome.error}: {outcome.text}"


def _text(ours: str, theirs: str, reason: str) -> Divergence:
    """Return a divergence of texts only; the error's name is the same."""
    return Divergence(rf"\w+: {ours}", rf"\w+: {theirs}", reason)


WORDING = "DynamoDB Local words it differently; ours is AWS's text"
MODEL = "AWS checks members against its service model, DynamoDB Local by hand"
STRICT = "AWS refuses JSON of the wrong shape as SerializationException, DynamoDB Local fails"
RESERVED = "AWS lists the word as reserved, DynamoDB Local does not"
NESTED_RETURN = Divergence(
    "ok",
    "ok",
    "UPDATED_* of a path inside an attribute: AWS answers the touched fragment, DynamoDB Local the "
    "whole attribute",
)
FIRST_WRONG = Divergence(
    r"ValidationException: (The provided|An operand in the update|The document path).*",
    r"ValidationException: (The provided|An operand in the update|The document path).*",
    "several actions of one update cannot be applied: nobody says which is told first",
)
INNER = "(?:ExpressionAttributeValues contains invalid value: )?"
FOR_KEY = "(?: for key :v)?"
NULL_MEMBER = "1 validation error detected: Value null at '\\w+' failed to satisfy .*"
EMPTY_MEMBER = "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy .*"
KEY_MISMATCH = "The provided key element does not match the schema"

DIVERGENCES = (
    NESTED_RETURN,
    FIRST_WRONG,
    Divergence(r".*reserved keyword: (size|convert)", "ok", RESERVED),
    Divergence("SerializationException: .*", "InternalFailure: .*", STRICT),
    _text("Requested resource not found", "Cannot do operations on a non-existent table", WORDING),
    _text(KEY_MISMATCH, ".*: Type mismatch for key", WORDING),
    _text(KEY_MISMATCH, "One of the required keys was not given a value", WORDING),
    _text(".*: Missing the key pk in the item", "One of the required keys .*", WORDING),
    _text(".*: Missing the key pk in the item", "Item to put in PutItem cannot be null", WORDING),
    _text(
        ".*: Type mismatch for key pk expected: S actual: N", ".*: Type mismatch for key", WORDING
    ),
    _text(".*: Size of hashkey has exceeded .*", "Hash primary key values must be .*", WORDING),
    _text(
        f"{INNER}The parameter cannot be converted to a numeric value.*",
        f"{INNER}A value provided cannot be converted into a number{FOR_KEY}",
        WORDING,
    ),
    _text(
        f"{INNER}Attempting to store more than 38 significant digits in a Number{FOR_KEY}",
        f"{INNER}DynamoDB only supports precision up to 38 digits{FOR_KEY}",
        WORDING,
    ),
    _text(
        f"{INNER}.*Input collection .* contains duplicates\\.{FOR_KEY}",
        f"{INNER}.*Input collection .*contains duplicates\\.?{FOR_KEY}",
        WORDING,
    ),
    _text(
        f"{INNER}Supplied AttributeValue is empty, .*",
        f"{INNER}The supplied Item contains a null AttributeValue.*",
        WORDING,
    ),
    _text(f"{INNER}Nesting Levels .* for key :v", "Nesting Levels have exceeded .*", WORDING),
    _text(
        ".*Invalid attribute type name found; .*",
        ".*Invalid attribute type name found; .*",
        WORDING,
    ),
    _text(
        ".*: attribute_type, operand type: any", ".*: attribute_type, operand type: {.*}", WORDING
    ),
    _text("Query condition missed key schema element: .*", "Query condition missed .*", WORDING),
    _text("The provided starting key is invalid", "Exclusive Start Key must have .*", WORDING),
    _text("The Segment parameter is zero-based .*", "1 validation error .*'segment'.*", WORDING),
    _text("The TotalSegments parameter is required .*", "If segment is specified, .*", WORDING),
    _text("The Segment parameter is required .*", "If total segments is specified, .*", WORDING),
    _text(
        "Supplied AttributeValue is empty, .*", "Supplied .* more than one datatypes .*", WORDING
    ),
    _text(NULL_MEMBER, "Cannot have null key for GetItem, DeleteItem, or UpdateItem", MODEL),
    _text(NULL_MEMBER, "Item to put in PutItem cannot be null", MODEL),
    _text(NULL_MEMBER, "The supplied Item contains a null AttributeValue", MODEL),
    _text(NULL_MEMBER, "Batch(Get|Write)Item .* requests set", MODEL),
    _text(EMPTY_MEMBER, "Batch(Get|Write)Item .* requests set", MODEL),
    _text(EMPTY_MEMBER, "The (list of keys|batch write request list) .*", MODEL),
    _text("1 validation error .*'limit'.*", "Limit must be greater than or equal to 1", MODEL),
)


def divergence(request: dict[str, Any], ours: Outcome, theirs: Outcome) -> Divergence | None:
    """Return the listed divergence that explains a difference."""
    if ours.succeeded and theirs.succeeded:
        asked = str(request.get("ReturnValues", "")).startswith("UPDATED")
        nested = asked and re.search(r"[.\[]", request.get("UpdateExpression", ""))
        return NESTED_RETURN if nested else None
    listed = next((each for each in DIVERGENCES if each.covers(ours, theirs)), None)
    if listed is FIRST_WRONG and not several_actions(request.get("UpdateExpression", "")):
        return None
    return listed


def several_actions(expression: str) -> bool:
    """Tell whether an update has more than one action."""
    outside = expression
    while outside != (outside := re.sub(r"\([^()]*\)", "", outside)):
        pass
    clauses = re.findall(r"\b(?:SET|REMOVE|ADD|DELETE)\b", outside, re.IGNORECASE)
    return "," in outside or len(clauses) > 1
