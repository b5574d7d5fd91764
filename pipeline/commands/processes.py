"""`worker`, `report` and `topics`: what runs until SIGTERM, and what it needs in Kafka."""

from __future__ import annotations

import click


@click.command()
def worker() -> None:
    """Count beacons until SIGTERM."""
    from pipeline.worker import main

    main()


@click.command()
@click.option("--feed", is_flag=True, hidden=True, help="Be the part that takes rows in; a report starts it.")
def report(feed: bool) -> None:
    """Serve the counts over HTTP until SIGTERM."""
    from pipeline.report.server import feed_main, main

    if feed:
        feed_main()
    else:
        main()


@click.command()
def topics() -> None:
    """Create the line's topics in Kafka with their settings."""
    from pipeline.config import KafkaSettings, LineSettings, WorkerSettings, read_settings
    from pipeline.topics import ensure_topics

    settings = read_settings(WorkerSettings)
    ensure_topics(read_settings(KafkaSettings), read_settings(LineSettings), settings.dedupe_horizon_s)
    click.echo("topics are there")
