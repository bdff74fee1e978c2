"""Names of a Lambda event source mapping that are no options here."""

from __future__ import annotations

from collections.abc import Sequence

from triggerkit.errors import OptionError, nearest

REPORTED = frozenset(
    {
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
        "ResponseMetadata",
        "State",
        "StateTransitionReason",
        "UUID",
    }
)
"""What GetEventSourceMapping answers beside the options of a stream: a configuration may repeat it."""

NOT_SUPPORTED = frozenset(
    {
        "AmazonManagedKafkaEventSourceConfig",
        "DocumentDBEventSourceConfig",
        "FilterCriteria",
        "MemorySize",
        "ProvisionedPollerConfig",
        "Queues",
        "ScalingConfig",
        "SelfManagedEventSource",
        "SelfManagedKafkaEventSourceConfig",
        "SourceAccessConfigurations",
        "Topics",
        "TumblingWindowInSeconds",
        "filters",
        "memory_size",
        "tumbling_window_in_seconds",
    }
)
"""What Lambda can do and this version cannot, also in the spelling of options."""


def may_be_left_out(name: str, value: object) -> bool:
    """Whether a configuration that gives this loses nothing without it, such as `Topics = []`."""
    return name in REPORTED or (name in NOT_SUPPORTED and (not value or value == {"Filters": []}))


def unknown_option(name: str, known: Sequence[str], where: str) -> OptionError:
    """The error for a name that is no option; `where` begins its message."""
    if name in NOT_SUPPORTED:
        return OptionError(f"{where}{name} is not supported yet", hint=f"leave {name} out")
    return OptionError(f"{where}unknown option {name!r}", hint=nearest(name, known))
