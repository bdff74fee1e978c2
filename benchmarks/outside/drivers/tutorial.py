"""The loop of many tutorials: list the shards once, read each with the iterator that the last page gave."""

from __future__ import annotations

import json
import os
import time

import boto3
from botocore.exceptions import ClientError
from line import CATCHES, ENDPOINT, POSITION, TABLE, Line, main, paced_sleep

time.sleep = paced_sleep


def dynamodb(line: Line) -> None:
    client = boto3.client("dynamodbstreams", endpoint_url=ENDPOINT)
    table = boto3.client("dynamodb", endpoint_url=ENDPOINT).describe_table(TableName=TABLE)
    arn = table["Table"]["LatestStreamArn"]
    shards = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterators = [
        client.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType=POSITION
        )["ShardIterator"]
        for shard in shards
    ]

    def handle(record):
        image = record["dynamodb"]["NewImage"]
        line.handle(image["id"]["S"], int(image["number"]["N"]))

    loop(line, client, iterators, handle)


def kinesis(line: Line) -> None:
    client = boto3.client("kinesis", endpoint_url=ENDPOINT)
    shards = client.describe_stream(StreamName=TABLE)["StreamDescription"]["Shards"]
    iterators = [
        client.get_shard_iterator(
            StreamName=TABLE, ShardId=shard["ShardId"], ShardIteratorType=POSITION
        )["ShardIterator"]
        for shard in shards
    ]

    def handle(record):
        content = json.loads(record["Data"])
        line.handle(content["key"], content["number"])

    loop(line, client, iterators, handle)


def loop(line: Line, client, iterators, handle) -> None:
    line.ready()
    while iterators:
        following = []
        for iterator in iterators:
            try:
                page = client.get_records(ShardIterator=iterator)
            except ClientError:
                if not CATCHES:
                    raise
                page = {"Records": [], "NextShardIterator": iterator}
            for record in page["Records"]:
                handle(record)
            if page.get("NextShardIterator"):
                following.append(page["NextShardIterator"])
        iterators = following
        time.sleep(1)
    time.sleep(3600 * 24)  # every shard has ended; a tutorial's loop has nothing more to do


if __name__ == "__main__":
    main(dynamodb if os.environ["OUTSIDE_SERVICE"] == "DYNAMODB" else kinesis)
