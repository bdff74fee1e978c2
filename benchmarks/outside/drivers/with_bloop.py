"""bloop, as its user guide says: poll `next(stream)`, call `heartbeat`, keep `stream.token`."""

from __future__ import annotations

import collections
import collections.abc
import json
import os
import time

# bloop before 2.1 takes these from where Python 3.10 no longer has them.
for _name in ("Mapping", "MutableMapping", "Iterable", "Callable"):
    if not hasattr(collections, _name):
        setattr(collections, _name, getattr(collections.abc, _name))

import boto3  # noqa: E402 (bloop imports it too)
from bloop import BaseModel, BloopException, Column, Engine, Integer, String  # noqa: E402 (see above)
from botocore.awsrequest import AWSResponse  # noqa: E402
from line import (  # noqa: E402
    CATCHES,
    ENDPOINT,
    PACE,
    POSITION,
    STATE,
    TABLE,
    Line,
    main,
    paced_sleep,
)

time.sleep = paced_sleep
HEARTBEAT_SECONDS = 12 * 60 / PACE
TOKEN = os.path.join(STATE, "token.json")


class Item(BaseModel):
    """A row of the stage's table."""

    class Meta:
        """What bloop asks a model for."""

        table_name = TABLE
        stream = {"include": ["new"]}  # noqa: RUF012 (as bloop's guide writes it)

    id = Column(String, hash_key=True)
    number = Column(Integer)


def run(line: Line) -> None:
    tables = boto3.client("dynamodb", endpoint_url=ENDPOINT)
    tables.meta.events.register("before-call.dynamodb.DescribeContinuousBackups", no_backups)
    engine = Engine(
        dynamodb=tables, dynamodbstreams=boto3.client("dynamodbstreams", endpoint_url=ENDPOINT)
    )
    engine.bind(Item)
    stream = engine.stream(Item, saved() or POSITION.lower())
    save(stream)
    line.ready()
    next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
    while True:
        try:
            record = next(stream)
        except BloopException:
            if not CATCHES:
                raise
            record = None
        if record is None:
            time.sleep(0.2)
        else:
            line.handle(record["new"].id, record["new"].number)
            save(stream)
        if time.monotonic() > next_heartbeat:
            next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
            stream.heartbeat()


def no_backups(**_call):
    """Answer what bloop asks of a table when it binds a model; the engine has no backups."""
    backups = {"ContinuousBackupsStatus": "DISABLED"}
    return AWSResponse("", 200, {}, None), {"ContinuousBackupsDescription": backups}


def saved():
    if not os.path.exists(TOKEN):
        return None
    with open(TOKEN) as file:
        return json.load(file)


def save(stream) -> None:
    with open(TOKEN + ".new", "w") as file:
        json.dump(stream.token, file)
    os.replace(TOKEN + ".new", TOKEN)


if __name__ == "__main__":
    main(run)
