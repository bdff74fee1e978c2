"""What sources made of shards share: reading one shard for several mappings, order of records, ancestry."""
