"""GetRecords through boto3, for setups that the fast transport cannot serve.

The `before-parse` hook takes the body away before botocore walks it: a page then costs a fifteenth.
"""

from __future__ import annotations

from typing import Any

from triggerkit.aws.clients import service_time
from triggerkit.aws.credentials import RenewableCredentials
from triggerkit.aws.errors import client_side_error, date_of, refusal_of
from triggerkit.aws.intact import DamagedBody, checked_body, simplify_error
from triggerkit.aws.limits import (
    OversizedBody,
    limit_replies,
    too_large,
    within,
)
from triggerkit.aws.transport import GET_RECORDS, Reply, damaged
from triggerkit.ports import Services, SourceTraits

_BODY = "TriggerkitBody"


class BotocoreTransport:
    """A boto3 client of its own, limited to one attempt a call; calls go through the runner."""

    def __init__(
        self,
        client: Any,
        credentials: RenewableCredentials,
        services: Services,
        thing: str,
        traits: SourceTraits,
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._services = services
        self._thing = thing
        self._traits = traits
        limit_replies(client, traits.reply_bytes)
        client.meta.events.register("before-parse.dynamodb-streams.GetRecords", self._keep_body)

    async def get_records(self, iterator: str, limit: int) -> Reply:
        """See `Transport`."""
        reply = await within(
            self._services.run,
            lambda: self._credentials.retried(lambda: self._call(iterator, limit)),
            GET_RECORDS,
            self._thing,
            self._traits.call_seconds,
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
        except DamagedBody as error:
            raise damaged(self._thing, str(error)) from error
        except OversizedBody as error:
            raise too_large(GET_RECORDS, self._thing, error) from error
        except BotoCoreError as error:
            raise client_side_error(error, GET_RECORDS, self._thing) from error
        metadata = answer["ResponseMetadata"]
        has_checksum = "x-amz-crc32" in metadata["HTTPHeaders"]
        return Reply(answer[_BODY], service_time(date_of(metadata)), has_checksum)

    def _keep_body(
        self, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
    ) -> None:
        if simplify_error(response_dict):
            return
        body, status, headers = (response_dict[name] for name in ("body", "status_code", "headers"))
        whole = checked_body(body, status, headers, self._traits.reply_bytes)
        customized_response_dict[_BODY] = whole
        response_dict["body"] = b"{}"
