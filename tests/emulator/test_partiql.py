"""Statements: what they do, what they answer, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.kit import Orders, refused
from triggerkit.emulator import EmulatorError


def execute(orders: Orders, statement: str, *parameters: Any, **request: Any) -> list[Any]:
    given = {"Parameters": list(parameters)} if parameters else {}
    items: list[Any] = orders.call("ExecuteStatement", Statement=statement, **given, **request)[
        "Items"
    ]
    return items


def wrong(orders: Orders, statement: str, *parameters: Any) -> EmulatorError:
    given = {"Parameters": list(parameters)} if parameters else {}
    return refused(orders, "ExecuteStatement", Statement=statement, **given)


@pytest.fixture
def orders() -> Orders:
    made = Orders()
    made.put("a", n={"N": "5"}, v={"S": "abc"}, m={"M": {"x": {"L": [{"N": "1"}, {"N": "2"}]}}})
    made.put("b", n={"N": "7"}, ss={"SS": ["p", "q"]})
    return made


def test_an_insert_puts_an_item_of_literals_and_parameters() -> None:
    orders = Orders()
    statement = (
        "INSERT INTO orders VALUE {'pk': ?, 'n': -1.50, 't': true, 'z': null, 's': 'it''s', "
        "'l': [1, 'x', {'y': <<2, 1>>}], 'b': ?} -- a comment"
    )
    assert execute(orders, statement, {"S": "a"}, {"B": "YQ=="}) == []
    assert orders.get("a") == {
        "pk": {"S": "a"},
        "n": {"N": "-1.5"},
        "t": {"BOOL": True},
        "z": {"NULL": True},
        "s": {"S": "it's"},
        "l": {"L": [{"N": "1"}, {"S": "x"}, {"M": {"y": {"NS": ["1", "2"]}}}]},
        "b": {"B": "YQ=="},
    }
    assert [record["eventName"] for record in orders.records()] == ["INSERT"]


def test_an_insert_does_not_replace(orders: Orders) -> None:
    error = wrong(orders, "INSERT INTO orders VALUE {'pk': 'a'}")
    assert error.type == "DuplicateItemException"
    assert len(orders.records()) == 2


def test_an_update_changes_an_item_that_exists(orders: Orders) -> None:
    statement = "UPDATE orders SET n = n + ?, m.x[0] = 9 REMOVE v WHERE pk = ?"
    execute(orders, statement, {"N": "1"}, {"S": "a"})
    assert orders.get("a") == {
        "pk": {"S": "a"},
        "n": {"N": "6"},
        "m": {"M": {"x": {"L": [{"N": "9"}, {"N": "2"}]}}},
    }
    error = wrong(orders, "UPDATE orders SET n = 1 WHERE pk = 'absent'")
    assert error.type == "ConditionalCheckFailedException"
    assert orders.get("absent") is None


def test_an_update_has_functions_and_conditions(orders: Orders) -> None:
    execute(orders, "UPDATE orders SET c = if_not_exists(c, 0) + 1 WHERE pk = 'b' AND n = 7")
    execute(orders, "UPDATE orders SET ss = set_add(ss, <<'r'>>) WHERE pk = 'b'")
    execute(orders, "UPDATE orders SET ss = set_delete(ss, <<'p'>>) WHERE 'b' = pk")
    execute(orders, "UPDATE orders SET l = list_append(if_not_exists(l, []), [1]) WHERE pk = 'b'")
    assert orders.get("b") == {
        "pk": {"S": "b"},
        "n": {"N": "7"},
        "c": {"N": "1"},
        "ss": {"SS": ["q", "r"]},
        "l": {"L": [{"N": "1"}]},
    }
    error = refused(
        orders,
        "ExecuteStatement",
        Statement="UPDATE orders SET n = 1 WHERE pk = 'b' AND n > 7",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    assert error.extra["Item"] == orders.get("b")


@pytest.mark.parametrize(
    ("returning", "answer"),
    [
        ("ALL OLD", [{"pk": {"S": "c"}, "n": {"N": "1"}, "v": {"S": "x"}}]),
        ("ALL NEW", [{"pk": {"S": "c"}, "n": {"N": "2"}, "v": {"S": "x"}}]),
        ("MODIFIED OLD", [{"n": {"N": "1"}}]),
        ("modified new", [{"n": {"N": "2"}}]),
    ],
)
def test_an_update_returns_what_is_asked(returning: str, answer: list[Any]) -> None:
    orders = Orders()
    orders.put("c", n={"N": "1"}, v={"S": "x"})
    statement = f"UPDATE orders SET n = 2 WHERE pk = 'c' RETURNING {returning} *"
    assert execute(orders, statement) == answer


def test_a_delete_of_nothing_is_no_error(orders: Orders) -> None:
    assert execute(orders, "DELETE FROM orders WHERE pk = 'a' RETURNING ALL OLD *") != []
    assert execute(orders, "DELETE FROM orders WHERE pk = 'a'") == []
    assert execute(orders, "DELETE FROM orders WHERE pk = 'a' AND n = 9") == []
    error = wrong(orders, "DELETE FROM orders WHERE pk = 'b' AND n = 9")
    assert error.type == "ConditionalCheckFailedException"
    assert [record["eventName"] for record in orders.records()][2:] == ["REMOVE"]


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ("", ["a", "b"]),
        ("WHERE pk = 'a'", ["a"]),
        ("WHERE pk IN ['b', 'a']", ["b", "a"]),
        ("WHERE n > 5", ["b"]),
        ("WHERE 5 >= n", ["a"]),
        ("WHERE n BETWEEN 5 AND 6", ["a"]),
        ("WHERE n NOT BETWEEN 5 AND 6", ["b"]),
        ("WHERE v IS MISSING", ["b"]),
        ("WHERE v IS NOT MISSING", ["a"]),
        ("WHERE begins_with(v, 'ab') AND NOT n = 7", ["a"]),
        ("WHERE contains(ss, 'q') OR m.x[1] = 3", ["b"]),
        ("WHERE m.x[1] = 2", ["a"]),
        ("WHERE size(v) = 3", ["a"]),
        ("WHERE (n = 5 AND (v = 'abc' OR v = 'x'))", ["a"]),
        ("WHERE n IN (7, 8)", ["b"]),
        ("WHERE ss = <<'q', 'p'>>", ["b"]),
        ("WHERE pk = 'a' AND n = 6", []),
        ('WHERE "n" != 5', ["b"]),
    ],
)
def test_a_select_finds_what_its_where_says(orders: Orders, where: str, keys: list[str]) -> None:
    found = [item["pk"]["S"] for item in execute(orders, f"SELECT pk FROM orders {where};")]
    assert sorted(found) == sorted(keys)
    if "IN [" in where:
        assert found == keys


def test_a_select_shows_paths_by_their_last_name(orders: Orders) -> None:
    items = execute(orders, "SELECT n, m.x, m.x[1], absent FROM orders WHERE pk = 'a'")
    assert items == [{"n": {"N": "5"}, "x": {"L": [{"N": "1"}, {"N": "2"}]}, "x[1]": {"N": "2"}}]


def test_a_select_continues_by_its_token(orders: Orders) -> None:
    statement = "SELECT pk FROM orders"
    found: list[str] = []
    token: dict[str, Any] = {}
    while True:
        page = orders.call("ExecuteStatement", Statement=statement, Limit=1, **token)
        found += [item["pk"]["S"] for item in page["Items"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(found) == ["a", "b"]
    for other in ({"NextToken": "nonsense"}, {**token, "Statement": "SELECT n FROM orders"}):
        error = refused(orders, "ExecuteStatement", **{"Statement": statement, **other})
        assert "NextToken" in error.message


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("", "wasn't well formed"),
        ("CREATE TABLE t", "SELECT, INSERT, UPDATE or DELETE"),
        ("SELECT FROM orders", "wasn't well formed"),
        ("SELECT * FROM orders WHERE", "wasn't well formed"),
        ("SELECT * FROM orders WHERE n", "wasn't well formed"),
        ("SELECT * FROM orders WHERE (n = 1", "wasn't well formed"),
        ("SELECT * FROM orders WHERE n LIKE 'a'", "Operator: like"),
        ("SELECT * FROM orders WHERE n + 1 = 2", "Operator: +"),
        ("SELECT * FROM orders WHERE upper(n) = 'a'", "function: upper"),
        ("SELECT * FROM orders WHERE v BETWEEN 2 AND 1", "BETWEEN operator requires"),
        ("SELECT * FROM orders LIMIT 1", "Unsupported clause: LIMIT"),
        ("SELECT count(*) FROM orders", "Unsupported function in SELECT: count"),
        ("SELECT pk AS p FROM orders", "Aliasing"),
        ('SELECT * FROM orders AS "o"', "Aliasing"),
        ("SELECT * FROM orders ORDER BY pk", "Must have WHERE"),
        ("SELECT * FROM orders WHERE n = 1 ORDER BY pk", "hash key condition"),
        ("SELECT * FROM orders WHERE pk = 'a' ORDER BY n", "primary key"),
        ('SELECT * FROM orders."absent"', "specified index: absent"),
        ("SELECT * FROM orders WHERE pk = ?", "Number of parameters"),
        ("EXISTS(SELECT * FROM orders WHERE pk = 'a')", "only be used in ExecuteTransaction"),
        ("INSERT INTO orders VALUE ?", "struct format"),
        ("INSERT INTO orders VALUE {'n': 1}", "should be present in the item: Key pk"),
        ("INSERT INTO orders VALUE {'pk': 1}", "data type should match"),
        ("INSERT INTO orders VALUE {'pk': ''}", "empty string value"),
        ("INSERT INTO orders VALUE {pk: 'a'}", "must be of type String"),
        ("INSERT INTO orders VALUE {'pk': 'a', 'pk': 'b'}", "Duplicate keys"),
        ("INSERT INTO orders VALUE {'pk': 'x', 's': <<>>}", "Empty bags"),
        ("INSERT INTO orders VALUE {'pk': 'x', 's': <<1, 'a'>>}", "in bags"),
        ("INSERT INTO orders VALUE {'pk': 'x', 's': <<1, 1.0>>}", "duplicates"),
        ("INSERT INTO orders VALUE {'pk': 'x', 'n': 1e200}", "overflow"),
        ("UPDATE orders SET n = 1", "mandatory equality on all key attributes"),
        ("UPDATE orders SET n = 1 WHERE pk > 'a'", "mandatory equality"),
        ("UPDATE orders SET n = 1 WHERE pk = 'a' OR n = 1", "mandatory equality"),
        ("UPDATE orders SET pk = 'b' WHERE pk = 'a'", "part of the key"),
        ("UPDATE orders SET n = 1, n = 2 WHERE pk = 'a'", "overlap"),
        ("UPDATE orders SET n = 'a' + 1 WHERE pk = 'a'", "operand type: S"),
        ("UPDATE orders SET n = v + 1 WHERE pk = 'a'", "incorrect data type"),
        ("UPDATE orders SET n = absent WHERE pk = 'a'", "does not exist in the item"),
        ("UPDATE orders SET s = set_add(ss, <<1>>) WHERE pk = 'a'", "must be the path"),
        ("UPDATE orders SET s = set_add(s, 1) WHERE pk = 'a'", "operand type: N"),
        ("UPDATE orders WHERE pk = 'a'", "SET or REMOVE"),
        ("UPDATE orders SET n = 1 WHERE pk = 'a' RETURNING *", "ALL or MODIFIED"),
        ("DELETE FROM orders", "mandatory equality"),
        ("DELETE FROM orders WHERE pk = 'a' RETURNING ALL NEW *", "Only RETURNING ALL OLD"),
        ("SELECT * FROM orders WHERE " + "(" * 200 + "n = 1" + ")" * 200, "too deeply"),
        ("SELECT * FROM orders WHERE n = " + "[" * 200 + "]" * 200, "too deeply"),
        ("SELECT * FROM orders WHERE v = '" + "x" * 8192 + "'", "less than or equal to 8192"),
    ],
)
def test_what_dynamodb_does_not_have_is_a_clear_validation_exception(
    orders: Orders, statement: str, words: str
) -> None:
    error = wrong(orders, statement)
    assert error.type == "ValidationException"
    assert words in error.message
    assert len(orders.records()) == 2


def test_too_many_parameters_are_refused(orders: Orders) -> None:
    assert "Number of parameters" in wrong(orders, "SELECT * FROM orders", {"S": "a"}).message


def test_an_absent_table_is_told() -> None:
    for statement in ("SELECT * FROM nope", "INSERT INTO nope VALUE {'pk': 'a'}"):
        assert wrong(Orders(), statement).type == "ResourceNotFoundException"


def test_each_statement_of_a_batch_answers_for_itself(orders: Orders) -> None:
    answer = orders.call(
        "BatchExecuteStatement",
        Statements=[
            {"Statement": "INSERT INTO orders VALUE {'pk': 'a'}"},
            {"Statement": "INSERT INTO orders VALUE {'pk': 'c'}"},
            {"Statement": "UPDATE orders SET n = 1 WHERE pk = 'absent'"},
            {"Statement": "FOO"},
            {"Statement": "DELETE FROM nope WHERE pk = 'a'"},
        ],
    )
    codes = [response.get("Error", {}).get("Code") for response in answer["Responses"]]
    assert codes == [
        "DuplicateItem",
        None,
        "ConditionalCheckFailed",
        "ValidationError",
        "ResourceNotFound",
    ]
    assert orders.get("c") == {"pk": {"S": "c"}}
    read = orders.call(
        "BatchExecuteStatement",
        Statements=[
            {"Statement": "SELECT m.x FROM orders WHERE pk = 'a'"},
            {"Statement": "SELECT * FROM orders WHERE pk = 'absent'"},
            {"Statement": "SELECT * FROM orders"},
        ],
    )["Responses"]
    nested = {"m": {"M": {"x": {"L": [{"N": "1"}, {"N": "2"}]}}}}
    assert read[0] == {"TableName": "orders", "Item": nested}
    assert read[1] == {"TableName": "orders"}
    assert read[2]["Error"]["Message"] == "Only single item select is supported"


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ([], "greater than or equal to 1"),
        (["SELECT * FROM orders WHERE pk = 'a'"] * 26, "less than or equal to 25"),
        (["SELECT * FROM orders WHERE pk = 'a'"] * 2, "duplicates"),
        (
            ["SELECT * FROM orders WHERE pk = 'a'", "DELETE FROM orders WHERE pk = 'b'"],
            "Read and write requests together",
        ),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(
    orders: Orders, statements: list[str], words: str
) -> None:
    asked = [{"Statement": statement} for statement in statements]
    assert words in refused(orders, "BatchExecuteStatement", Statements=asked).message
    assert len(orders.records()) == 2


def transact(orders: Orders, *statements: str, **request: Any) -> dict[str, Any]:
    asked = [{"Statement": statement} for statement in statements]
    return orders.call("ExecuteTransaction", TransactStatements=asked, **request)


def test_a_transaction_of_statements_is_all_or_nothing(orders: Orders) -> None:
    exists = "EXISTS(SELECT * FROM orders WHERE pk = 'a' AND n = 5)"
    update = "UPDATE orders SET n = 1 WHERE pk = 'b'"
    for _ in range(2):
        answer = transact(
            orders, exists, update, "INSERT INTO orders VALUE {'pk': 'c'}", ClientRequestToken="t"
        )
        assert answer == {"Responses": []}
    assert [record["eventName"] for record in orders.records()][2:] == ["MODIFY", "INSERT"]
    with pytest.raises(EmulatorError, match="DuplicateItem, None, ConditionalCheckFailed"):
        transact(
            orders,
            "INSERT INTO orders VALUE {'pk': 'c'}",
            "INSERT INTO orders VALUE {'pk': 'd'}",
            "UPDATE orders SET n = 2 WHERE pk = 'absent'",
        )
    assert orders.get("d") is None


def test_a_transaction_of_statements_reads_too(orders: Orders) -> None:
    answer = transact(
        orders,
        "SELECT n FROM orders WHERE pk = 'a'",
        "SELECT * FROM orders WHERE pk = 'absent'",
    )
    assert answer == {"Responses": [{"Item": {"n": {"N": "5"}}}, {}]}


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ([], "greater than or equal to 1"),
        (["SELECT * FROM orders"], "must specify the primary key"),
        (["SELECT * FROM orders WHERE pk = 'a'"] * 2, "multiple operations"),
        (["DELETE FROM orders WHERE pk = 'a'"] * 2, "multiple operations"),
        (["EXISTS(SELECT * FROM orders WHERE pk = 'a')"], "additional condition"),
        (["UPDATE orders SET n = 1 WHERE pk = 'a' RETURNING ALL NEW *"], "RETURNING clause"),
        (
            ["SELECT * FROM orders WHERE pk = 'a'", "DELETE FROM orders WHERE pk = 'b'"],
            "both read and write",
        ),
    ],
)
def test_a_transaction_of_statements_that_makes_no_sense_is_refused(
    orders: Orders, statements: list[str], words: str
) -> None:
    asked = [{"Statement": statement} for statement in statements]
    error = refused(orders, "ExecuteTransaction", TransactStatements=asked)
    assert error.type == "ValidationException"
    assert words in error.message
