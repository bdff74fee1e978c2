"""Seeded random PartiQL: statements, batches and transactions over tables with indexes."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from emulator.comparison import Endpoint, Outcome
from emulator.random_reads import GROUPS, KEYS, MAX_PAGES, wide_item, wide_key

Statement = dict[str, Any]

CONDITIONS = (
    "n > 1",
    "n BETWEEN -2 AND 2",
    "v = 'x'",
    "v <> 'x'",
    "NOT v = 'y'",
    "attribute_exists(m)",
    "t IS MISSING OR t = true",
    "m.a = 1",
    "m.l[0] IN ['q', 5]",
    "g IN ('g0', 'gé')",
    "size(ss) > 1 AND contains(ss, 'a')",
    "begins_with(v, 'x') OR n <= 0",
    "attribute_type(n, 'N')",
    "ss = <<'a', 'b'>>",
    "n IS NOT MISSING AND t IS NOT NULL",
)
PROJECTIONS = ("*", "pk, sk", "n, m.a", "m.l[0], t", '"v", ss', "absent", "l[1], pk")
ASSIGNMENTS = (
    "SET n = 5",
    "SET n = if_not_exists(n, 0) + 1.5",
    "SET v = 'x', g = 'g1'",
    "SET v = 'it''s'",
    "REMOVE g REMOVE t",
    "SET ss = set_add(ss, <<'c'>>)",
    "SET ss = set_delete(ss, <<'a', 'z'>>)",
    "SET m = {'a': 1, 'l': ['q', null, {'x': <<1, 2.0>>}]}",
    "SET t = false SET n = n - 1",
    "SET m.a = 7, m.l[0] = 'r'",
    "SET l = list_append(l, ['z'])",
    "SET l[0] = n REMOVE v",
)
RETURNING = ("", "", " RETURNING ALL OLD *", " RETURNING ALL NEW *")


def literal(value: dict[str, Any]) -> str:
    """Return a scalar or collection as PartiQL writes it; binary has no literal."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return "'" + content.replace("'", "''") + "'"
        case "N":
            return str(content)
        case "BOOL":
            return "true" if content else "false"
        case "NULL":
            return "null"
        case "L":
            return "[" + ", ".join(map(literal, content)) + "]"
        case "M":
            entries = ", ".join(f"'{name}': {literal(each)}" for name, each in content.items())
            return "{" + entries + "}"
        case "SS" | "NS":
            return "<<" + ", ".join(literal({kind[0]: each}) for each in content) + ">>"
        case _:
            raise ValueError(kind)


def writable(value: dict[str, Any]) -> bool:
    """Tell whether a value has a literal in every dialect: no binary, no odd spelling of a number."""
    ((kind, content),) = value.items()
    if kind == "N":
        return content.replace(".", "", 1).isdigit() and not content.startswith(".")
    if kind == "NS":
        return all(writable({"N": each}) for each in content)
    if kind == "L":
        return all(map(writable, content))
    if kind == "M":
        return all(map(writable, content.values()))
    return kind not in ("B", "BS")


def given(random: Random, value: dict[str, Any], parameters: list[Any]) -> str:
    """Return the text of a value, as a parameter or as a literal."""
    if not writable(value) or random.random() < 0.5:
        parameters.append(value)
        return "?"
    return literal(value)


def where_key(random: Random, key: dict[str, Any], parameters: list[Any]) -> str:
    parts = [f"{name} = {given(random, value, parameters)}" for name, value in key.items()]
    return " AND ".join(parts)


def statement(text: str, parameters: list[Any]) -> Statement:
    return {"Statement": text, **({"Parameters": parameters} if parameters else {})}


