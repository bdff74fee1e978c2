"""Tables in the documentation, made from the code. Rule: no option and no command is described by hand.

Run this file to write them: `python tests/architecture/doc_tables.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from triggerkit.cli.main import COMMANDS
from triggerkit.core.options import AWS_NAMES, HONOURED, OPTION_NAMES, MappingOptions

CHECKOUT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- table: {} -->"
END = "<!-- /table -->"


def honoured_table() -> str:
    """The options that this version keeps, in the model's order."""
    rows = ["| option | Lambda's name | default | meaning |", "|---|---|---|---|"]
    rows += [_row(name) for name in OPTION_NAMES if name in HONOURED]
    return "\n".join(rows)


def refused_table() -> str:
    """The options that are spelled already and refused."""
    rows = ["| option | Lambda's name | only value taken |", "|---|---|---|"]
    for name in OPTION_NAMES:
        if name not in HONOURED:
            default = MappingOptions.model_fields[name].default
            rows.append(f"| `{name}` | {_aws_name(name)} | `{default!r}` |")
    return "\n".join(rows)


def commands_table() -> str:
    """Every command, as its help has it."""
    rows = ["| command | does |", "|---|---|"]
    rows += [f"| `triggerkit {name}` | {does} |" for name, (_, does) in sorted(COMMANDS.items())]
    return "\n".join(rows)


def _row(name: str) -> str:
    field = MappingOptions.model_fields[name]
    return f"| `{name}` | {_aws_name(name)} | `{field.default!r}` | {field.description} |"


def _aws_name(name: str) -> str:
    return f"`{AWS_NAMES[name]}`" if name in AWS_NAMES else ""


TABLES: Mapping[str, str] = {
    "honoured": honoured_table(),
    "refused": refused_table(),
    "commands": commands_table(),
}
PAGES = ("README.md", "docs/options.md")


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
