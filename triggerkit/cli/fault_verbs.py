"""What `triggerkit fault` can do: one row a command. Rule: a row says, asks and tells; nothing else differs.

Each asks the verb of the same name of the endpoint's `/_sim/`, which checks what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import click

from triggerkit.cli.flags import flag, table_argument

Given: TypeAlias = Mapping[str, Any]
Text: TypeAlias = str | Callable[[Given], str]
"""Of the parameters and, of what was done, of the answer's members."""
Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

DAMAGES = ("truncated", "corrupted", "cut", "reset")
TIMES = click.IntRange(1, 10_000)
SECONDS = click.FloatRange(0, 31_622_400)

_TABLE = table_argument
_SHARD_ID = click.argument("shard", metavar="SHARD")
_SECONDS = click.argument("seconds", type=SECONDS)
_SHARD = flag("--shard", metavar="ID", help="One shard; else every open one, for split the first.")
_ANY_SHARD = flag("--shard", metavar="ID", help="One shard; else all of them.")
_LOWER_SHARD = flag(
    "--shard", metavar="ID", help="The one of the lower hash keys; else the first open one."
)
_THROUGH = flag("--through", metavar="NUMBER", help="The last sequence number to forget.")
_SPREAD = flag(
    "--spread-seconds", type=SECONDS, help="Each shard is late by another part of it, too."
)
_OF_SHARD = flag("--shard", metavar="ID", help="Reads of one shard only.")
_OPERATION = flag(
    "--operation", metavar="NAME", default="GetRecords", show_default=True, help="Which calls."
)


def _times(default: int | None) -> Decorator:
    how = "How many." if default else "How many; all of them unless given."
    return flag("--times", type=TIMES, default=default, show_default=bool(default), help=how)


def _records(what: str) -> Decorator:
    return flag("--records", type=TIMES, default=1, show_default=True, help=what)


@dataclass(frozen=True, slots=True)
class Fault:
    """One command. `what` completes "would ..." of a dry run, `said` tells what was done.

    `request` is what the verb is asked for, the parameters that were given unless it is there.
    """

    name: str
    help: str
    parameters: tuple[Decorator, ...]
    what: Text
    said: Text
    examples: tuple[str, ...]
    request: Callable[[Given], dict[str, Any]] | None = None

    def asked(self, given: Given) -> dict[str, Any]:
        """What the verb is asked for."""
        if self.request is not None:
            return self.request(given)
        return {name: value for name, value in given.items() if value is not None}


def written(text: Text, given: Given) -> str:
    """A text of a row as it is shown."""
    return text if isinstance(text, str) else text(given)


def _stream(given: Given) -> dict[str, Any]:
    """The members of a verb that changes the graph of one stream."""
    others = {name: value for name, value in given.items() if name != "table" and value}
    return {"stream": given["table"], **others}


def _times_of(given: Given, call: str = "call") -> str:
    return f"the next {call}" if given["times"] == 1 else f"the next {given['times']} {call}s"


def _of_operation(given: Given) -> str:
    if given["times"] is None:
        return f"every answer of {given['operation']}"
    return f"{_times_of(given, 'answer')} of {given['operation']}"


def _children(given: Given) -> str:
    return f"{given['table']}: its stream goes on in {' and '.join(given['children'])}"


def _item(given: Given) -> dict[str, Any]:
    from triggerkit.runtime.item_json import read_item, to_wire

    return {"table": given["table"], "key": to_wire(read_item(given["key"], "the key"))}


_GRAPH = (
    Fault(
        "roll",
        "Close TABLE's open shards; each goes on in a child.",
        (_TABLE, _SHARD),
        lambda given: f"roll {given['shard'] or 'the open shards'} of {given['table']}",
        lambda given: (
            f"rolled {given['table']}: its stream goes on in {', '.join(given['children'])}"
        ),
        ("roll orders", "roll orders --dry-run"),
        _stream,
    ),
    Fault(
        "split",
        "Close a shard of TABLE's stream; it goes on in two children.",
        (_TABLE, _SHARD),
        lambda given: f"split {given['shard'] or 'a shard'} of {given['table']}",
        lambda given: f"split {_children(given)}",
        ("split orders", "split orders --shard shardId-00000001795416179332-d8307f0b"),
        _stream,
    ),
    Fault(
        "merge",
        "Close two neighbours of a Kinesis STREAM, for one child.",
        (click.argument("table", metavar="STREAM"), _LOWER_SHARD),
        lambda given: f"merge {given['shard'] or 'two shards'} of {given['table']}",
        lambda given: f"merged {_children(given)}",
        ("merge clicks", "merge clicks --shard shardId-000000000000"),
        _stream,
    ),
    Fault(
        "trim",
        "Forget records of TABLE's stream, as it does after a day.",
        (_TABLE, _ANY_SHARD, _THROUGH),
        lambda given: f"forget records of {given['shard'] or given['table']}",
        lambda given: f"forgot records of {given['shard'] or given['table']}",
        ("trim orders", "trim orders --through 999999999999999996000"),
        _stream,
    ),
    Fault(
        "expire",
        "Let every shard iterator that was handed out so far be expired.",
        (),
        "expire all shard iterators",
        "expired all shard iterators that were handed out so far",
        ("expire", "expire --dry-run"),
    ),
    Fault(
        "ttl",
        "Remove the item with that key as Time to Live does.",
        (_TABLE, click.argument("key", metavar="JSON")),
        lambda given: f"expire an item of {given['table']}",
        lambda given: f"removed the item from {given['table']} as Time to Live does",
        ("""ttl orders '{"id":"1"}'""", """ttl orders '{"pk":"a","sk":1}'"""),
        _item,
    ),
)

