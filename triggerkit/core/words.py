"""Numbers, durations and long names in sentences for people."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """`1 record`, `2,000 records`."""
    ending = "es" if thing.endswith("ch") else "s"
    return f"{number:,} {thing}{'' if number == 1 else ending}"


def in_time(seconds: float) -> str:
    """A duration in two digits or so: `12 ms`, `0.4 s`, `3 min`, `2.5 h`."""
    if seconds < 0.0005:
        return "0 ms"
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{f'{seconds:.1f}'.removesuffix('.0')} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def short_name(name: str) -> str:
    """The end of a long name, as the log shows shards and request ids."""
    return name if len(name) <= 9 else f"~{name[-8:]}"
