"""GetRecords over our own HTTP client with our own signature; nothing in here blocks the event loop."""

from __future__ import annotations

import ssl

import msgspec

from triggerkit.aws.clients import service_time
from triggerkit.aws.credentials import KeyRing
from triggerkit.aws.errors import AwsError
from triggerkit.aws.http import Answer, CutShortError, HttpClient
from triggerkit.aws.intact import DamagedBody, checked_body, error_in
from triggerkit.aws.limits import OversizedBody, too_large, too_slow
from triggerkit.aws.signing import Keys, Signer
from triggerkit.aws.transport import GET_RECORDS, Endpoint, Reply, damaged
from triggerkit.errors import EndpointUnreachableError
from triggerkit.ports import Services, SourceTraits


def tls_for(endpoint: Endpoint) -> ssl.SSLContext | None:
    """What `FastTransport` needs for an https endpoint; None for http. Blocks: it reads the CA file.

    Raises:
        OSError: the CA file cannot be read.
    """
    if not endpoint.url.startswith("https:"):
        return None
    return ssl.create_default_context(cafile=endpoint.certificates)


class FastTransport:
    """Implements `Transport`. Signs with service time, so that a host clock which is wrong does no harm."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: ssl.SSLContext | None,
        key_ring: KeyRing,
        services: Services,
        thing: str,
        traits: SourceTraits,
    ) -> None:
        self._url = endpoint.url
        self._http = HttpClient(
            endpoint.url, tls, services.run, traits.reply_bytes, traits.call_seconds
        )
        self._traits = traits
        self._key_ring = key_ring
        self._clock = services.clock
        self._thing = thing
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "host": endpoint.host,
            "x-amz-target": "DynamoDBStreams_20120810.GetRecords",
        }
        self._signer = Signer(headers, endpoint.scope)

    async def get_records(self, iterator: str, limit: int) -> Reply:
        """See `Transport`. Credentials that expired or were rotated are looked for again once."""
        body = msgspec.json.encode({"ShardIterator": iterator, "Limit": limit})
        keys = await self._key_ring.keys()
        try:
            return await self._post(body, keys)
        except AwsError as refusal:
            if not refusal.about_credentials:
                raise
            if not await self._key_ring.renew(keys, refusal.code):
                self._key_ring.explain(refusal, renewed=False)
                raise
        try:
            return await self._post(body, await self._key_ring.keys())
        except AwsError as refusal:
            self._key_ring.explain(refusal, renewed=True)
            raise

    async def close(self) -> None:
        """Close connections and end the look for credentials."""
        await self._key_ring.close()
        await self._http.close()

    async def _post(self, body: bytes, keys: Keys) -> Reply:
        head = self._signer.head(body, keys, self._clock.now().service_seconds)
        # Unzipping costs more than a page's way over the network inside a Region: none is asked for.
        request = (
            b"%baccept-encoding: identity\r\nuser-agent: triggerkit\r\ncontent-length: %d\r\n\r\n%b"
            % (
                head,
                len(body),
                body,
            )
        )
        try:
            answer = await self._http.post(request)
        except CutShortError as error:
            raise damaged(self._thing, "it was cut short") from error
        except TimeoutError as error:
            raise too_slow(GET_RECORDS, self._thing, str(error)) from error
        except OversizedBody as error:
            raise too_large(GET_RECORDS, self._thing, error) from error
        except (OSError, ValueError) as error:  # UnicodeError: no host can have that name
            raise self._unreachable(error) from error
        service_seconds = service_time(answer.headers.get("date", ""))
        if service_seconds:
            self._clock.observe_service_time(service_seconds)
        if answer.status >= 300:
            raise self._refusal(answer)
        try:
            whole = checked_body(
                answer.body, answer.status, answer.headers, self._traits.reply_bytes
            )
        except DamagedBody as error:
            raise damaged(self._thing, str(error)) from error
        except OversizedBody as error:
            raise too_large(GET_RECORDS, self._thing, error) from error
        return Reply(whole, service_seconds, "x-amz-crc32" in answer.headers)

    def _unreachable(self, error: Exception) -> EndpointUnreachableError:
        why = str(error) or type(error).__name__
        return EndpointUnreachableError(
            f"{GET_RECORDS} on {self._thing}: no answer from {self._url}: {why}",
            hint="check endpoint_url, AWS_ENDPOINT_URL_DYNAMODB_STREAMS and that the server runs; "
            "behind a proxy or firewall this host must be allowed",
        )

    def _refusal(self, answer: Answer) -> AwsError:
        code, text = error_in(answer.body, answer.headers.get("x-amzn-errortype", ""))
        return AwsError(code, text, answer.status, action=GET_RECORDS, thing=self._thing)
