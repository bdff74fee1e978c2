"""AWS errors become ours by their codes."""

from __future__ import annotations

import pytest
from botocore import exceptions

from triggerkit.aws.errors import AwsError, client_side_error, translated
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


def refusal(code: str, status: int = 400) -> AwsError:
    return AwsError(code, "text", status, action="dynamodb:GetRecords", thing="shard s")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ResourceNotFoundException", SourceNotFoundError),
        ("AccessDeniedException", PermissionDeniedError),
        ("UnrecognizedClientException", CredentialsError),
        ("ExpiredTokenException", CredentialsError),
        ("InvalidSignatureException", CredentialsError),
        ("ThrottlingException", ThrottledError),
        ("LimitExceededException", ThrottledError),
        ("ProvisionedThroughputExceededException", ThrottledError),
        ("TrimmedDataAccessException", PositionTrimmedError),
        ("InternalServerError", SourceError),
        ("ValidationException", RequestRefusedError),
        ("SerializationException", RequestRefusedError),
        ("UnknownOperationException", RequestRefusedError),
        ("", SourceError),
    ],
)
def test_each_code_has_its_error_with_a_hint(code: str, error: type[SourceError]) -> None:
    told = refusal(code).error()
    assert type(told) is error
    assert "dynamodb:GetRecords on shard s" in told.message
    assert told.hint


def test_a_text_that_sounds_like_a_code_is_no_code() -> None:
    told = AwsError(
        "ValidationException", "ThrottlingException AccessDenied", 400, action="a", thing="t"
    ).error()
    assert type(told) is RequestRefusedError


def test_b6_what_can_never_pass_is_told_as_permanent_with_the_text_of_the_service() -> None:
    told = AwsError("ValidationException", "Invalid StreamArn", 400, action="a", thing="t").error()
    assert told.permanent
    assert "Invalid StreamArn" in told.message
    assert "tries it again" not in told.hint
    assert not refusal("InternalServerError").error().permanent


def test_e2_a_redirect_is_an_error_that_says_why_it_is_not_followed() -> None:
    told = refusal("", 307).error()
    assert type(told) is EndpointUnreachableError
    assert "redirect" in told.message
    assert "credentials" in told.hint


def test_a_missing_permission_names_the_action_to_allow() -> None:
    assert "allow dynamodb:GetRecords" in refusal("AccessDeniedException").error().hint


def test_faults_of_the_service_may_pass_and_throttles_are_not_faults() -> None:
    assert refusal("InternalServerError", 500).passing
    assert refusal("", 503).passing
    assert not refusal("ThrottlingException", 503).passing
    assert not refusal("ValidationException", 400).passing


def test_no_refusal_leaves_untranslated() -> None:
    with pytest.raises(ThrottledError) as told, translated():
        raise refusal("ThrottlingException")
    assert isinstance(told.value.__cause__, AwsError)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (exceptions.NoCredentialsError(), CredentialsError),
        (exceptions.PartialCredentialsError(provider="p", cred_var="v"), CredentialsError),
        (exceptions.ProfileNotFound(profile="p"), CredentialsError),
        (exceptions.UnauthorizedSSOTokenError(), CredentialsError),
        (exceptions.ConfigParseError(path="config", error="half"), CredentialsError),
        (exceptions.NoRegionError(), LocatorError),
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), EndpointUnreachableError),
        (exceptions.ConnectTimeoutError(endpoint_url="http://x"), EndpointUnreachableError),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), EndpointUnreachableError),
        (exceptions.ConnectionClosedError(endpoint_url="http://x"), EndpointUnreachableError),
        (exceptions.SSLError(endpoint_url="http://x", error="e"), EndpointUnreachableError),
        (exceptions.ProxyConnectionError(proxy_url="http://x"), EndpointUnreachableError),
        (exceptions.WaiterError(name="n", reason="r", last_response={}), SourceError),
    ],
)
def test_what_botocore_raises_by_itself_has_its_error_too(
    raised: Exception, error: type[TriggerkitError]
) -> None:
    told = client_side_error(raised, "dynamodb:DescribeTable", "table 'orders'")
    assert type(told) is error
    assert "'orders'" in told.message
    assert told.hint
