"""One bad record must not stop the table: retry, split the batch, give the record up, go on.

A failed batch is split in two until the bad record stands alone; that one is tried three times and then
written to `failures.jsonl`, with the event itself, while its neighbours are done.

    triggerkit run examples/retries_and_bisect.py
"""

from typing import Any

from triggerkit import Context, Triggers

handlers = Triggers(
    "billing",
    maximum_retry_attempts=2,
    bisect_batch_on_function_error=True,
    on_failure="file:failures.jsonl",
)


@handlers.on("dynamodb://orders", batch_size=25)
def bill(event: dict[str, Any], context: Context[None]) -> None:
    for record in event["Records"]:
        if record["eventName"] == "REMOVE":
            continue
        order = record["dynamodb"]["NewImage"]
        cents = int(order["cents"]["N"])  # an order without cents raises KeyError
        print(f"billed {order['id']['S']}: {cents}")
