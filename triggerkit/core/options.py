"""Every option of a mapping, spelled once. Rule: an option is honoured or refused, never ignored.

Names are Lambda's API names in snake case; Lambda's own spelling (`BatchSize`) is read too. Ranges
and defaults are Lambda's (lambda-contract P-3 to P-16), so what runs here can go back to Lambda.
Values are strict: text is not turned into numbers here; `--set` has its own step for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

from triggerkit.errors import OptionError, close_name, nearest

StartingPosition: TypeAlias = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
Isolation: TypeAlias = Literal["none", "process"]
WhenUnavailable: TypeAlias = Literal["hold", "drop"]
WhenInvalid: TypeAlias = Literal["discard", "retry"]
Poll: TypeAlias = Literal["default", "eager"]


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


def _as_tuple(filters: object) -> object:
    if isinstance(filters, Sequence) and not isinstance(filters, str | bytes):
        return tuple(filters)
    return (filters,)


Seconds: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
RecordAge: TypeAlias = Annotated[int, AfterValidator(_record_age)]
Moment: TypeAlias = Annotated[Seconds, BeforeValidator(_unix_seconds)]
Filters: TypeAlias = Annotated[tuple[object, ...], BeforeValidator(_as_tuple)]


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

    # --- Lambda's ---------------------------------------------------------------------------------

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
        description="where a new mapping starts: TRIM_HORIZON, LATEST or AT_TIMESTAMP",
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
    tumbling_window_in_seconds: int = Field(
        0,
        ge=0,
        le=900,
        validation_alias="TumblingWindowInSeconds",
        description="seconds of one aggregation window, 0 to 900; 0 is off",
    )
    filters: Filters = Field(
        (), max_length=10, validation_alias="FilterCriteria", description="one pattern or up to ten"
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
    memory_size: int | None = Field(
        None,
        ge=128,
        le=10_240,
        validation_alias="MemorySize",
        description="megabytes, 128 to 10240",
    )

    # --- ours -------------------------------------------------------------------------------------

    isolation: Isolation = Field(
        "none", description="where handlers run: none (this process) or process (a child process)"
    )
    maximum_concurrency: int | None = Field(
        None, ge=1, le=1000, description="calls of this trigger at a time in one process, 1 to 1000"
    )
    state: str | None = Field(
        None, min_length=1, description="a state locator for this trigger alone, such as memory:"
    )
    transactional: bool = Field(
        default=False, description="commit effects together with the checkpoint: true or false"
    )
    on_failure_unavailable: WhenUnavailable = Field(
        "hold",
        description="when on_failure cannot be reached: hold (lose nothing) or drop (as Lambda)",
    )
    on_invalid: WhenInvalid | None = Field(
        None,
        description="a record that does not fit the handler's type: discard (give it up at once) or retry; "
        "by default discard with on_failure, else retry",
    )
    poll: Poll = Field("default", description="how often idle shards are read: default or eager")
    idle_poll_seconds: Seconds = Field(
        1.0, ge=0.25, le=300, description="seconds between two reads of an idle shard, 0.25 to 300"
    )
    checkpoint_interval_seconds: Seconds | None = Field(
        None, ge=0, le=300, description="least seconds between two saves of one shard, 0 to 300"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> MappingOptions:
        for broken, why in (
            (
                self.tumbling_window_in_seconds and self.parallelization_factor > 1,
                "tumbling_window_in_seconds needs parallelization_factor=1",  # V-13
            ),
            (
                self.tumbling_window_in_seconds and self.filters,
                "tumbling_window_in_seconds does not go with filters",  # V-14
            ),
            (
                self.starting_position_timestamp is not None
                and self.starting_position != "AT_TIMESTAMP",
                "starting_position_timestamp needs starting_position='AT_TIMESTAMP'",  # V-15
            ),
            (
                self.starting_position == "AT_TIMESTAMP"
                and self.starting_position_timestamp is None,
                "starting_position='AT_TIMESTAMP' needs starting_position_timestamp",
            ),
            (
                self.transactional
                and (self.parallelization_factor > 1 or self.tumbling_window_in_seconds),
                "transactional needs parallelization_factor=1 and no tumbling window",
            ),
        ):
            if broken:
                raise ValueError(why)
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

HONOURED = frozenset(
    {
        "batch_size",
        "maximum_batching_window_in_seconds",
        "parallelization_factor",
        "starting_position",
        "maximum_retry_attempts",
        "maximum_record_age_in_seconds",
        "bisect_batch_on_function_error",
        "report_batch_item_failures",
        "enabled",
        "timeout",
        "maximum_concurrency",
        "checkpoint_interval_seconds",
        "state",
        "on_failure",
        "on_invalid",
    }
)
"""What this version keeps; `check_honoured` refuses the others unless they are at their default."""

READ_ONLY_NAMES = frozenset(
    {
        "AmazonManagedKafkaEventSourceConfig",
        "DocumentDBEventSourceConfig",
        "EventSourceArn",
        "EventSourceMappingArn",
        "FilterCriteriaError",
        "FunctionArn",
        "FunctionName",
        "KMSKeyArn",
        "LastModified",
        "LastProcessingResult",
        "LoggingConfig",
        "MetricsConfig",
        "ProvisionedPollerConfig",
        "Queues",
        "ResponseMetadata",
        "ScalingConfig",
        "SelfManagedEventSource",
        "SelfManagedKafkaEventSourceConfig",
        "SourceAccessConfigurations",
        "State",
        "StateTransitionReason",
        "Topics",
        "UUID",
    }
)
"""What GetEventSourceMapping answers beside the options of a stream: a configuration may repeat it."""

_OURS = {theirs: ours for ours, theirs in AWS_NAMES.items()}


def canonical(given: Mapping[str, object], *, where: str = "") -> dict[str, object]:
    """The same options in our spelling, with Lambda's three nested forms read (P-13, P-14, P-16).

    Args:
        given: option names, ours or Lambda's, to values; values are not checked here.
        where: who says so, such as "trigger 'notify'"; begins each error message.

    Raises:
        OptionError: an unknown name, both spellings of one option, or an unreadable nested form.
    """
    found: dict[str, object] = {}
    for name, value in given.items():
        option = name if name in MappingOptions.model_fields else _OURS.get(name)
        if option is None:
            raise OptionError(
                f"{_prefix(where)}unknown option {name!r}",
                hint=_nearest_option(name),
            )
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

    `origins` tells where an option's value came from; the message about that option says so.

    Raises:
        OptionError: unknown name, wrong type, out of range, or options that do not go together.
    """
    options = canonical(given, where=where)
    try:
        return MappingOptions.model_validate(options)
    except ValidationError as error:
        raise _told(error.errors()[0], where, origins or {}) from None


