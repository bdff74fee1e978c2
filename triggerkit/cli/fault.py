"""`triggerkit fault`: what a running `dev` does to its streams. AWS cannot be reached by it.

Each row of the table below is a command. It asks the verb of the same name of the endpoint's `/_sim/`, which checks
what it is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from triggerkit.cli.flags import (
    Decorator,
    SuggestingGroup,
    config_of_dev_flag,
    flag,
    lines_flag,
    switch,
    table_argument,
)
from triggerkit.commands.output import print_json, say, show_line
from triggerkit.core.safe_text import safe
from triggerkit.core.words import counted

DAMAGES = ("truncated", "corrupted", "cut", "reset")
TIMES = click.IntRange(1, 10_000)
SECONDS = click.FloatRange(0, 31_622_400)


def _shard(which: str) -> Decorator:
    return flag("--shard", metavar="ID", help=which)


def _times(default: int | None) -> Decorator:
    how = "How many." if default else "How many; all of them unless given."
    return flag("--times", type=TIMES, default=default, show_default=bool(default), help=how)


_STREAM = table_argument("stream")
_OF_SHARD = _shard("Reads of one shard only.")
_OPERATION = flag(
    "--operation", metavar="NAME", default="GetRecords", show_default=True, help="Which calls."
)
_LATE = click.argument("seconds", type=SECONDS)


@dataclass(frozen=True, slots=True)
class Fault:
    """One command. `said` is what was done, and `ended` the same for a delay of 0 seconds.

    Both are templates for the parameters and what `_filled` adds; `{next}` counts the `counts`.
    """

    name: str
    help: str
    parameters: tuple[Decorator, ...]
    said: str
    examples: tuple[str, ...]
    counts: str = ""
    ended: str = ""


FAULTS = (
    Fault(
        "roll",
        "Close TABLE's open shards; each goes on in a child.",
        (_STREAM, _shard("One shard; else every open one.")),
        "rolled {stream}: its stream goes on in {children}",
        ("roll orders", "roll orders --dry-run"),
    ),
    Fault(
        "split",
        "Close a shard of TABLE's stream; it goes on in two children.",
        (_STREAM, _shard("The shard; else the first open one.")),
        "split {stream}: its stream goes on in {children}",
        ("split orders", "split orders --shard shardId-00000001795416179332-d8307f0b"),
    ),
    Fault(
        "merge",
        "Close two neighbours of a Kinesis STREAM, for one child.",
        (
            click.argument("stream"),
            _shard("The one of the lower hash keys; else the first open one."),
        ),
        "merged {stream}: its stream goes on in {children}",
        ("merge clicks", "merge clicks --shard shardId-000000000000"),
    ),
    Fault(
        "trim",
        "Forget records of TABLE's stream, as it does after a day.",
        (
            _STREAM,
            _shard("One shard; else all of them."),
            flag("--through", metavar="NUMBER", help="The last sequence number to forget."),
        ),
        "forgot records{of_shard} of {stream}",
        ("trim orders", "trim orders --through 999999999999999996000"),
    ),
    Fault(
        "expire",
        "Let every shard iterator that was handed out so far be expired.",
        (),
        "expired all shard iterators that were handed out so far",
        ("expire", "expire --dry-run"),
    ),
    Fault(
        "ttl",
        "Remove the item with that key as Time to Live does.",
        (table_argument("table"), click.argument("key", metavar="JSON")),
        "removed the item from {table} as Time to Live does",
        ("""ttl orders '{"id":"1"}'""", """ttl orders '{"pk":"a","sk":1}'"""),
    ),
    Fault(
        "throttle",
        "Refuse the next calls of an operation, as a busy service does.",
        (_OPERATION, _times(5), _OF_SHARD),
        "{next}{of_shard} will be throttled",
        ("throttle --times 20", "throttle --operation PutItem"),
        counts="{operation} call",
    ),
    Fault(
        "damage",
        "Spoil the next answers of an operation.\n\n"
        "truncated and corrupted change the body, cut closes the connection in its middle, and reset carries "
        "the call out and loses the answer.",
        (click.argument("how", type=click.Choice(DAMAGES)), _OPERATION, _times(1)),
        "{next} will be {how}",
        ("damage truncated", "damage reset --operation UpdateItem --times 3"),
        counts="{operation} response",
    ),
    Fault(
        "latency",
        "Hold answers of an operation back for SECONDS; 0 ends that.",
        (_LATE, _OPERATION, _times(None)),
        "{next} will be {delay} late",
        ("latency 0.5", "latency 3 --operation PutItem --times 2"),
        counts="{operation} response",
        ended="{operation} responses are not delayed",
    ),
    Fault(
        "empty",
        "Answer the next reads with no records, though some wait.",
        (_times(3), _OF_SHARD),
        "{next}{of_shard} will return no records",
        ("empty", "empty --times 10"),
        counts="read",
    ),
    Fault(
        "duplicate",
        "Begin the next pages with records of the page before.",
        (
            _times(1),
            flag(
                "--records",
                type=TIMES,
                default=1,
                show_default=True,
                help="How many records come again.",
            ),
            _OF_SHARD,
        ),
        "{next}{of_shard} will begin with {repeated} of the page before it",
        ("duplicate", "duplicate --times 5 --records 2"),
        counts="page",
    ),
    Fault(
        "delay",
        "Let records be read SECONDS after their write; 0 ends that.",
        (_LATE,),
        "records can be read {delay} after they were written",
        ("delay 2", "delay 0"),
        ended="records can be read as soon as they are written",
    ),
    Fault(
        "hide",
        "Leave SHARD out of listings; it is read and written on.",
        (click.argument("shard"),),
        "no listing shows {shard}",
        ("hide shardId-00000001795416179332-d8307f0b",),
    ),
    Fault(
        "show",
        "List a hidden SHARD again.",
        (click.argument("shard"),),
        "listings show {shard} again",
        ("show shardId-00000001795416179332-d8307f0b",),
    ),
    Fault(
        "lag",
        "List shards SECONDS after they were made; 0 ends that.",
        (
            _LATE,
            flag(
                "--spread-seconds",
                type=SECONDS,
                help="Plus a random part of this delay for each shard.",
            ),
        ),
        "shards are listed {delay} after they were made",
        ("lag 10", "lag 1 --spread-seconds 20", "lag 0"),
        ended="shards are listed as soon as they are made",
    ),
    Fault(
        "stale",
        "Let the next listings show the shards as they were SECONDS ago.",
        (click.argument("seconds", type=SECONDS, default=60.0), _times(3)),
        "{next} will show the shards of {delay} ago",
        ("stale", "stale 30 --times 10"),
        counts="listing",
    ),
    Fault(
        "clear",
        "Forget everything that is planned, hidden or held.",
        (),
        "nothing is planned, hidden or held any more",
        ("clear",),
    ),
)


@click.group(
    "fault",
    cls=SuggestingGroup,
    epilog="""\b
