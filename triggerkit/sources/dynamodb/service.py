"""DynamoDB Streams: its traits, the ARNs of its streams, and what they are called in lease keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from triggerkit.aws.endpoints import endpoint_name
from triggerkit.aws.sessions import Access
from triggerkit.errors import LocatorError
from triggerkit.ports import ShardId, SourceTraits
from triggerkit.sources.shards.lineage import shard_id

TRAITS = SourceTraits(
    kind="change",
    retention_seconds=24 * 3600.0,
    page_records=1000,
    full_page_bytes=900_000,  # pages are cut at 1 MB
    call_seconds=20.0,
    reply_bytes=16
    * 2**20,  # AWS sends 1 MB, DynamoDB Local and others a thousand items of 400 KB at the worst
    starting_positions=frozenset({"TRIM_HORIZON", "LATEST"}),
    batch_info="DDBStreamBatchInfo",
    arrival_precision="seconds",
)
LOCAL_REGION = "ddblocal"
"""What DynamoDB Local writes into ARNs; no Region that a client could be made for."""


@dataclass(frozen=True, slots=True)
class StreamArn:
    """A stream's ARN, taken apart."""

    text: str
    region: str
    account: str
    table: str
    label: str

    @property
    def incarnation(self) -> str:
        """The stream's label without `:`, as lease keys need it."""
        return self.label.replace(":", "_")

    @property
    def made_seconds(self) -> float | None:
        """When the stream was made, as its label has it: 2026-01-01T00:00:00.000, in UTC."""
        try:
            return datetime.fromisoformat(self.label).replace(tzinfo=UTC).timestamp()
        except ValueError:
            return None

    def shard_id(self, name: str) -> ShardId:
        """The id of this stream's shard `name`."""
        return shard_id(self.incarnation, name)


def parse_stream_arn(text: str) -> StreamArn:
    """Take `arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL` apart.

    Raises:
        LocatorError: it is not such an ARN.
    """
    parts = text.split(":", 5)
    resource = parts[5].split("/", 3) if len(parts) == 6 else []
    if len(resource) != 4 or resource[0] != "table" or resource[2] != "stream" or not resource[3]:
        raise LocatorError(
            f"{text!r} is no ARN of a DynamoDB stream",
            hint="it looks like arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL",
        )
    return StreamArn(text, parts[3], parts[4], resource[1], resource[3])


@lru_cache(maxsize=128)  # every call of a handler names its source
def name_of(arn: StreamArn, access: Access, region: str, endpoint_url: str) -> str:
    """What a source is called in lease keys: `dynamodb/TABLE/ACCOUNT/REGION`, and `/ENDPOINT` if not AWS's.

    `region` and `endpoint_url` are those of the client that reads the stream. Local endpoints have one
    account for all and DynamoDB Local one Region, but may keep a database for each caller and Region: there
    the role or profile stands for the account, and the client's Region for the ARN's.
    """
    account = arn.account if arn.account.strip("0") else _caller(access) or arn.account
    place = region if arn.region in {"", LOCAL_REGION} else arn.region
    endpoint = endpoint_name(endpoint_url, access.endpoint_name)
    parts = ("dynamodb", arn.table, account, place, endpoint)
    return "/".join(part for part in parts if part)


def former_name_of(arn: StreamArn) -> str:
    """The name without endpoint and caller, as rows had it up to December 2026."""
    return f"dynamodb/{arn.table}/{arn.account}/{arn.region}"


def _caller(access: Access) -> str:
    if access.role_arn:
        return f"role-{quote(access.role_arn, safe='')}"
    return f"profile-{quote(access.profile, safe='')}" if access.profile else ""
