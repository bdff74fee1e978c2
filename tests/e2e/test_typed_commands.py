"""The commands with typed handlers, as a new user types them."""

from __future__ import annotations

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