Examples:
  triggerkit fault roll orders         (what every stream does every few hours)
  triggerkit fault split orders
  triggerkit fault expire              (what happens to an iterator after 15 minutes)
  triggerkit fault throttle --times 20
  triggerkit fault ttl orders '{"id": "1"}'
  triggerkit fault lag 10              (children are listed late)
  triggerkit fault log --operation GetRecords
  triggerkit fault clear""",
)
def command() -> None:
    """Let the running `dev` do what streams do to a worker, now and then."""


def _examples(*lines: str) -> str:
    return "\n".join(("\b", "Examples:", *(f"  triggerkit fault {line}" for line in lines)))


def _add(fault: Fault) -> None:
    """Make the command of one row."""

    def run(*, config: str | None, dry_run: bool, **given: Any) -> None:
        from triggerkit.runtime.item_json import read_item, to_wire

        request = {name: value for name, value in given.items() if value is not None}
        if "key" in request:
            request["key"] = to_wire(read_item(request["key"], "the key"))
        if dry_run:
            say(f"would send {fault.name} {json.dumps(request)} to {_dev(config).endpoint_url}")
            return
        say(_filled(fault, request, _ask(config, fault.name, request)))

    dry_run = switch("--dry-run", help="Say what would be done, and do nothing.")
    for decorate in reversed((*fault.parameters, config_of_dev_flag, dry_run)):
        run = decorate(run)
    epilog = _examples(*fault.examples)
    command.add_command(click.command(fault.name, help=fault.help, epilog=epilog)(run))


def _filled(fault: Fault, request: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """The sentence that says what was done."""
    seconds, spread_seconds = request.get("seconds", 0.0), request.get("spread_seconds", 0.0)
    times, thing = request.get("times"), fault.counts.format_map(request)
    next_ones = f"the next {thing if times == 1 else counted(times or 0, thing)}"
    delay = f"{seconds:g} to {seconds + spread_seconds:g} s" if spread_seconds else f"{seconds:g} s"
    said = fault.said if seconds or spread_seconds else fault.ended or fault.said
    return said.format_map(
        {
            **request,
            "next": next_ones if times else f"every {thing}",
            "delay": delay,
            "of_shard": f" of shard {request['shard']}" if "shard" in request else "",
            "repeated": counted(request.get("records", 0), "record"),
            "children": ", ".join(answer.get("children", ())),
        }
    )


for _fault in FAULTS:
    _add(_fault)


@command.command("log", epilog=_examples("log", "log --operation GetRecords -n 5", "log --json"))
@flag("--operation", metavar="NAME", help="Calls of one operation only.")
@lines_flag("The newest calls.", default=20)
@switch("--json", "as_json", help="One JSON document a call.")
@config_of_dev_flag
def log(*, operation: str | None, lines: int, as_json: bool, config: str | None) -> None:
    """Show the newest calls that came, and how they ended."""
    request = {"operation": operation, "limit": lines}
    calls = _ask(config, "log", request)["calls"]
    for call in calls:
        if as_json:
            print_json(call)
        else:
            show_line(safe(_line(call)))
    if not calls:
        say("no calls yet", err=True)


def _line(call: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(call["at_seconds"], UTC).strftime("%H:%M:%S.%f")[:-3]
    asked = " ".join(f"{name}={value}" for name, value in call["asked"].items())
    return (
        f"{call['number']:>6} {at} {call['operation']:<20} {call['outcome']:<12} {asked}".rstrip()
    )


def _dev(config: str | None) -> Any:
    from triggerkit.dev.link import require_dev

    return require_dev(config)


def _ask(config: str | None, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the running `dev` says. Raises UsageError: there is none, or it refused."""
    from triggerkit.dev.link import control

    return control(_dev(config), verb, request)
