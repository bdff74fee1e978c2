"""AWS error answers and botocore's exceptions, told apart by code or class and never by their text.

An `AwsError` is an answer of the service that says no. Callers that can do something about a code look
at `AwsError.code`; all others let `translated` turn it into one of `triggerkit.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from triggerkit.errors import (
    CredentialsError,
    EndpointUnreachableError,
    LocatorError,
    PermissionDeniedError,
    PositionTrimmedError,
    RequestRefusedError,
    SourceError,
    SourceNotFoundError,
    ThrottledError,
    TriggerkitError,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

EXPIRED_ITERATOR = "ExpiredIteratorException"
RESOURCE_NOT_FOUND = "ResourceNotFoundException"
TRIMMED = "TrimmedDataAccessException"
VALIDATION = "ValidationException"
AGAIN = "a running worker tries it again by itself; a start that ended here has to be repeated"
"""The hint for what may pass. It is read after a start that was refused, too."""

STALE_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "TokenRefreshRequired",
        "UnrecognizedClient",
        "UnrecognizedClientException",
    }
)
"""Codes after which other credentials may do: they expired or were rotated while the process ran."""

DOUBTFUL_SIGNATURE = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch"})
"""Codes of a wrong secret (a credentials file read while it was written), and of a wrong clock as well."""


REFUSED = frozenset(
    {
        VALIDATION,
        "SerializationException",
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "InvalidParameter",
        "MissingParameter",
        "MalformedQueryString",
    }
)
"""Codes of a request that the service calls wrong in itself."""
UNKNOWN_OPERATION = frozenset(
    {"UnknownOperationException", "UnknownOperation", "InvalidAction", "NotImplemented"}
)


class _Meaning(NamedTuple):
    error: type[SourceError]
    hint: str
    codes: frozenset[str]


_MEANINGS = (
    _Meaning(
        SourceNotFoundError,
        "check the name, the account, the Region and the endpoint",
        frozenset({RESOURCE_NOT_FOUND, "TableNotFoundException"}),
    ),
    _Meaning(
        PermissionDeniedError,
        "allow {action} on {thing} in the policy of the credentials in use",
        frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"}),
    ),
    _Meaning(
        CredentialsError,
        "the service does not take these credentials (`aws sts get-caller-identity` tells whose they are)",
        frozenset({"MissingAuthenticationTokenException", "MissingAuthenticationToken"})
        | STALE_CREDENTIALS,
    ),
    _Meaning(
        CredentialsError,
        "check the secret key and the host's clock: a signature is good for five minutes",
        frozenset(
            {
                "IncompleteSignatureException",
                "IncompleteSignature",
                "RequestTimeTooSkewed",
                "RequestExpired",
            }
        )
        | DOUBTFUL_SIGNATURE,
    ),
    _Meaning(
        ThrottledError,
        f"{AGAIN}; a DynamoDB stream serves at most two readers a shard",
        frozenset(
            {
                "ThrottlingException",
                "Throttling",
                "ThrottledException",
                "RequestThrottled",
                "RequestThrottledException",
                "ProvisionedThroughputExceededException",
                "LimitExceededException",
                "RequestLimitExceeded",
                "TooManyRequestsException",
                "SlowDown",
            }
        ),
    ),
    _Meaning(
        PositionTrimmedError,
        "records older than the stream's retention (24 hours) are gone",
        frozenset({TRIMMED}),
    ),
    _Meaning(
        RequestRefusedError,
        "the same request fails each time: check the locator; with another service than AWS behind "
        "endpoint_url, that it is one that serves DynamoDB Streams",
        REFUSED,
    ),
    _Meaning(
        RequestRefusedError,
        "this endpoint does not know {action}: let endpoint_url name one that serves DynamoDB and its streams",
        UNKNOWN_OPERATION,
    ),
)
_BY_CODE = {code: meaning for meaning in _MEANINGS for code in meaning.codes}
_OTHER = _Meaning(SourceError, AGAIN, frozenset())
_NOT_OF_AWS = f"{AGAIN}; this is no answer of DynamoDB: check endpoint_url, and proxies before it"

_CREDENTIAL_FAULTS = {
    "NoCredentialsError": "set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ?profile=NAME; "
    "a local endpoint takes any value",
    "PartialCredentialsError": "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "CredentialRetrievalError": "check the profile's credential_process, role or metadata service",
    "MetadataRetrievalError": "check that the instance or container has a role",
    "ProfileNotFound": "`aws configure list-profiles` shows the ones that exist",
    "RefreshWithMFAUnsupportedError": "use credentials that can be renewed without a code",
    "TokenRetrievalError": "run `aws sso login`",
    "NoAuthTokenError": "run `aws sso login`",
    "SSOError": "run `aws sso login`",
    "LoginError": "run `aws login`",
    "ConfigParseError": "repair the AWS configuration file",  # half of one that is being written, too
}
_LOCATOR_FAULTS = {
    "NoRegionError": "give --region, add ?region=eu-west-1 to the locator or export AWS_DEFAULT_REGION;"
    " without an account use triggerkit dev",
    "InvalidRegionError": "a Region looks like eu-west-1",
    "EndpointProviderError": "check the Region and the endpoint",
    "BaseEndpointResolverError": "check the Region and the endpoint",
}
_NETWORK_FAULTS = {
    "SSLError": "export AWS_CA_BUNDLE with the certificates to trust",
    "ProxyConnectionError": "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    "ConnectionError": "check endpoint_url, AWS_ENDPOINT_URL_DYNAMODB and that the server runs",
    "HTTPClientError": "check the network",
}
_KINDS: tuple[tuple[type[TriggerkitError], Mapping[str, str]], ...] = (
    (CredentialsError, _CREDENTIAL_FAULTS),
    (LocatorError, _LOCATOR_FAULTS),
    (EndpointUnreachableError, _NETWORK_FAULTS),
)


class AwsError(Exception):
    """An AWS error answer.

    `status` is HTTP's, `date` its header; `thing` is what was asked about, in the user's words. `hint` is
    for who knows more than the code says; it is empty otherwise.
    """

    def __init__(
        self, code: str, text: str, status: int, *, action: str, thing: str, date: str = ""
    ) -> None:
        super().__init__(f"{action} on {thing}: {code or status}: {text}")
        self.code = code
        self.text = text
        self.status = status
        self.action = action
        self.thing = thing
        self.date = date
        self.hint = ""

    @property
    def passing(self) -> bool:
        """A fault of the service (HTTP 5xx) that a second try may not meet."""
        return self.status >= 500 and self.code not in _BY_CODE

    @property
    def about_credentials(self) -> bool:
        """Whether a request signed with other credentials may be answered."""
        return self.code in STALE_CREDENTIALS or self.code in DOUBTFUL_SIGNATURE

    def error(self) -> SourceError:
        """The error of ours that says the same."""
        if 300 <= self.status < 400:
            return EndpointUnreachableError(
                f"{self.action} on {self.thing}: the endpoint answers with a redirect (HTTP {self.status})",
                hint="it is not followed, since credentials would go to another place: "
                "let endpoint_url name the address that serves DynamoDB",
            )
        meaning = _BY_CODE.get(self.code, _OTHER)
        said = f": {self.text}" if self.text else ""
        hint = meaning.hint.format(action=self.action, thing=self.thing)
        if not self.code and self.status < 500:
            hint = _NOT_OF_AWS
        return meaning.error(
            f"{self.action} on {self.thing}: {self.code or f'HTTP {self.status}'}{said}",
            hint=self.hint or hint,
        )


def date_of(metadata: Mapping[str, Any]) -> str:
    """The `Date` header in botocore's `ResponseMetadata`."""
    return str(metadata.get("HTTPHeaders", {}).get("date", ""))


def refusal_of(error: ClientError, action: str, thing: str) -> AwsError:
    """What botocore raised for an error answer, in our words."""
    fault = error.response.get("Error", {})
    metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code, text = str(fault.get("Code", "")), str(fault.get("Message", ""))
    if code == str(status):  # botocore's way of saying that there was none
        code = ""
    return AwsError(code, text, status, action=action, thing=thing, date=date_of(metadata))


@contextmanager
def translated() -> Iterator[None]:
    """Let no `AwsError` out: raise it as one of `triggerkit.errors`."""
    try:
        yield
    except AwsError as refusal:
        raise refusal.error() from refusal


def client_side_error(error: Exception, action: str, thing: str) -> TriggerkitError:
    """The error of ours for what botocore raised before the service had answered."""
    names = [kind.__name__ for kind in type(error).__mro__]
    for kind, hints in _KINDS:
        for name in names:
            if name in hints:
                return kind(f"{action} on {thing}: {error}", hint=hints[name])
    return SourceError(f"{action} on {thing}: {error}", hint=AGAIN)