_CALLS = (
    Fault(
        "throttle",
        "Refuse the next calls of an operation, as a busy service does.",
        (_OPERATION, _times(5), _OF_SHARD),
        lambda given: f"throttle {given['operation']} {given['times']} times",
        lambda given: f"{_times_of(given)} of {given['operation']} are throttled",
        ("throttle --times 20", "throttle --operation PutItem"),
    ),
    Fault(
        "damage",
        "Spoil the next answers of an operation.\n\n"
        "truncated and corrupted change the body, cut closes the connection in its middle, and reset carries "
        "the call out and loses the answer.",
        (click.argument("how", type=click.Choice(DAMAGES)), _OPERATION, _times(1)),
        lambda given: f"answer {given['operation']} {given['how']}",
        lambda given: f"{_of_operation(given)}: {given['how']}",
        ("damage truncated", "damage reset --operation UpdateItem --times 3"),
    ),
    Fault(
        "latency",
        "Hold answers of an operation back for SECONDS; 0 ends that.",
        (_SECONDS, _OPERATION, _times(None)),
        lambda given: f"hold {_of_operation(given)} back",
        lambda given: f"{_of_operation(given)}: {given['seconds']:g} s late",
        ("latency 0.5", "latency 3 --operation PutItem --times 2"),
    ),
)

_READS = (
    Fault(
        "empty",
        "Answer the next reads with no records, though some wait.",
        (_times(3), _OF_SHARD),
        lambda given: f"answer {_times_of(given, 'read')} with no records",
        lambda given: f"{_times_of(given, 'read')}: no records",
        ("empty", "empty --times 10"),
    ),
    Fault(
        "duplicate",
        "Begin the next pages with records of the page before.",
        (_times(1), _records("How many records come again."), _OF_SHARD),
        lambda given: f"repeat records on {_times_of(given, 'page')}",
        lambda given: f"{_times_of(given, 'page')}: {given['records']} records come again",
        ("duplicate", "duplicate --times 5 --records 2"),
    ),
    Fault(
        "delay",
        "Let records be read SECONDS after their write; 0 ends that.",
        (_SECONDS,),
        lambda given: f"let records be read {given['seconds']:g} s after they were written",
        lambda given: f"records can be read {given['seconds']:g} s after they were written",
        ("delay 2", "delay 0"),
    ),
)

_LISTINGS = (
    Fault(
        "hide",
        "Leave SHARD out of listings; it is read and written on.",
        (_SHARD_ID,),
        lambda given: f"hide {given['shard']}",
        lambda given: f"no listing shows {given['shard']}",
        ("hide shardId-00000001795416179332-d8307f0b",),
    ),
    Fault(
        "show",
        "List a hidden SHARD again.",
        (_SHARD_ID,),
        lambda given: f"show {given['shard']}",
        lambda given: f"listings show {given['shard']} again",
        ("show shardId-00000001795416179332-d8307f0b",),
    ),
    Fault(
        "lag",
        "List shards SECONDS after they were made; 0 ends that.",
        (_SECONDS, _SPREAD),
        lambda given: f"list shards {given['seconds']:g} s after they were made",
        lambda given: f"shards are listed {given['seconds']:g} s after they were made",
        ("lag 10", "lag 1 --spread-seconds 20", "lag 0"),
    ),
    Fault(
        "stale",
        "Let the next listings show the shards as they were SECONDS ago.",
        (click.argument("seconds", type=SECONDS, default=60.0), _times(3)),
        lambda given: f"show {_times_of(given, 'listing')} as of {given['seconds']:g} s ago",
        lambda given: f"{_times_of(given, 'listing')}: as of {given['seconds']:g} s ago",
        ("stale", "stale 30 --times 10"),
    ),
)

_ALL = (
    Fault(
        "clear",
        "Forget everything that is planned, hidden or held.",
        (),
        "forget everything that is planned",
        "nothing is planned, hidden or held any more",
        ("clear",),
    ),
)

FAULTS = (*_GRAPH, *_CALLS, *_READS, *_LISTINGS, *_ALL)
