"""The documentation is true. Rule: every block that can be run is run, every name that can be looked up is."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import click
import pytest
from architecture.doc_tables import PAGES, with_tables
from architecture.package_tree import CHECKOUT, findings, package, suite

from triggerkit.cli.main import cli
from triggerkit.configuration import load_configuration
from triggerkit.errors import EXIT_CODES
from triggerkit.runtime.target import load_target
from triggerkit.settings import Flags, build_settings
from triggerkit.testing import Simulation, SimulationFactory
from triggerkit.triggers import Triggers

DOCUMENTS = tuple(
    sorted(
        [
            CHECKOUT / "README.md",
            CHECKOUT / "CHANGELOG.md",
            CHECKOUT / "triggerkit/ARCHITECTURE.md",
            *(CHECKOUT / "docs").glob("*.md"),
        ]
    )
)
CITED_PAGE = re.compile(r"\b([a-z][a-z-]+)\.md\b(?: (\d+(?:\.\d+)?))?")
RULE_ID = re.compile(r"\b([BDEFHPSV])-(\d{1,2})\b")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `place` is what a reader sees in a failure."""

    place: str
    language: str
    text: str


def blocks(language: str) -> Iterator[Block]:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 2
                yield Block(f"{document.relative_to(CHECKOUT)}:{line}", language, match[2])


def each(language: str) -> pytest.MarkDecorator:
    found = list(blocks(language))
    assert found, f"no {language} blocks were found"
    return pytest.mark.parametrize("block", found, ids=[block.place for block in found])


def loaded(block: Block, folder: Path) -> tuple[str, Triggers[Any]]:
    """The module that a block is, by its name, and its triggers."""
    place = f"{block.place}_{folder.name}".lower()  # a module of each test's own
    name = f"block_of_{re.sub(r'[^a-z0-9]', '_', place)}"
    (folder / f"{name}.py").write_text(block.text, encoding="utf-8")
    return name, load_target(f"{name}:handlers", folder=folder)


@each("python")
def test_python_runs_and_its_handlers_are_called(block: Block, tmp_path: Path) -> None:
    """On tables in memory: each item is put, changed and deleted."""
    _, handlers = loaded(block, tmp_path)
    configuration = load_configuration(None, folder=tmp_path)
    plans = build_settings(handlers, configuration, Flags(app="app"), {}).mappings
    with Simulation(handlers) as sim:
        for table in {plan.source_locator.name: None for plan in plans}:
            sim.table(table).put(id="1", status="placed")
            sim.table(table).update(id="1", status="paid")
            sim.table(table).delete(id="1")
        sim.run_until_idle()
        assert {plan.name for plan in plans if not len(sim.calls(plan.name))} == set()
        assert not sim.lost


@each("python")
def test_the_tests_of_a_block_pass(block: Block, tmp_path: Path) -> None:
    name, _ = loaded(block, tmp_path)
    for word, test in vars(sys.modules[name]).items():
        if word.startswith("test_"):
            factory = SimulationFactory()
            test(*([factory] if signature(test).parameters else []))
            factory.settle()
            factory.close()


