"""What `mypy --strict` refuses about typed handlers, each at its line."""

from triggerkit import Batch, Change, Context, Inserted, Modified, Removed, Triggers

handlers = Triggers("orders")
handlers.each("dynamodb://orders", batch_sise=1)  # E: call-arg
handlers.batch("dynamodb://orders", starting_position="latest")  # E: arg-type


class Order:
    id: str


@handlers.each("dynamodb://orders")  # E: type-var
def nothing() -> None: ...


@handlers.batch("dynamodb://orders")  # E: type-var
def only_keyword(*, batch: Batch[Change[Order]]) -> None: ...


@handlers.each("dynamodb://orders")
def notify(change: Modified[Order], context: Context[None]) -> None:
    change.keys = {}  # E: misc
    print(change.new.nothing)  # E: attr-defined
    print(change.expired)  # E: attr-defined


@handlers.each("dynamodb://orders")
def created(change: Inserted[Order] | Removed[Order]) -> str:  # E: return
    print(change.new.id)  # E: union-attr
    match change:
        case Inserted(new=order):
            return order.id


@handlers.batch("dynamodb://orders")
def collect(batch: Batch[Change[Order]]) -> None:
    batch.fail("first")  # E: arg-type


def call(inserted: Inserted[Order], context: Context[None]) -> None:
    notify(inserted, context)  # E: arg-type
    notify()  # E: call-arg
