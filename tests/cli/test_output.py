"""What commands write: tables, digests of changes, errors and faults."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from triggerkit.cli import main as entry
from triggerkit.commands.digest import digest
from triggerkit.commands.output import confirm, print_table
from triggerkit.errors import EXIT_CODES, InternalError, StateLockedError, TriggerkitError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_table_has_whole_cells_in_a_narrow_terminal_and_elsewhere(
    *, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    rows = [("id", "why"), ("账单", "word " * 20), ("c", "x" * 200)]
    print_table(rows)
    header, wide, whole = stream.getvalue().splitlines()
    assert cell_len(header.removesuffix("why")) == cell_len("账单  ")
    assert wide.endswith(("word " * 20).strip())
    assert whole == "c     " + "x" * 200


def failing(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


@pytest.fixture
def run_failing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[BaseException], tuple[int, str]]:
    """Run a command that raises; the exit code and stderr."""

    def run(error: BaseException) -> tuple[int, str]:
        command = click.Command("fails", callback=failing(error))
        monkeypatch.setattr(entry.LazyGroup, "get_command", lambda *_: command)
        monkeypatch.setattr(sys, "argv", ["triggerkit", "fails"])
        code = entry.run_command()
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return run


Failing = Callable[[BaseException], tuple[int, str]]


def test_an_error_is_its_message_and_its_fix(run_failing: Failing) -> None:
    error = StateLockedError("it is locked", hint="unlock it")
    error.__cause__ = OSError("deep inside")
    assert run_failing(error) == (4, "triggerkit: it is locked\n  fix: unlock it\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("a fault"), InternalError("a fault")])
def test_a_fault_of_ours_shows_everything_and_asks_to_report_it(
    error: Exception, run_failing: Failing
) -> None:
    code, shown = run_failing(error)
    assert code == 1
    assert shown.startswith("  Traceback (most recent call last):")
    assert "triggerkit: internal error: a fault" in shown
    assert "please report it" in shown


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_is_no_traceback(error: BaseException, run_failing: Failing) -> None:
    code, shown = run_failing(error)
    assert (code, shown.strip()) == (130, "interrupted")


def test_every_class_of_error_has_an_exit_code_of_the_table() -> None:
    def below(kind: type[TriggerkitError]) -> set[int]:
        return {kind.exit_code}.union(*(below(child) for child in kind.__subclasses__()))

    assert below(TriggerkitError) <= EXIT_CODES.keys()


def test_a_table_is_as_wide_as_it_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([("a", "long one", ""), ("bcd", "x", "y")], indent="  ")
    assert capsys.readouterr().out == "  a    long one\n  bcd  x         y\n"
    print_table([])
    assert capsys.readouterr().out == ""


def test_no_input_is_no_agreement() -> None:
    asking = click.Command("asks", callback=lambda: confirm("Really?"))
    shown = CliRunner().invoke(asking, input="")
    assert shown.exit_code == 2
    assert "nothing was done" in shown.output


def test_a_digest_names_the_item_and_what_changed() -> None:
    change = {
        "eventName": "MODIFY",
        "dynamodb": {
            "ApproximateCreationDateTime": 3661,
            "Keys": {"id": {"S": "a"}, "at": {"N": "1"}},
            "OldImage": {
                "id": {"S": "a"},
                "at": {"N": "1"},
                "n": {"N": "1"},
                "gone": {"BOOL": True},
            },
            "NewImage": {"id": {"S": "a"}, "at": {"N": "1"}, "n": {"N": "2"}},
        },
    }
    assert digest(change, 100) == "01:01:01  MODIFY  id=a at=1  n: 1 -> 2  gone: true -> -"
    assert len(digest(change, 44)) == 44
    assert digest(change, 44).endswith("…")
    keys_only = {**change, "dynamodb": {"Keys": {"id": {"S": "a"}}}}
    assert digest(keys_only, 100) == "00:00:00  MODIFY  id=a"


def test_a_digest_goes_into_maps_and_knows_expiry_and_records() -> None:
    old = {"id": {"S": "a"}, "to": {"M": {"city": {"S": "A"}, "zip": {"S": "1"}}}}
    new = {"id": {"S": "a"}, "to": {"M": {"city": {"S": "B"}, "zip": {"S": "1"}}}}
    keys = {"id": {"S": "a"}}
    change = {"eventName": "MODIFY", "dynamodb": {"Keys": keys, "OldImage": old, "NewImage": new}}
    assert digest(change, None) == "00:00:00  MODIFY  id=a  to.city: A -> B"
    expired = {
        "eventName": "REMOVE",
        "userIdentity": {"principalId": "dynamodb.amazonaws.com", "type": "Service"},
        "dynamodb": {"Keys": keys, "OldImage": {"id": {"S": "a"}, "n": {"N": "1"}}},
    }
    assert digest(expired, None) == "00:00:00  REMOVE by TTL  id=a  n=1"
    record = {"kinesis": {"partitionKey": "p", "data": "eA==", "approximateArrivalTimestamp": 1.5}}
    assert digest(record, None) == "00:00:01  p  x"
    record["kinesis"]["data"] = "/w=="
    assert digest(record, None) == "00:00:01  p  /w=="


def test_colours_of_a_digest_say_nothing_more_and_cost_no_columns() -> None:
    change = {
        "eventName": "MODIFY",
        "dynamodb": {
            "Keys": {"id": {"S": "a"}},
            "OldImage": {"n": {"N": "1"}},
            "NewImage": {"n": {"N": "2"}},
        },
    }
    coloured = digest(change, 60, colours=True)
    assert "\x1b[33mMODIFY\x1b[0m" in coloured
    assert "\x1b[31m1\x1b[0m" in coloured
    assert "\x1b[32m2\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == digest(change, 60)


def test_a_record_of_another_kind_is_shown_as_it_is() -> None:
    assert digest({"kinesis": {"data": "eA=="}}, 100) == '{"kinesis": {"data": "eA=="}}'


def inserted(**item: object) -> str:
    """The digest of a new item."""
    change = {"Keys": {"id": {"S": "a"}}, "NewImage": item}
    return digest({"eventName": "INSERT", "dynamodb": change}, None)


def test_f3_values_lose_their_type_letters_and_numbers_are_numbers_at_every_depth() -> None:
    nested = {"x": {"L": [{"N": "1"}, {"NULL": True}, {"SS": ["a"]}, {"S": "1"}, {"NS": ["2"]}]}}
    shown = inserted(map={"M": nested}, long={"S": "x" * 100}, bytes={"B": "eA=="})
    assert 'map={"x": [1, null, ["a"], "1", [2]]}' in shown
    assert f"long={'x' * 39}…" in shown
    assert "bytes=eA==" in shown


def test_f3_a_nested_number_keeps_every_digit() -> None:
    digits = "12345678901234567890.1234567890"
    assert f'm={{"n": {digits}}}' in inserted(m={"M": {"n": {"N": digits}}})
    assert "l=[1E+2, 0.10]" in inserted(l={"L": [{"N": "1E+2"}, {"N": "0.10"}]})
    assert 'l=["no number"]' in inserted(l={"L": [{"N": "no number"}]})


def test_f3_a_value_that_only_changes_its_type_is_told_apart() -> None:
    images = {"OldImage": {"n": {"S": "1"}}, "NewImage": {"n": {"N": "1"}}}
    assert 'n: "1" -> 1' in digest({"eventName": "MODIFY", "dynamodb": images}, None)


@pytest.mark.parametrize("at", [1e300, "soon", {"a": 1}, float("nan"), -1e18, 10**400, [], True])
def test_e5_a_time_that_is_none_or_beyond_the_calendar_is_shown_as_none(at: object) -> None:
    change = {"ApproximateCreationDateTime": at, "Keys": {"id": {"S": "a"}}}
    assert "id=a" in digest({"eventName": "INSERT", "dynamodb": change}, None)


@pytest.mark.parametrize("odd", [[], "text", 1, {"S": 1}, {"id": []}, {"id": {}}, {"id": None}])
def test_e5_images_of_another_shape_are_shown_all_the_same(odd: object) -> None:
    for name in ("Keys", "NewImage", "OldImage"):
        assert digest({"eventName": "INSERT", "dynamodb": {name: odd}}, None)
