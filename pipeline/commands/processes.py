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
    """Create the line's topics in Kafka with their settings.

    One that is there already stays as it is: if it keeps its records for less time than the settings ask for (a
    raised WORKER_DEDUPE_HORIZON_S, say), this says what to run, on standard error.
    """
    from pipeline.config import KafkaSettings, LineSettings, WorkerSettings, read_settings
    from pipeline.topics import ensure_topics

    settings = read_settings(WorkerSettings)
    short = ensure_topics(read_settings(KafkaSettings), read_settings(LineSettings), settings.dedupe_horizon_s)
    for line in short:
        click.echo(line, err=True)
    click.echo("topics are there")
