"""DynamoDB Streams: `open` is the entry point."""

from triggerkit.sources.dynamodb.source import open

__all__ = ["open"]
