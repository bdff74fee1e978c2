"""One try of every call that reading needs, so that a role which lacks one is refused at the start."""

from __future__ import annotations

import asyncio

from triggerkit.aws.errors import AwsError
from triggerkit.aws.transport import Transport
from triggerkit.core.model import LATEST
from triggerkit.errors import PermissionDeniedError, SourceError
from triggerkit.sources.dynamodb.service import StreamArn
from triggerkit.sources.dynamodb.streams_api import StreamsApi

LIMIT_SECONDS = 5.0
"""How long the start waits for it: whatever is slow or broken is met again, and told, by the readers."""


async def try_to_read(api: StreamsApi, transport: Transport, arn: StreamArn, shard: str) -> None:
    """Read nothing from the tip of one shard.

    Args:
        api: the control plane.
        transport: the way GetRecords goes.
        arn: the stream.
        shard: any shard that it lists.

    Raises:
        PermissionDeniedError: GetShardIterator or GetRecords is not allowed; names which.
    """
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            iterator, _ = await api.shard_iterator(arn, shard, LATEST)
            await transport.get_records(iterator, 1)
    except AwsError as refusal:
        error = refusal.error()
        if isinstance(error, PermissionDeniedError):
            raise error from refusal
    except PermissionDeniedError:
        raise
    except (SourceError, TimeoutError):
        return  # nothing that concerns permissions; the readers try again