@each("toml")
def test_toml_is_a_configuration_that_loads_in_each_environment(
    block: Block, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(block.text, encoding="utf-8")
    overlays = tomllib.loads(block.text)["tool"]["triggerkit"].get("env", {})
    for env in ("", *overlays):
        assert load_configuration(None, folder=tmp_path, env=env).triggers


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each `triggerkit` command behind a prompt; `a && b` and `a | b` are two."""
    for line in text.splitlines():
        if line.startswith("$ "):
            yield from commands_of(line.removeprefix("$ "))


def commands_of(line: str) -> Iterator[list[str]]:
    """The words of each `triggerkit` command of a line, without what the shell takes."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word not in ("&&", "|", ">"):
            words.append(word)
            continue
        if words[:1] == ["triggerkit"] and words[1:]:
            yield words[1:]
        words = []


def refuse_unknown(words: list[str], place: str) -> None:
    """Fail when the command, the command below it, or a flag of it does not exist."""
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"{place}: triggerkit {words[0]} does not exist"
    rest = words[1:]
    if isinstance(command, click.Group) and rest:
        command, rest = command.commands[rest[0]], rest[1:]
    known = {spelt for one in command.params for spelt in (*one.opts, *one.secondary_opts)}
    given = {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"}
    assert given <= known | {"--help"}, f"{place}: {shlex.join(words)} has no {given - known}"


@each("console")
def test_commands_and_their_flags_exist(block: Block) -> None:
    for words in commands_in(block.text):
        refuse_unknown(words, block.place)


def test_commands_in_running_text_and_tables_exist() -> None:
    for document in DOCUMENTS:
        text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.M | re.S)
        for line in re.findall(r"`(triggerkit [a-z][^`]*)`", text):
            for words in commands_of(line):
                refuse_unknown(words, document.name)


def test_the_readme_lists_every_exit_code_that_can_come() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert [code for code in EXIT_CODES if f"\n| {code} | " not in readme] == []


def test_the_two_commands_of_the_readme_are_those_that_ci_runs() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert "$ pip install . && triggerkit demo\n" in readme
    assert "$ pip install '.[dev]' && pytest\n" in readme


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_that_the_code_makes(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    assert "<!-- table: " in text
    assert text == with_tables(text), "run: python tests/architecture/doc_tables.py"


def test_the_picture_is_the_same_everywhere() -> None:
    pages = ("README.md", "docs/how-it-works.md", "triggerkit/ARCHITECTURE.md")
    texts = [(CHECKOUT / page).read_text(encoding="utf-8") for page in pages]
    assert len({text[text.index("```\n   your module") :].split("```")[1] for text in texts}) == 1


def test_links_between_pages_lead_somewhere() -> None:
    bad = [
        f"{document.name}: {target}"
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert not bad, findings(bad)


def test_every_rule_that_the_code_cites_is_written_down() -> None:
    contract = (CHECKOUT / "docs/lambda-contract.md").read_text(encoding="utf-8")
    known = {
        f"{letter}-{number}" for letter, number in re.findall(r"\| ([A-Z])-(\d+) \|", contract)
    }
    cited: dict[str, str] = {}
    for source in (*package(), *suite()):
        if source.path.name == "test_docs.py":
            continue
        for letter, number in RULE_ID.findall(source.text):
            cited.setdefault(f"{letter}-{number}", source.place)
    assert not (missing := {k: v for k, v in cited.items() if k not in known}), findings(missing)


def test_every_invariant_that_the_code_cites_is_written_down() -> None:
    page = (CHECKOUT / "docs/leases.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| I(\d+) \|", page, re.MULTILINE))
    cited: dict[str, str] = {}
    for source in (*package(), *suite()):
        for number in re.findall(r"(?:\bI|_i)(\d+)(?=\b|_)", source.text):
            cited.setdefault(number, source.place)
    assert not (missing := {k: v for k, v in cited.items() if k not in known}), findings(missing)


def test_every_decision_that_the_code_cites_is_written_down() -> None:
    page = (CHECKOUT / "triggerkit/ARCHITECTURE.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^(\d+)\. \*\*", page, re.MULTILINE))
    cited: dict[str, str] = {}
    for source in (*package(), *suite()):
        for number in re.findall(r"\bdecision (\d+)", source.text):
            cited.setdefault(number, source.place)
    assert not (missing := {k: v for k, v in cited.items() if k not in known}), findings(missing)


def has_section(page: Path, section: str) -> bool:
    pattern = rf"^###? {re.escape(section)}\.? "
    return re.search(pattern, page.read_text(encoding="utf-8"), re.MULTILINE) is not None


def test_code_and_documents_cite_pages_that_exist() -> None:
    """`leases.md 6` names a page of `docs/` and one of its numbered sections."""
    bad = []
    for source in package():
        for name, section in CITED_PAGE.findall(source.text):
            page = CHECKOUT / "docs" / f"{name}.md"
            if not page.exists():
                bad.append(f"{source.place}: {name}.md")
            elif section and not has_section(page, section):
                bad.append(f"{source.place}: {name}.md {section}")
    assert not bad, findings(bad)
