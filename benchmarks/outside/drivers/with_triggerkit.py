"""triggerkit itself, as a user runs it: a handler, and `triggerkit run`."""

from __future__ import annotations

import base64
import json
import os
from contextlib import contextmanager

from line import POSITION, TABLE, Line

from triggerkit import Triggers

SERVICE = os.environ["OUTSIDE_SERVICE"].lower()
line = Line()


@contextmanager
def told():
    """Entered when the worker is about to begin."""
    line.ready()
    yield


handlers = Triggers("stage", lifespan=told)


def read(record):
    if "kinesis" in record:
        content = json.loads(base64.b64decode(record["kinesis"]["data"]))
        return content["key"], content["number"]
    image = record["dynamodb"]["NewImage"]
    return image["id"]["S"], int(image["number"]["N"])


@handlers.on(f"{SERVICE}://{TABLE}", starting_position=POSITION, batch_size=10)
def hand_over(event, _context):
    for record in event["Records"]:
        line.handle(*read(record))
