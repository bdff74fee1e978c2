"""What `mypy --strict` refuses, each at its line."""

from typing import Any

from triggerkit import Context, Options, Triggers, Worker

handlers = Triggers("orders")
Triggers("orders", batch_sise=1)  # E: call-overload
handlers.on("dynamodb://orders", batch_sise=1)  # E: call-arg
handlers.on("dynamodb://orders", starting_position="latest")  # E: arg-type
handlers.on("dynamodb://orders", batch_size="10")  # E: arg-type
handlers.on(7)  # E: arg-type
handlers.include("orders")  # E: arg-type
Worker(handlers, drain_timout=3)  # E: call-arg
Worker(handlers, log_level="loud")  # E: arg-type
Worker("app:handlers")  # E: arg-type
Worker(handlers, observers=[3])  # E: list-item
shared: Options = {"batch_sise": 1}  # E: typeddict-unknown-key


@handlers.on("dynamodb://orders")  # E: type-var
def one_argument(event: dict[str, Any]) -> None: ...


@handlers.on("dynamodb://orders")  # E: type-var
def three_arguments(event: dict[str, Any], context: object, third: int) -> None: ...


@handlers.on("dynamodb://orders")
def handler(event: dict[str, Any], context: Context[None]) -> None:
    context.attempt = 2  # E: misc
    print(context.nothing)  # E: attr-defined


handler({})  # E: call-arg
