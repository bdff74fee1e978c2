"""Telling endpoints apart: AWS's own, and a short name for any other."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def endpoint_name(url: str, given: str = "") -> str:
    """`host_port` for an endpoint that is not AWS's, without `:` and `/`; empty for AWS's own.

    `given` stands in for `host_port` where the caller has a name that stays when the port changes. User
    and password of the URL are left out; a path is kept, as two services may share a port.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if not host or is_aws(host):
        return ""
    if given:
        return given
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    path = parts.path.strip("/")
    behind = f"_{quote(path, safe='')}" if path else ""
    return f"{_shortest(host).replace(':', '_')}_{port}{behind}"


def is_aws(host: str) -> bool:
    """Whether a host belongs to AWS, in any partition; a VPC endpoint's own name does."""
    return host.endswith(_suffixes())


@lru_cache(maxsize=1)
def _suffixes() -> tuple[str, ...]:
    from botocore.loaders import Loader

    partitions = Loader().load_data("partitions")["partitions"]
    kinds = ("dnsSuffix", "dualStackDnsSuffix")
    return tuple({f".{each['outputs'][kind]}" for each in partitions for kind in kinds})


def _shortest(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host
