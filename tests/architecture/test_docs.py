"""The documentation is true: every block that can run is run, and every name that can be looked up exists.

Console blocks are run by tests/e2e/test_console_blocks.py, transcripts by tests/e2e/test_transcripts.py.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import click
import pytest
from architecture import transcripts
from architecture.blocks import (
    LANGUAGES,
    RUN,
    Block,
    Document,
    all_blocks,
    blocks,
    blocks_of,
    documents,
    outside_blocks,
    prompts,
)
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

RUN_AS_A_PAGE = {
    "docs/testing.md": "tests/testing/test_page.py",  # files of one folder, and pytest
    "docs/emulator.md": "tests/emulator/test_page.py",  # one after the other
    "docs/worker.md": "tests/test_worker_page.py",  # files of one folder
}
"""Pages whose Python blocks need each other, and the test that runs them all."""
NOT_RUN = {
    "README.md": 4,
    "blueprints/outbox-relay/README.md": 1,
    "docs/outside-subjects.md": 1,
    "docs/testing-of-triggerkit.md": 6,
}
"""How many blocks of a page are marked as not run. A new one is counted here on purpose."""
TYPED_PROGRAMS = {"triggerkit", "cd", "export", "pip", "pytest", "python"}
"""What tests/e2e/test_console_blocks.py can type; a block of anything else is marked as not run."""
FAILURE_KEYS = {"requestContext", "responseContext", "version", "timestamp", "DDBStreamBatchInfo"}


def each(language: str) -> pytest.MarkDecorator:
    found = blocks(language)
    assert found, f"no {language} blocks were found"
    return pytest.mark.parametrize("block", found, ids=[block.place for block in found])


each_module = pytest.mark.parametrize(
    "block",
    [one for one in blocks("python") if one.page not in RUN_AS_A_PAGE],
    ids=lambda block: block.place,
)
"""Every Python block that is a module of its own."""


def test_f1_every_block_has_a_language_that_a_test_knows() -> None:
    bad = [
        f"{one.place}: {one.language!r}" for one in all_blocks() if one.language not in LANGUAGES
    ]
    assert not bad, findings(bad)


def test_f1_a_block_that_is_not_run_says_why_and_is_counted() -> None:
    marked = [one for one in all_blocks() if one.reason]
    assert Counter(one.page for one in marked) == NOT_RUN
    assert [one.place for one in marked if len(one.reason.split()) < 4] == []
    assert [one.place for one in marked if one.language not in RUN or one.transcript] == []
    marks = sum(len(re.findall(r"^ *<!-- not run", page.text, re.M)) for page in documents())
    assert marks == len(marked), "a mark stands on the line before its block"


def test_f1_a_text_block_has_no_commands_and_no_code() -> None:
    """What a reader would copy has its own language; help texts, in commands.md, are checked below."""
    bad = [
        one.place
        for one in all_blocks()
        if one.language == "text" and not one.file
        if re.search(r"^\$ |^(from \w+ )?import |^def |^\[[\w.]+\]$", one.text, re.M)
    ]
    assert not bad, findings(bad)


def test_f1_every_transcript_is_played() -> None:
    played = {name for names in transcripts.PAGES.values() for name in names}
    assert {one.transcript for one in all_blocks() if one.transcript} == played


@pytest.mark.parametrize("page", RUN_AS_A_PAGE)
def test_f1_the_test_that_runs_a_whole_page_exists(page: str) -> None:
    assert blocks("python", page)
    assert (CHECKOUT / RUN_AS_A_PAGE[page]).exists()


def test_f1_a_block_that_needs_others_of_its_page_says_which() -> None:
    first, *later = blocks("python", "docs/emulator.md")
    assert [first.needs, *{one.needs for one in later}] == ["", "the blocks above"]
    for block in blocks("python", "docs/testing.md"):
        needed = [("app.py", "\nfrom app import"), ("orders.jsonl.gz", '"orders.jsonl.gz"')]
        named = ", ".join(name for name, text in needed if text in block.text)
        assert block.needs == named, block.place
    others = [one.place for one in all_blocks() if one.needs and one.page not in RUN_AS_A_PAGE]
    assert not others, "a block of this page is a module of its own"


def test_f1_json_is_read_and_has_its_shape() -> None:
    for block in blocks("json"):
        check_json(block)


def check_json(block: Block) -> None:
    """Fail unless it parses, and an event or a failure document has the members of one."""
    told = json.loads(block.text)
    if "Records" in told:
        assert all({"eventID", "eventName", "dynamodb"} <= set(one) for one in told["Records"])
    if "requestContext" in told:
        assert set(told) >= FAILURE_KEYS, block.place


def test_f1_the_checks_of_blocks_can_fail() -> None:
    text = "<!-- not run: it needs the moon -->\n```py\n1\n```\n\n    ~~~\n    $ x\n    ~~~\n"
    first, second = blocks_of(Document("page.md", text))
    assert (first.language, first.reason, first.line) == ("py", "it needs the moon", 2)
    assert (second.language, second.reason, second.text) == ("", "", "$ x\n")
    with pytest.raises(ValueError, match=r"page\.md:1: the block is not closed"):
        list(blocks_of(Document("page.md", "```python\n1\n")))
    event, document = '{"Records": [{}]}', '{"requestContext": {}}'
    for wrong in (event, document, "{"):
        [block] = blocks_of(Document("page.md", f"```json\n{wrong}\n```\n"))
        with pytest.raises((AssertionError, ValueError)):
            check_json(block)


def loaded(block: Block, folder: Path) -> tuple[str, Triggers[Any]]:
    """The module that a block is, by its name, and its triggers."""
    place = f"{block.place}_{folder.name}".lower()  # a module of each test's own
    name = f"block_of_{re.sub(r'[^a-z0-9]', '_', place)}"
    (folder / f"{name}.py").write_text(block.text, encoding="utf-8")
    return name, load_target(f"{name}:handlers", folder=folder)


@each_module
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


@each_module
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


@pytest.mark.parametrize(
    "block",
    [one for one in all_blocks() if one.language in ("console", "bash")],
    ids=lambda block: block.place,
)
def test_commands_and_their_flags_exist(block: Block) -> None:
    commands = list(prompts(block.text))
    assert commands, f"{block.place}: a console block without a prompt"
    for line, _ in commands:
        for words in commands_of(line):
            refuse_unknown(words, block.place)


def test_f1_a_console_block_that_cannot_be_typed_is_marked() -> None:
    """So is one of the checkout's own scripts and tests: those pages have no project of a user's."""
    bad = [
        f"{block.place}: {line}"
        for block in [*blocks("console"), *blocks("bash")]
        if not block.transcript
        for line, _ in prompts(block.text)
        for part in line.split(" && ")
        if part.split()[0] not in TYPED_PROGRAMS or re.search(r"\b(benchmarks|tests)/", part)
    ]
    assert not bad, f"write <!-- not run: REASON --> before it:{findings(bad)}"


def test_files_that_commands_name_exist() -> None:
    """Of blocks that are not run, too."""
    for block in all_blocks():
        if block.language == "console" and block.page.startswith(("README", "docs/")):
            for path in re.findall(r"\b(?:benchmarks|tests)/[\w./]+", block.text):
                assert (CHECKOUT / path).exists(), f"{block.place}: {path}"


def test_f1_examples_in_help_texts_exist() -> None:
    page = [one for one in all_blocks() if one.page == "docs/commands.md"]
    lines = [line for one in page for line in one.text.splitlines() if "  triggerkit " in line]
    assert lines
    for line in lines:
        for words in commands_of(re.sub(r"\s{2,}\(.*", "", line)):
            refuse_unknown(words, "docs/commands.md")


def test_commands_in_running_text_and_tables_exist() -> None:
    for document in documents():
        for line in re.findall(r"`(triggerkit [a-z][^`]*)`", outside_blocks(document)):
            for words in commands_of(line):
                refuse_unknown(words, document.name)


def test_the_commands_page_lists_every_exit_code_that_can_come() -> None:
    page = (CHECKOUT / "docs/commands.md").read_text(encoding="utf-8")
    assert [code for code in EXIT_CODES if f"\n| {code} | " not in page] == []


def test_the_two_commands_of_the_readme_are_those_that_ci_runs() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert "$ pip install . && triggerkit demo\n" in readme
    assert "$ pip install '.[dev]' && pytest\n" in readme


def test_f1_every_guarantee_of_the_readme_names_tests_that_exist() -> None:
    """Where the linked file has them."""
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    table = readme.split("## What is guaranteed\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert rows[0] == ["when", "then", "shown by"]
    for when, _, shown_by in rows[1:]:
        named = re.findall(r"\[(test_\w+)\]\(([\w./]+)\)", shown_by)
        assert named, f"no test shows: {when}"
        for test, path in named:
            assert f"def {test}(" in (CHECKOUT / path).read_text("utf-8"), f"{path}: {test}"


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_that_the_code_makes(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    assert "<!-- table: " in text
    assert text == with_tables(text), "run: python tests/architecture/doc_tables.py"


def test_the_picture_is_the_same_everywhere() -> None:
    pages = ("docs/how-it-works.md", "triggerkit/ARCHITECTURE.md")
    texts = [(CHECKOUT / page).read_text(encoding="utf-8") for page in pages]
    assert (
        len({text[text.index("```text\n   your module") :].split("```")[1] for text in texts}) == 1
    )


def test_no_page_has_the_marks_of_a_merge() -> None:
    marks = re.compile(r"^(<{7} |>{7} |={7}$)", re.M)
    assert not [
        document.name for document in DOCUMENTS if marks.search(document.read_text("utf-8"))
    ]


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere() -> None:
    bad = []
    for document in DOCUMENTS:
        links = re.findall(r"\]\(([^)#\s]*)(?:#([^)]+))?\)", document.read_text(encoding="utf-8"))
        for target, anchor in links:
            page = document.parent / target if target else document
            if "://" in target:
                continue
            if not page.exists() or (anchor and anchor not in anchors_of(page)):
                bad.append(f"{document.name}: {target}#{anchor}")
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
