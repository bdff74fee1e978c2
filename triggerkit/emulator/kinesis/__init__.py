"""Kinesis Data Streams: shards that split and merge, on the same shard graph as DynamoDB Streams.

Rule: a change of a stream is done when the call returns; there is no consumer of enhanced fan-out here.
"""
