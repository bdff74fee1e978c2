"""Tables in the documentation, made from the code.

Run this file to write them: `python tests/architecture/doc_tables.py`.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args, get_type_hints

import click

from triggerkit import events, worker
from triggerkit.cli.main import COMMANDS, cli
from triggerkit.core.options import AWS_NAMES, OPTION_NAMES, MappingOptions
from triggerkit.core.reading import BUSY_POLL_SECONDS
from triggerkit.errors import EXIT_CODES

CHECKOUT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- table: {} -->"
END = "<!-- /table -->"
MONTH_SECONDS = 30 * 24 * 3600
DOLLARS_A_CALL = 0.02 / 100_000
FREE_CALLS = 2_500_000
"""What limits-and-costs.md assumes, and says."""


def options_table() -> str:
    """The options, in the model's order."""
    rows = ["| option | Lambda's name | default | meaning |", "|---|---|---|---|"]
    rows += [_row(name) for name in OPTION_NAMES]
    return "\n".join(rows)


def commands_table() -> str:
    """Every command, as its help has it."""
    rows = ["| command | does |", "|---|---|"]
    rows += [f"| `triggerkit {name}` | {does} |" for name, (_, does) in sorted(COMMANDS.items())]
    return "\n".join(rows)


def exit_codes_table() -> str:
    """How a command may end."""
    rows = ["| exit code | means |", "|---|---|"]
    return "\n".join([*rows, *(f"| {code} | {words} |" for code, words in EXIT_CODES.items())])


def costs_table() -> str:
    """What a month of GetRecords costs, by the intervals of the code."""
    idle_seconds: float = MappingOptions.model_fields["idle_poll_seconds"].default
    rows = ["| open shards | all idle | all busy |", "|---|---|---|"]
    for shards in (1, 10, 100):
        cells = [_month(shards, seconds) for seconds in (idle_seconds, BUSY_POLL_SECONDS)]
        rows.append(f"| {shards} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


def worker_flags_table() -> str:
    """What `Worker` takes besides its arguments."""
    rows = ["| flag | meaning |", "|---|---|"]
    for name, kind in get_type_hints(worker.WorkerFlags, include_extras=True).items():
        rows.append(f"| `{name}` | {kind.__metadata__[-1]} |")
    return "\n".join(rows)


def events_table() -> str:
    """Every event with its fields, in the order of the source."""
    rows = ["| event | fields | means |", "|---|---|---|"]
    for event in get_args(events.Event):
        words = " ".join((inspect.getdoc(event) or "").split())
        names = ", ".join(f"`{field.name}`" for field in dataclasses.fields(event))
        rows.append(f"| `{event.__name__}` | {names} | {words} |")
    return "\n".join(rows)


def _month(shards: int, interval_seconds: float) -> str:
    calls = shards * MONTH_SECONDS / interval_seconds
    dollars = max(0.0, calls - FREE_CALLS) * DOLLARS_A_CALL
    return f"{calls / 1e6:.1f} million calls, ${dollars:.2f} a month"


def commands_whole() -> str:
    """Every command with its flags and examples, as its help has them."""
    return "\n\n".join("\n\n".join(_command(name)) for name in sorted(COMMANDS))


def _command(name: str) -> Iterator[str]:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    yield from _one_command(f"triggerkit {name}", command, "##")
    if isinstance(command, click.Group):
        for inner, below in sorted(command.commands.items()):
            yield from _one_command(f"triggerkit {name} {inner}", below, "###")


def _one_command(path: str, command: click.Command, mark: str) -> Iterator[str]:
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    words = [one.make_metavar(click.Context(command)) for one in arguments]
    yield f"{mark} {path}"
    yield f"```text\n{' '.join([path, *words])}\n```"
    yield _prose(command.help or "")
    options = [one for one in command.params if isinstance(one, click.Option)]
    flags = [one for one in options if not one.hidden]
    if flags:
        rows = ["| flag | variable | meaning |", "|---|---|---|"]
        yield "\n".join([*rows, *(_flag(one) for one in flags)])
    if command.epilog:
        yield f"```text\n{_without_marks(command.epilog)}\n```"


def _flag(flag: click.Option) -> str:
    spelt = ", ".join(f"`{one}`" for one in reversed([*flag.opts, *flag.secondary_opts]))
    value = "" if flag.is_flag else f" {_value(flag)}"
    meaning, _, named = (flag.help or "").partition("  [env var: ")
    name = flag.envvar or named.removesuffix("]")
    variable = f"`{name}`" if name else ""
    default = f" By default {flag.default}." if flag.show_default else ""
    return f"| {spelt}{value} | {variable} | {meaning}{default} |"


def _value(flag: click.Option) -> str:
    if flag.metavar:
        return flag.metavar
    if isinstance(flag.type, click.Choice):
        return " or ".join(f"`{one}`" for one in flag.type.choices)
    return flag.type.name.upper().replace(" RANGE", "")


def _prose(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _without_marks(text: str) -> str:
    return text.replace("\b\n", "").strip()


def _row(name: str) -> str:
    field = MappingOptions.model_fields[name]
    return f"| `{name}` | {_aws_name(name)} | `{field.default!r}` | {field.description} |"


def _aws_name(name: str) -> str:
    return f"`{AWS_NAMES[name]}`" if name in AWS_NAMES else ""


TABLES: Mapping[str, str] = {
    "commands": commands_table(),
    "commands_whole": commands_whole(),
    "costs": costs_table(),
    "exit_codes": exit_codes_table(),
    "events": events_table(),
    "options": options_table(),
    "worker_flags": worker_flags_table(),
}
PAGES = (
    "docs/commands.md",
    "docs/limits-and-costs.md",
    "docs/options.md",
    "docs/worker.md",
)


def with_tables(text: str) -> str:
    """`text` with what stands between the markers made anew."""
    for name, table in TABLES.items():
        begin = BEGIN.format(name)
        if begin in text:
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(END)
            text = f"{before}{begin}\n{table}\n{END}{after}"
    return text


def main() -> None:
    """Write the tables into the pages."""
    for name in PAGES:
        page = CHECKOUT / name
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
