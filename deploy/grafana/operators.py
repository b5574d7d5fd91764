"""The operators' dashboard, over Prometheus: the promises first, then the way of a beacon from door to report."""

from __future__ import annotations

from deploy.grafana.panels import Json, dashboard, panel, row

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}


def _ask(expression: str, legend: str = "") -> Json:
    return {"datasource": PROMETHEUS, "expr": expression, "legendFormat": legend or "__auto", "range": True}


def _quantiles(metric: str) -> list[Json]:
    rate = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    return [_ask(f"histogram_quantile({part}, {rate})", f"{part:.0%}") for part in (0.5, 0.99)]


PROMISES = [
    row("Promises"),
    panel(
        "stat",
        "Behind now",
        "Now less countedThrough of the best report: everything answered 200 before is counted. Promised: under 10 s.",
        [_ask("min(report_counted_through_age_seconds)")],
        unit="s",
        width=6,
    ),
    panel(
        "stat",
        "Fresh",
        "Part of the time in which a report was less than 10 s behind. Promised: 99.9 %.",
        [_ask("avg_over_time(line:fresh:bool[$__range])")],
        unit="percentunit",
        width=6,
    ),
    panel(
        "stat",
        "Answered 200 within a second",
        "Of the requests that are beacons. Promised: 99.95 %.",
        [
            _ask(
                "1 - sum_over_time(line:availability_bad:rate5m[$__range])"
                " / sum_over_time(line:availability_total:rate5m[$__range])"
            )
        ],
        unit="percentunit",
        width=6,
    ),
    panel(
        "stat",
        "Partitions being counted",
        "Each has one owner at a time.",
        [_ask("count(count by (partition) (worker_position))")],
        width=6,
    ),
    panel(
        "timeseries",
        "Known sets",
        "Sets of the probe in an hour, by outcome. Promised: all equal.",
        [_ask("sum by (outcome) (increase(probe_rounds_total[1h]))", "{{outcome}}")],
    ),
    panel(
        "timeseries",
        "Time to see a known set",
        "From 200 to the report.",
        _quantiles("probe_visible_seconds"),
        unit="s",
    ),
]
INGEST = [
    row("Ingest"),
    panel(
        "timeseries",
        "Requests",
        "A second, by what became of them.",
        [
            _ask("sum(rate(ingest_produced_total[$__rate_interval]))", "200: in Kafka"),
            _ask("sum(rate(ingest_spooled_total[$__rate_interval]))", "200: in a spool"),
            _ask("sum by (reason) (rate(ingest_refused_total[$__rate_interval]))", "refused: {{reason}}"),
            _ask("sum(rate(ingest_cut_total[$__rate_interval]))", "cut"),
        ],
        unit="reqps",
    ),
    panel(
        "timeseries",
        "Time to answer",
        "From closing a pack to answering its requests.",
        _quantiles("ingest_answer_seconds"),
        unit="s",
    ),
    panel("timeseries", "Time in Kafka", "Until every replica has it.", _quantiles("ingest_produce_seconds"), unit="s"),
    panel(
        "timeseries",
        "Spool",
        "Bytes that wait for Kafka on an ingest's disk.",
        [_ask("ingest_spool_bytes", "{{instance}}")],
        unit="bytes",
    ),
    panel(
        "timeseries",
        "Oldest in the spool",
        "countedThrough cannot pass it.",
        [_ask("ingest_spool_seconds", "{{instance}}")],
        unit="s",
    ),
    panel("timeseries", "Connections", "Open now.", [_ask("ingest_connections", "{{instance}}")]),
]
WORKERS = [
    row("Workers"),
    panel(
        "timeseries",
        "Beacons",
        "A second, by what became of them.",
        [
            _ask(
                "sum by (outcome) (rate(partition_outcome:worker_beacons:max"
                '{outcome=~"unique|duplicates|unknownTypes|rejected"}[$__rate_interval]))',
                "{{outcome}}",
            )
        ],
        unit="ops",
    ),
    panel(
        "timeseries",
        "Oddities",
        "A second: why beacons were rejected, values that are none, rows past their retention, offsets that were lost.",
        [
            _ask(
                "sum by (outcome) (rate(partition_outcome:worker_beacons:max"
                '{outcome=~"rejected[.].+|badValues[.].+|expired|lostOffsets"}[$__rate_interval]))',
                "{{outcome}}",
            )
        ],
        unit="ops",
    ),
    panel(
        "timeseries",
        "Records behind",
        "Not counted yet, by partition: one alone that grows is its owner's, all of them are capacity.",
        [_ask("min by (partition) (report_partition_records_behind)", "{{partition}}")],
    ),
    panel(
        "timeseries",
        "Checkpoint",
        "Transaction and local store; one a second.",
        _quantiles("worker_checkpoint_seconds"),
        unit="s",
    ),
    panel(
        "timeseries",
        "Written by checkpoints",
        "A second.",
        [
            _ask("sum(rate(worker_checkpoint_rows_total[$__rate_interval]))", "rows"),
            _ask("sum(rate(worker_checkpoint_marks_total[$__rate_interval]))", "seen marks"),
        ],
        unit="ops",
    ),
    panel(
        "timeseries",
        "Partitions opened and given up",
        "Every one given up is opened again, here or elsewhere.",
        [
            _ask("sum(increase(worker_open_seconds_count[$__rate_interval]))", "opened"),
            _ask("sum by (cause) (increase(worker_given_up_total[$__rate_interval]))", "given up: {{cause}}"),
        ],
    ),
    panel(
        "timeseries", "Partitions by worker", "Who counts how many.", [_ask("count by (instance) (worker_position)")]
    ),
]
REPORT = [
    row("Report"),
    panel(
        "timeseries",
        "Answers",
        "A second, by route and status.",
        [_ask("sum by (route, status) (rate(report_answers_total[$__rate_interval]))", "{{route}} {{status}}")],
        unit="reqps",
    ),
    panel(
        "timeseries",
        "Behind",
        "Now less countedThrough, by report.",
        [_ask("report_counted_through_age_seconds", "{{instance}}")],
        unit="s",
    ),
    panel(
        "timeseries",
        "From memory",
        "Part of the answers that did not need SQLite.",
        [
            _ask(
                "sum(rate(report_cache_hits_total[$__rate_interval])) / "
                "(sum(rate(report_cache_hits_total[$__rate_interval]))"
                " + sum(rate(report_cache_misses_total[$__rate_interval])))",
                "from memory",
            )
        ],
        unit="percentunit",
    ),
    panel("timeseries", "Live streams", "Open now.", [_ask("report_streams", "{{instance}}")]),
]


def operators() -> Json:
    """Return the dashboard."""
    return dashboard(
        "playback-operators",
        "Playback: operators",
        "Whether the line keeps its promises, and where it does not.",
        [*PROMISES, *INGEST, *WORKERS, *REPORT],
        time={"from": "now-1h", "to": "now"},
        refresh="10s",
    )
