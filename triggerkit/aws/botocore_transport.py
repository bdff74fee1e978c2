"""GetRecords through boto3, for setups that the fast transport cannot serve.

The `before-parse` hook takes the body away before botocore walks it: a page then costs a fifteenth.
"""

from __future__ import annotations

from typing import Any

from triggerkit.aws.clients import service_time
from triggerkit.aws.credentials import RenewableCredentials
from triggerkit.aws.errors import client_side_error, date_of, refusal_of
from triggerkit.aws.transport import GET_RECORDS, Reply, check_body, damaged
from triggerkit.ports import Services

_BODY = "TriggerkitBody"


class BotocoreTransport:
    """A boto3 client of its own, limited to one attempt a call; calls go through the runner."""

    def __init__(
        self, client: Any, credentials: RenewableCredentials, services: Services, thing: str
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._services = services
        self._thing = thing
        client.meta.events.register("before-parse.dynamodb-streams.GetRecords", _keep_body)

    async def get_records(self, iterator: str, limit: int) -> Reply:
        """See `Transport`."""
        reply = await self._services.run(
            lambda: self._credentials.retried(lambda: self._call(iterator, limit))
        )
        if reply.service_seconds:
            self._services.clock.observe_service_time(reply.service_seconds)
        return reply

    async def close(self) -> None:
        """Close connections."""
        await self._services.run(self._client.close)

    def _call(self, iterator: str, limit: int) -> Reply:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            IncompleteReadError,
            ResponseStreamingError,
        )

        try:
            answer = self._client.get_records(ShardIterator=iterator, Limit=limit)
        except ClientError as error:
            raise refusal_of(error, GET_RECORDS, self._thing) from error
        except (IncompleteReadError, ResponseStreamingError) as error:
            raise damaged(self._thing, "it was cut short") from error
        except BotoCoreError as error:
            raise client_side_error(error, GET_RECORDS, self._thing) from error
        body: bytes = answer[_BODY]
        metadata = answer["ResponseMetadata"]
        check_body(body, metadata["HTTPHeaders"], self._thing)
        return Reply(body, service_time(date_of(metadata)))


def _keep_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    if response_dict["status_code"] == 200:
        customized_response_dict[_BODY] = response_dict["body"]
        response_dict["body"] = b"{}"
