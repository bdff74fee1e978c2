"""Say which record failed: everything before it is done, and only the rest comes again.

triggerkit run examples/partial_response.py
"""

from typing import Any

from triggerkit import Context, Triggers

handlers = Triggers("stock", maximum_retry_attempts=3, on_failure="file:failures.jsonl")


@handlers.on("dynamodb://stock", batch_size=50, report_batch_item_failures=True)
def reserve(event: dict[str, Any], context: Context[None]) -> dict[str, Any]:
    for record in event["Records"]:
        change = record["dynamodb"]
        if "NewImage" in change and "sku" not in change["NewImage"]:
            print("no sku:", change["Keys"])
            return {"batchItemFailures": [{"itemIdentifier": change["SequenceNumber"]}]}
    return {"batchItemFailures": []}