def check_honoured(
    options: MappingOptions,
    *,
    scheme: str = "",
    where: str = "",
    origins: Mapping[str, str] | None = None,
) -> None:
    """Refuse what this version does not keep.

    Args:
        options: the options of one mapping, checked.
        scheme: the scheme of the mapping's source, such as `dynamodb`; empty leaves out its rules.
        where: begins each error message.
        origins: as in `read_options`.

    Raises:
        OptionError: an option that is not in `HONOURED` differs from its default, or has a value
            that the source or this version does not serve.
    """
    if scheme == "dynamodb" and options.starting_position == "AT_TIMESTAMP":  # V-3
        raise OptionError(
            f"{_prefix(where)}starting_position='AT_TIMESTAMP': not with DynamoDB Streams",
            hint="use TRIM_HORIZON (all that is kept, up to 24 hours) or LATEST",
        )
    for name in OPTION_NAMES:
        value: object = getattr(options, name)
        if name not in HONOURED and value != MappingOptions.model_fields[name].default:
            raise OptionError(
                f"{_prefix(where)}{name}={_shown(value)}{_source(name, origins or {})} "
                "is not available in this version",
                hint=f"leave {name} out; available: {', '.join(sorted(HONOURED))}",
            )
    if options.on_failure is not None and not options.on_failure.startswith("file:"):
        raise OptionError(
            f"{_prefix(where)}on_failure={options.on_failure!r}: this version writes to files only",
            hint="use on_failure='file:failures.jsonl'",
        )


def _nearest_option(name: str) -> str:
    """Lambda's spelling is suggested where it is close, and not listed."""
    both = (*OPTION_NAMES, *_OURS)
    return nearest(name, OPTION_NAMES if close_name(name, both) is None else both)


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
        case "FilterCriteria", {**rest} if not rest:
            return ()
        case "FilterCriteria", {"Filters": [*filters]}:
            return tuple(
                entry["Pattern"] if isinstance(entry, Mapping) and "Pattern" in entry else entry
                for entry in filters
            )
        case "FunctionResponseTypes" | "DestinationConfig" | "FilterCriteria", _:
            raise OptionError(
                f"{_prefix(where)}{name}={_shown(value)} is not what Lambda takes",
                hint=_FORMS[name],
            )
        case _:
            return value


_FORMS = {
    "FunctionResponseTypes": 'write FunctionResponseTypes = ["ReportBatchItemFailures"] or []',
    "DestinationConfig": 'write DestinationConfig = { OnFailure = { Destination = "..." } }',
    "FilterCriteria": 'write FilterCriteria = { Filters = [ { Pattern = "..." } ] }',
}


def _told(details: ErrorDetails, where: str, origins: Mapping[str, str]) -> OptionError:
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
