"""The smallest trigger: print every change of a table.

triggerkit enable-stream user_table NEW_AND_OLD_IMAGES
triggerkit run examples/hello.py
"""

from typing import Any

from triggerkit import Context, Triggers

handlers = Triggers("hello")


@handlers.on("dynamodb://user_table", batch_size=100)
def process_user_table(event: dict[str, Any], context: Context[None]) -> None:
    for record in event["Records"]:
        print(record["eventName"], record["dynamodb"]["Keys"])
