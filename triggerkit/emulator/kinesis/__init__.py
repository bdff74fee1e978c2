"""Kinesis Data Streams: shards that split and merge, on the same shard graph as DynamoDB Streams."""
