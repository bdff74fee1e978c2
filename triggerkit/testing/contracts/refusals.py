"""Which error a contract expects: its class and a part of its message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refused(error: type[Exception], saying: str = "") -> Iterator[None]:
    """Fail unless the block raises `error` with a message in which `saying`, a pattern, is found."""
    try:
        yield
    except error as raised:
        told = str(raised)
        assert re.search(saying, told), f"{error.__name__} says {told!r}, not {saying!r}"
    else:
        raise AssertionError(f"no {error.__name__} was raised")
