-- The state of app `shop` after one record of dynamodb://orders, written by commit fd29a40.
PRAGMA application_id = 1953655668;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE lease (
        leaseKey TEXT PRIMARY KEY NOT NULL,
        shardId TEXT NOT NULL,
        leaseOwner TEXT,
        leaseCounter INTEGER NOT NULL,
        checkpoint TEXT NOT NULL,             -- a sequence number, or KCL's sentinel
        ownerSwitchesSinceCheckpoint INTEGER NOT NULL,
        parentShardId TEXT NOT NULL,          -- JSON list
        childShardIds TEXT,                   -- JSON list; NULL until the shard's end found them
        tk_n TEXT NOT NULL,                   -- nonce of the last write
        tk_from REAL,                         -- service time: pin of LATEST, time of AT_TIMESTAMP
        tk_at REAL,                           -- service time of the record at the checkpoint
        tk_created REAL,                      -- service time of the shard's creation
        tk_loss TEXT                          -- why the shard ended as lost
    ) WITHOUT ROWID
    ;
INSERT INTO "lease" VALUES('shop:bill:dynamodb/orders/000000000000/us-east-1:2026-12-01T12_35_29.471:shardId-00000001796128529471-5bfc8784','2026-12-01T12_35_29.471:shardId-00000001796128529471-5bfc8784',NULL,3,'999999999999999995200',0,'[]',NULL,'tk:vm:6150:b6278f2f|2|release',NULL,1796128529.0,1796128529.471,NULL);
CREATE TABLE session (
        workerId TEXT PRIMARY KEY NOT NULL,
        hb INTEGER NOT NULL,                  -- beat
        st TEXT NOT NULL,                     -- LIVE, DRAINING or DEAD
        named_hb INTEGER NOT NULL,            -- the beat that the last own write was conditioned on
        host TEXT NOT NULL,
        boot_id TEXT NOT NULL,
        pid_namespace TEXT NOT NULL,
        pid INTEGER NOT NULL,
        process_started INTEGER,              -- clock ticks since boot
        dead_at REAL                          -- wall clock; for deleting old rows only
    ) WITHOUT ROWID
    ;
COMMIT;
