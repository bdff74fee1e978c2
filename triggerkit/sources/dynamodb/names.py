"""What a source is called in lease keys: everything that makes two streams different, in short."""

from __future__ import annotations

from urllib.parse import quote

from triggerkit.aws.endpoints import endpoint_name
from triggerkit.aws.sessions import Access
from triggerkit.sources.dynamodb.opening import LOCAL_REGION
from triggerkit.sources.shards.lineage import StreamArn


def name_of(arn: StreamArn, access: Access, region: str, endpoint_url: str) -> str:
    """`dynamodb/TABLE/ACCOUNT/REGION`, and `/ENDPOINT` where that is not AWS's; no `:` in it.

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
