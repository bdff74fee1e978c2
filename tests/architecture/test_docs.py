"""The documentation is true. Rule: every block that can be run is run, every name that can be looked up is."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from architecture.doc_tables import PAGES, with_tables
from architecture.package_tree import CHECKOUT, findings, package, suite

from triggerkit.cli.main import cli
from triggerkit.configuration import load_configuration
from triggerkit.errors import TriggerkitError
from triggerkit.runtime.target import load_target
from triggerkit.settings import Flags, build_settings

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


@each("python")
def test_python_runs_and_declares_triggers_that_settle(block: Block, tmp_path: Path) -> None:
    name = f"block_of_{re.sub(r'[^a-z0-9]', '_', block.place.lower())}"
    (tmp_path / f"{name}.py").write_text(block.text, encoding="utf-8")
    handlers = load_target(f"{name}:handlers", folder=tmp_path)
    configuration = load_configuration(None, folder=tmp_path)
    assert build_settings(handlers, configuration, Flags(app="app"), {}).mappings


@each("toml")
def test_toml_is_a_configuration_that_loads_in_each_environment(
    block: Block, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(block.text, encoding="utf-8")
    overlays = tomllib.loads(block.text)["tool"]["triggerkit"].get("env", {})
    for env in ("", *overlays):
        assert load_configuration(None, folder=tmp_path, env=env).triggers


def commands_in(block: Block) -> Iterator[list[str]]:
    """The words of each `triggerkit` command behind a prompt; `a && b` are two."""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            for part in line.removeprefix("$ ").split("&&"):
                words = shlex.split(part, comments=True)
                if words[0] == "triggerkit":
                    yield words[1:]


def command_named(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"triggerkit {name} does not exist"
    return command


@each("console")
def test_commands_and_their_flags_exist(block: Block) -> None:
    for words in commands_in(block):
        known = {spelt for one in command_named(words[0]).params for spelt in one.opts}
        given = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
        assert given <= known, f"{block.place}: triggerkit {words[0]} has no {given - known}"


def test_commands_in_running_text_and_tables_exist() -> None:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for name, rest in re.findall(r"`triggerkit ([a-z][a-z-]*)((?: [^`]*)?)`", text):
            known = {spelt for one in command_named(name).params for spelt in one.opts}
            flags = {flag.partition("=")[0] for flag in rest.split() if flag.startswith("-")}
            assert flags <= known, f"{document.name}: triggerkit {name}{rest}"


def test_the_readme_lists_every_exit_code_that_can_come() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    codes = {TriggerkitError.exit_code, 0, 130}
    waiting = [TriggerkitError]
    while waiting:
        error = waiting.pop()
        codes.add(error.exit_code)
        waiting += error.__subclasses__()
    assert [code for code in sorted(codes) if f"\n| {code} | " not in readme] == []


def test_the_two_commands_of_the_readme_are_those_that_ci_runs() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert "$ pip install . && triggerkit demo\n" in readme
    assert "$ pip install '.[dev]' && pytest\n" in readme


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_that_the_code_makes(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    assert "<!-- table: " in text
    assert text == with_tables(text), "run: python tests/architecture/doc_tables.py"


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
