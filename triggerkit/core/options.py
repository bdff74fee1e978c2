"""Every option of a mapping, with its type, range, default and meaning.

Names are Lambda's API names in snake case; Lambda's own spelling (`BatchSize`) is read too. Ranges and defaults
are Lambda's, so what runs here can go back to Lambda. Values are strict: text is not turned into numbers here;
`--set` has its own step for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from triggerkit.core.lambda_names import unknown_option
from triggerkit.errors import OptionError, close_name

StartingPosition: TypeAlias = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
WhenInvalid: TypeAlias = Literal["discard", "retry"]


def _record_age(seconds: int) -> int:
    if seconds != -1 and not 60 <= seconds <= 604_800:
        raise ValueError("must be -1 (forever) or from 60 to 604800")  # V-9
    return seconds


def _unix_seconds(moment: object) -> object:
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValueError("a date needs a time zone, such as 2026-01-31T00:00:00Z")
    return moment.timestamp()


Seconds: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
RecordAge: TypeAlias = Annotated[int, AfterValidator(_record_age)]
Moment: TypeAlias = Annotated[Seconds, BeforeValidator(_unix_seconds)]


class MappingOptions(BaseModel):  # type: ignore[explicit-any]  # pydantic's own __init__
    """How one mapping batches, retries and gives up.

    Each description is what an error shows as its hint: the unit and the range.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_by_name=True,
        validate_by_alias=True,
        loc_by_alias=False,
    )

    batch_size: int = Field(
        100,
        ge=1,
        le=10_000,
        validation_alias="BatchSize",
        description="records a batch, 1 to 10000",
    )
    maximum_batching_window_in_seconds: int = Field(
        0,
        ge=0,
        le=300,
        validation_alias="MaximumBatchingWindowInSeconds",
        description="seconds to wait for a fuller batch, 0 to 300; 0 waits for nothing",
    )
    starting_position: StartingPosition = Field(
        "TRIM_HORIZON",
        validation_alias="StartingPosition",
        description="where a new mapping starts: TRIM_HORIZON, LATEST, or AT_TIMESTAMP where the source has it",
    )
    starting_position_timestamp: Moment | None = Field(
        None,
        ge=0,
        validation_alias="StartingPositionTimestamp",
        description="UNIX seconds or a date with a time zone; only with AT_TIMESTAMP",
    )
    parallelization_factor: int = Field(
        1,
        ge=1,
        le=10,
        validation_alias="ParallelizationFactor",
        description="lanes a shard, 1 to 10; order holds within a partition key",
    )
    maximum_retry_attempts: int = Field(
        -1,
        ge=-1,
        le=10_000,
        validation_alias="MaximumRetryAttempts",
        description="retries of a failed batch, 0 to 10000; -1 retries until the data is gone",
    )
    maximum_record_age_in_seconds: RecordAge = Field(
        -1,
        validation_alias="MaximumRecordAgeInSeconds",
        description="seconds after which a failing record is given up, 60 to 604800; -1 never",
    )
    bisect_batch_on_function_error: bool = Field(
        default=False,
        validation_alias="BisectBatchOnFunctionError",
        description="split a failed batch in two: true or false",
    )
    report_batch_item_failures: bool = Field(
        default=False,
        validation_alias="FunctionResponseTypes",
        description="read batchItemFailures from what the handler returns: true or false",
    )
    on_failure: str | None = Field(
        None,
        min_length=1,
        validation_alias="DestinationConfig",
        description="a locator for records that are given up, such as file:failures.jsonl",
    )
    enabled: bool = Field(
        default=True,
        validation_alias="Enabled",
        description="whether the mapping runs: true or false",
    )
    timeout: Seconds | None = Field(
        None, gt=0, validation_alias="Timeout", description="seconds for one call, above 0"
    )
    maximum_concurrency: int | None = Field(
        None, ge=1, le=1000, description="calls of this trigger at a time in one process, 1 to 1000"
    )
    state: str | None = Field(
        None, min_length=1, description="a state locator for this trigger alone, such as memory:"
    )
    on_invalid: WhenInvalid | None = Field(
        None,
        description="a record that does not fit the handler's type: discard (give it up at once) or retry; "
        "by default discard with on_failure, else retry",
    )
    idle_poll_seconds: Seconds = Field(
        1.0,
        ge=0.25,
        le=300,
        description="seconds between two reads of a shard that had no records for 10 s, 0.25 to 300",
    )
    checkpoint_interval_seconds: Seconds | None = Field(
        None,
        ge=0,
        le=300,
        description="least seconds between two saves of one shard, 0 (after each batch) to 300; "
        "the default is the state's own",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> MappingOptions:
        if self.starting_position == "AT_TIMESTAMP":
            if self.starting_position_timestamp is None:
                raise ValueError(
                    "starting_position='AT_TIMESTAMP' needs starting_position_timestamp"
                )
        elif self.starting_position_timestamp is not None:
            raise ValueError("starting_position_timestamp needs starting_position='AT_TIMESTAMP'")
        return self

    @property
    def discards_invalid(self) -> bool:
        """Whether a record that does not fit the handler's type is given up without another call."""
        if self.on_invalid is None:
            return self.on_failure is not None
        return self.on_invalid == "discard"


OPTION_NAMES: tuple[str, ...] = tuple(MappingOptions.model_fields)
"""All options in our spelling, in the order in which docs and `list -v` show them."""

AWS_NAMES: Mapping[str, str] = {
    name: field.validation_alias
    for name, field in MappingOptions.model_fields.items()
    if isinstance(field.validation_alias, str)
}
"""Our spelling to Lambda's, for the options that Lambda has."""

_OURS = {theirs: ours for ours, theirs in AWS_NAMES.items()}


def canonical(given: Mapping[str, object], *, where: str = "") -> dict[str, object]:
    """The same options in our spelling, with Lambda's two nested forms read.

    Args:
        given: option names, ours or Lambda's, to values; values are not checked here.
        where: what says so, such as "trigger 'notify'"; begins each error message.

    Raises:
        OptionError: a name that is unknown or not supported, both spellings of one option, or an unreadable
            nested form.
    """
    found: dict[str, object] = {}
    for name, value in given.items():
        option = _OURS.get(name, name)
        if option not in MappingOptions.model_fields:
            raise unknown_option(name, _nearest_names(name), _prefix(where))
        if option in found:
            raise OptionError(
                f"{_prefix(where)}{option} is given twice, also as {AWS_NAMES[option]}",
                hint="keep one of the two spellings",
            )
        found[option] = _unnest(name, value, where)
    return found


def read_options(
    given: Mapping[str, object], *, where: str = "", origins: Mapping[str, str] | None = None
) -> MappingOptions:
    """Check options, in our spelling or Lambda's, against the ranges.

    `origins` has where an option's value came from, for the message about that option.

    Raises:
        OptionError: unknown name, wrong type, out of range, or options that do not go together.
    """
    options = canonical(given, where=where)
    try:
        return MappingOptions.model_validate(options)
    except ValidationError as error:
        raise _option_error(error.errors()[0], where, origins or {}) from None


def _nearest_names(name: str) -> tuple[str, ...]:
    """Lambda's spelling is suggested where it is close, and not listed."""
    both = (*OPTION_NAMES, *_OURS)
    return OPTION_NAMES if close_name(name, both) is None else both


def _unnest(name: str, value: object, where: str) -> object:
    match name, value:
        case "FunctionResponseTypes", []:
            return False
        case "FunctionResponseTypes", ["ReportBatchItemFailures"]:
            return True
        case "DestinationConfig", {"OnFailure": {"Destination": str(destination)}}:
            return destination or None
        case "DestinationConfig", {"OnFailure": {**rest}} if not rest:
            return None
        case "DestinationConfig", {**rest} if not rest:
            return None
        case "FunctionResponseTypes" | "DestinationConfig", _:
            raise OptionError(
                f"{_prefix(where)}{name}={_shown(value)} is not what Lambda takes",
                hint=_FORMS[name],
            )
        case _:
            return value


_FORMS = {
    "FunctionResponseTypes": 'write FunctionResponseTypes = ["ReportBatchItemFailures"] or []',
    "DestinationConfig": 'write DestinationConfig = { OnFailure = { Destination = "..." } }',
}


def _option_error(details: ErrorDetails, where: str, origins: Mapping[str, str]) -> OptionError:
    why = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return OptionError(f"{_prefix(where)}{why}", hint="change one of the two")
    name = str(details["loc"][0])
    why = why[:1].lower() + why[1:]
    return OptionError(
        f"{_prefix(where)}{name}={_shown(details['input'])}{_source(name, origins)}: {why}",
        hint=f"{name}: {MappingOptions.model_fields[name].description}",
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _source(name: str, origins: Mapping[str, str]) -> str:
    return f" (from {origins[name]})" if name in origins else ""


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""
