-- Hour rows of topic `windows` in ClickHouse, for years. Run it once: clickhouse-client --multiquery < clickhouse.sql
--
-- Set kafka_broker_list, and put TOPIC_PREFIX or STATE_PREFIX before `windows`, in windows_queue below.
-- Without the Kafka engine: python -m pipeline history export FOLDER --to clickhouse-ndjson, then
--   INSERT INTO history FROM INFILE 'FOLDER/rows-*.ndjson.gz' FORMAT JSONEachRow
--
-- A row is written again at every checkpoint that changes it. ReplacingMergeTree keeps the newest version of a key,
-- whatever order and however often rows arrive, so the Kafka engine's at-least-once delivery counts nothing twice.
-- Partitions stay apart in `history`; the views add them up. Query the views, never `history` without FINAL.

CREATE TABLE IF NOT EXISTS history
(
    window LowCardinality(String),
    start UInt32,
    set LowCardinality(String),
    partnerId String,
    entryId String,
    partition UInt16,
    plays UInt64,
    views UInt64,
    bufferTime UInt64,
    impressions UInt64,
    playRequests UInt64,
    resumes UInt64,
    pauses UInt64,
    replays UInt64,
    seeks UInt64,
    quartile25 UInt64,
    quartile50 UInt64,
    quartile75 UInt64,
    quartile100 UInt64,
    shares UInt64,
    errors UInt64,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(toDateTime(start, 'UTC'))
ORDER BY (partnerId, window, set, entryId, start, partition);

-- kafka: begin
CREATE TABLE IF NOT EXISTS windows_queue (value String)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = '127.0.0.1:9092',
    kafka_topic_list = 'windows',
    kafka_group_name = 'history',
    -- The whole value as it is; the key comes as _key. Only committed records are read (librdkafka's default).
    kafka_format = 'RawBLOB',
    kafka_num_consumers = 1;
-- kafka: end

-- An empty value is the end of a row's retention: history keeps the row. After `erase --partner P`, which looks the
-- same from here, run: DELETE FROM history WHERE partnerId = 'P'
CREATE MATERIALIZED VIEW IF NOT EXISTS history_feed TO history AS
SELECT
    JSONExtractString(_key, 'window') AS window,
    JSONExtractUInt(_key, 'start') AS start,
    JSONExtractString(_key, 'set') AS set,
    JSONExtractString(_key, 'partnerId') AS partnerId,
    JSONExtractString(_key, 'entryId') AS entryId,
    JSONExtractUInt(_key, 'partition') AS partition,
    JSONExtractUInt(value, 'plays') AS plays,
    JSONExtractUInt(value, 'views') AS views,
    JSONExtractUInt(value, 'bufferTime') AS bufferTime,
    JSONExtractUInt(value, 'impressions') AS impressions,
    JSONExtractUInt(value, 'playRequests') AS playRequests,
    JSONExtractUInt(value, 'resumes') AS resumes,
    JSONExtractUInt(value, 'pauses') AS pauses,
    JSONExtractUInt(value, 'replays') AS replays,
    JSONExtractUInt(value, 'seeks') AS seeks,
    JSONExtractUInt(value, 'quartile25') AS quartile25,
    JSONExtractUInt(value, 'quartile50') AS quartile50,
    JSONExtractUInt(value, 'quartile75') AS quartile75,
    JSONExtractUInt(value, 'quartile100') AS quartile100,
    JSONExtractUInt(value, 'shares') AS shares,
    JSONExtractUInt(value, 'errors') AS errors,
    toUnixTimestamp64Milli(assumeNotNull(_timestamp_ms)) AS version,
    0 AS deleted
FROM windows_queue
WHERE value != '' AND JSONExtractString(_key, 'window') IN ('1h');

CREATE VIEW IF NOT EXISTS hours AS
SELECT
    toDateTime(start, 'UTC') AS hour,
    set,
    partnerId,
    entryId,
    sum(plays) AS plays,
    sum(views) AS views,
    sum(bufferTime) AS bufferTime,
    sum(impressions) AS impressions,
    sum(playRequests) AS playRequests,
    sum(resumes) AS resumes,
    sum(pauses) AS pauses,
    sum(replays) AS replays,
    sum(seeks) AS seeks,
    sum(quartile25) AS quartile25,
    sum(quartile50) AS quartile50,
    sum(quartile75) AS quartile75,
    sum(quartile100) AS quartile100,
    sum(shares) AS shares,
    sum(errors) AS errors
FROM history FINAL
WHERE window = '1h'
GROUP BY start, set, partnerId, entryId;

CREATE VIEW IF NOT EXISTS days AS
SELECT
    toDate(hour, 'UTC') AS day,
    set,
    partnerId,
    entryId,
    sum(plays) AS plays,
    sum(views) AS views,
    sum(bufferTime) AS bufferTime,
    sum(impressions) AS impressions,
    sum(playRequests) AS playRequests,
    sum(resumes) AS resumes,
    sum(pauses) AS pauses,
    sum(replays) AS replays,
    sum(seeks) AS seeks,
    sum(quartile25) AS quartile25,
    sum(quartile50) AS quartile50,
    sum(quartile75) AS quartile75,
    sum(quartile100) AS quartile100,
    sum(shares) AS shares,
    sum(errors) AS errors
FROM hours
GROUP BY day, set, partnerId, entryId;
