"""`python -m pipeline`: the processes and commands of the line."""

from __future__ import annotations

import click

from pipeline.config import RefusedSetting


@click.group()
def cli() -> None:
    """Playback analytics: count beacons from Kafka, serve the counts."""


@cli.command()
def worker() -> None:
    """Count beacons until SIGTERM."""
    from pipeline.worker import main

    main()


@cli.command()
def report() -> None:
    """Serve the counts over HTTP until SIGTERM."""
    from pipeline.report.server import main

    main()


@cli.command()
def topics() -> None:
    """Create the line's topics in Kafka with their settings."""
    from pipeline.config import KafkaSettings, LineSettings, WorkerSettings, read_settings
    from pipeline.topics import ensure_topics

    settings = read_settings(WorkerSettings)
    ensure_topics(read_settings(KafkaSettings), read_settings(LineSettings), settings.dedupe_horizon_s)
    click.echo("topics are there")


if __name__ == "__main__":
    try:
        cli(standalone_mode=True)
    except RefusedSetting as refused:
        click.echo(refused.line, err=True)
        raise SystemExit(2) from refused