def write(random: Random, table: str, key: dict[str, Any], returns: bool = True) -> Statement:
    """Return an INSERT, UPDATE or DELETE of one item."""
    parameters: list[Any] = []
    kind = random.choice(("INSERT", "INSERT", "UPDATE", "UPDATE", "UPDATE", "DELETE"))
    if kind == "INSERT":
        entries = ", ".join(
            f"'{name}': {given(random, value, parameters)}"
            for name, value in wide_item(random, key).items()
        )
        return statement(f'INSERT INTO "{table}" VALUE {{{entries}}}', parameters)
    head = f"DELETE FROM {table}"
    returning = random.choice(("", " RETURNING ALL OLD *"))
    if kind == "UPDATE":
        head = f'UPDATE "{table}" {random.choice(ASSIGNMENTS)}'
        returning = random.choice(RETURNING)
    where = where_key(random, key, parameters)
    if random.random() < 0.3:
        where += f" AND ({random.choice(CONDITIONS)})"
    text = f"{head} WHERE {where}{returning if returns else ''}"
    asked = statement(text, parameters)
    if random.random() < 0.3:
        asked["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return asked


def select(random: Random, table: str) -> Statement:
    """Return a SELECT: of a partition, of several, of an index, or a scan."""
    parameters: list[Any] = []
    source, wheres = random.choice(
        (
            (table, ["pk = 'k1'"]),
            (table, ["pk = 'k2'", "sk > 'a'"]),
            (table, ["pk = 'k0'", "begins_with(sk, 'b')"]),
            (table, ["pk IN ['k0', 'k3']"]),
            (table, []),
            (f'"{table}"."by_v"', ["v = 'x'"]),
            (f'"{table}"."local_n"', [f"pk = 'k{random.randrange(KEYS)}'", "n >= 0"]),
            (f'"{table}"."by_g_sk"', [f"g = '{random.choice(GROUPS)}'"]),
        )
    )
    projection = "pk, sk" if "by_g_sk" in source else random.choice(PROJECTIONS)
    parts = list(wheres)
    if random.random() < 0.5 and "by_g_sk" not in source and "local" not in source:
        parts.append(f"({random.choice(CONDITIONS)})")
    where = f" WHERE {' AND '.join(parts)}" if parts else ""
    asked = statement(f"SELECT {projection} FROM {source}{where}", parameters)
    if random.random() < 0.4:
        asked["Limit"] = random.choice((1, 2, 5))
    return asked


def item_select(random: Random, table: str, key: dict[str, Any]) -> Statement:
    """Return a SELECT of one item by its key."""
    parameters: list[Any] = []
    where = where_key(random, key, parameters)
    return statement(f"SELECT {random.choice(PROJECTIONS)} FROM {table} WHERE {where}", parameters)


def batch(random: Random, tables: list[str]) -> dict[str, Any]:
    reads = random.random() < 0.4
    entries: dict[str, Statement] = {}
    for _ in range(random.randrange(1, 5)):
        table, key = random.choice(tables), wide_key(random)
        made = item_select(random, table, key) if reads else write(random, table, key)
        entries[json.dumps([table, key], sort_keys=True)] = made
    return {"Statements": list(entries.values())}


def transaction(random: Random, tables: list[str]) -> dict[str, Any]:
    reads = random.random() < 0.3
    entries: dict[str, Statement] = {}
    for _ in range(random.choice((1, 2, 2, 3))):
        table, key = random.choice(tables), wide_key(random)
        if reads:
            made = item_select(random, table, key)
        elif random.random() < 0.15:
            parameters: list[Any] = []
            where = where_key(random, key, parameters)
            text = f"EXISTS(SELECT * FROM {table} WHERE {where} AND {random.choice(CONDITIONS)})"
            made = statement(text, parameters)
        else:
            made = write(random, table, key, returns=False)
        entries[json.dumps([table, key], sort_keys=True)] = made
    return {"TransactStatements": list(entries.values())}


def walked(endpoint: Endpoint, request: Statement) -> Any:
    """Return the outcome of a failed SELECT, else its items as a bag."""
    found: list[str] = []
    token: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        answer = endpoint.send("ExecuteStatement", {**request, **token})
        if not answer.succeeded:
            return answer
        found += [json.dumps(item, sort_keys=True) for item in answer.body["Items"]]
        if "NextToken" not in answer.body:
            return sorted(found)
        token = {"NextToken": answer.body["NextToken"]}
    raise AssertionError(f"no end after {MAX_PAGES} pages: {request}")


def without_texts(answer: Outcome) -> Outcome:
    """Return an answer of a batch without the texts of its errors."""
    responses = answer.body.get("Responses") if answer.succeeded else None
    for response in responses if isinstance(responses, list) else ():
        response.get("Error", {}).pop("Message", None)
    return answer
