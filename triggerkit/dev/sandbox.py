"""The environment of `dev`: what runs in it cannot reach AWS by accident.

Every service goes to one endpoint on loopback, credentials are dummies, no profile is read and no
metadata service is asked. `reaching_aws` opts out: then DynamoDB alone stays on this machine.
Source: SDKs and Tools guide, feature-ss-endpoints; each SDK that is up to date reads these variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

DUMMY_KEY = "triggerkit"
"""Letters only: DynamoDB Local takes nothing else."""
REGION = "us-east-1"
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there: a handler that calls AWS gets an error at once."""
_LOOPBACK = ("127.0.0.1", "localhost")
_DYNAMODB_ONLY = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS")


def exported(endpoint_url: str) -> dict[str, str]:
    """What another program needs in its environment to use the endpoint."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": DUMMY_KEY,
        "AWS_SECRET_ACCESS_KEY": DUMMY_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def sandboxed(environ: Mapping[str, str], endpoint_url: str) -> dict[str, str]:
    """`environ` without any way to AWS: all services at `endpoint_url`, which takes dummy keys."""
    kept = {name: text for name, text in environ.items() if not name.startswith("AWS_")}
    return {
        **_past_proxies(kept),
        **exported(endpoint_url),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The process's environment is `variables`, until the end of the block."""
    before = dict(os.environ)
    replace_environment(variables)
    try:
        yield
    finally:
        replace_environment(before)


def replace_environment(variables: Mapping[str, str]) -> None:
    """The process's environment is `variables` from now on."""
    os.environ.clear()
    os.environ.update(variables)


def reaching_aws(environ: Mapping[str, str], endpoint_url: str) -> dict[str, str]:
    """`environ` as it is, with its credentials; DynamoDB and its streams at `endpoint_url`."""
    ignoring = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
    kept = {name: text for name, text in environ.items() if name != ignoring}
    return {**_past_proxies(kept), **dict.fromkeys(_DYNAMODB_ONLY, endpoint_url)}


def _past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Loopback is not asked for through a proxy."""
    found = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host for host in found.split(",") if host]
    hosts += [host for host in _LOOPBACK if host not in hosts]
    return {**environ, "NO_PROXY": ",".join(hosts), "no_proxy": ",".join(hosts)}
