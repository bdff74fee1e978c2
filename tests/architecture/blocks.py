"""The fenced blocks of the documentation: what each is, and which test runs it.

A block that cannot be run has `<!-- not run: REASON -->` on the line before it, and one that runs with others
of its page only has `<!-- needs: WHAT -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from architecture.package_tree import CHECKOUT

from triggerkit.scaffold import find_blueprints, render

RUN = frozenset({"python", "console", "bash", "toml", "json"})
LANGUAGES = RUN | {"text"}
FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
NEEDS = re.compile(r"<!-- needs: (.+) -->")
TRANSCRIPT = re.compile(r"<!-- transcript: (\w+) -->")


@dataclass(frozen=True, slots=True)
class Document:
    """One page as its readers see it. `name` is its path in the checkout."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page, beginning at `line`.

    `file` is what follows the language; `reason` says why it is not run, "" if it is; `needs` names what
    of its page it needs; `transcript` is the name under which test_transcripts.py plays it.
    """

    page: str
    line: int
    language: str
    file: str
    text: str
    reason: str
    needs: str
    transcript: str

    @property
    def place(self) -> str:
        """What a reader sees in a failure."""
        return f"{self.page}:{self.line}"


@cache
def documents() -> tuple[Document, ...]:
    """Every page: of the checkout, and of each blueprint with its default values filled in."""
    paths = [
        CHECKOUT / "README.md",
        CHECKOUT / "CHANGELOG.md",
        CHECKOUT / "triggerkit/ARCHITECTURE.md",
        *sorted((CHECKOUT / "docs").glob("*.md")),
    ]
    pages = [Document(str(path.relative_to(CHECKOUT)), path.read_text("utf-8")) for path in paths]
    for blueprint in find_blueprints().blueprints:
        made = render(blueprint, {}, project="project")["README.md"]
        pages.append(Document(f"blueprints/{blueprint.name}/README.md", made.decode()))
    return tuple(pages)


@cache
def all_blocks() -> tuple[Block, ...]:
    """The blocks of every page, in order."""
    return tuple(block for document in documents() for block in blocks_of(document))


def blocks(language: str, page: str = "") -> list[Block]:
    """The blocks of that language that have to run, of one page or of all."""
    return [
        block
        for block in all_blocks()
        if block.language == language and not block.reason and page in ("", block.page)
    ]


def blocks_of(document: Document) -> Iterator[Block]:
    """Find the blocks of a page. Raises ValueError where one is not closed."""
    lines = document.text.splitlines()
    number = 0
    while number < len(lines):
        opened = FENCE.match(lines[number])
        if opened is None:
            number += 1
            continue
        first = number
        number += 1
        while number < len(lines) and lines[number].strip() != opened[2]:
            number += 1
        if number == len(lines):
            raise ValueError(f"{document.name}:{first + 1}: the block is not closed")
        before = lines[first - 1].strip() if first else ""
        language, _, file = opened[3].strip().partition(" ")
        yield Block(
            page=document.name,
            line=first + 1,
            language=language,
            file=file,
            text="".join(f"{line.removeprefix(opened[1])}\n" for line in lines[first + 1 : number]),
            reason=_said(NOT_RUN, before),
            needs=_said(NEEDS, before),
            transcript=_said(TRANSCRIPT, before),
        )
        number += 1


def _said(mark: re.Pattern[str], line: str) -> str:
    found = mark.fullmatch(line)
    return found[1].strip() if found else ""


def outside_blocks(document: Document) -> str:
    """The running text of a page, its tables included."""
    lines, fence = [], ""
    for line in document.text.splitlines():
        opened = FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opened:
            fence = opened[2]
        else:
            lines.append(line)
    return "\n".join(lines)


def prompts(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with what it is shown to print ("" where nothing is shown)."""
    command, shown = "", list[str]()
    for line in [*text.splitlines(), "$ "]:
        if line.startswith("$ "):
            if command:
                yield command, "".join(f"{one}\n" for one in shown)
            command, shown = line.removeprefix("$ "), []
        else:
            shown.append(line)
