"""Snippet 1: an unchanged Lambda handler, without annotations."""

from triggerkit import Triggers

handlers = Triggers("orders")


@handlers.on("dynamodb://${PREFIX}user_table", batch_size=100)
def process_user_table(event, context):  # E: no-untyped-def
    for record in event["Records"]:
        print(record["eventName"], record["dynamodb"]["Keys"])
