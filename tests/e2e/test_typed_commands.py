"""The commands with typed handlers, as a new user types them."""

from __future__ import annotations

import pytest
from e2e.harness import Place

TYPED = """
from dataclasses import dataclass
from triggerkit import Batch, Change, Inserted, Triggers

@dataclass
class Order:
    id: str
    total: int

handlers = Triggers("typed")

@handlers.each("dynamodb://orders")
def one(change: Inserted[Order]) -> None:
    print(change.new)

@handlers.batch("dynamodb://orders")
def many(batch: Batch[Change[Order]]) -> None:
    for change in batch:
        batch.fail(change)
"""
NOT_TYPED = """
@handlers.on("dynamodb://orders")
def plain(event, context):
    return [(record["eventName"], record["dynamodb"]) for record in event["Records"]]
"""


def test_invoke_and_check_know_typed_handlers(place: Place) -> None:
    place.write("app.py", TYPED)
    new = '{"id": "o-1", "total": 9}'
    event = place.run(
        "generate-event", "dynamodb", "insert", "--keys", '{"id": "o-1"}', "--new", new
    )
    place.write("event.json", event.stdout)
    done = place.run("invoke", "app:handlers", "-t", "one", "-e", "event.json")
    assert (done.code, done.json) == (0, None)
    assert "Order(id='o-1', total=9)" in done.stderr
    done = place.run("invoke", "app:handlers", "-t", "many", "-e", "event.json")
    assert done.code == 12
    assert "failed from record 0 on (1 reported)" in done.stderr
    place.write("app.py", TYPED.replace("Inserted[Order]", "Inserted['Nowhere']"))
    done = place.run("check", "app:handlers", "--state", "memory:", "--region", "us-east-1")
    assert done.code == 2
    assert "Nowhere" in done.stderr


@pytest.mark.parametrize(
    ("event", "missing"),
    [
        ("{}", 'it has no list "Records"'),
        ("[1]", 'it has no list "Records"'),
        ('{"Records": [7]}', "record 1 is not an object"),
        ('{"Records": [{"eventName": "INSERT"}]}', 'record 1 has no "dynamodb"'),
        ('{"Records": [{"dynamodb": {}}]}', 'record 1 has no "eventName"'),
    ],
)
def test_an_event_that_is_none_of_a_stream_is_named_with_what_it_lacks(
    place: Place, event: str, missing: str
) -> None:
    place.write("app.py", TYPED + NOT_TYPED)
    place.write("event.json", event)
    refused = place.run("invoke", "app:handlers", "-t", "one", "-e", "event.json")
    assert refused.code == 2
    assert f"event file 'event.json': {missing}" in refused.stderr
    assert "generate-event" in refused.stderr
    raised = place.run("invoke", "app:handlers", "-t", "plain", "-e", "event.json")
    assert raised.code == 12
    assert "app.py" in raised.stderr  # its own traceback
    assert f"event file 'event.json': {missing}" in raised.stderr
