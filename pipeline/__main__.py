"""`python -m pipeline`: the processes and commands of the line."""

from __future__ import annotations

import os

import click

from pipeline.chosen import keep_chosen_sets
from pipeline.commands.lazy import LazyGroup
from pipeline.config import RefusedSetting

SECTIONS = {
    "Processes (until SIGTERM)": {
        "worker": "pipeline.commands.processes:worker",
        "report": "pipeline.commands.processes:report",
        "probe": "pipeline.commands.probe:probe",
    },
    "Look": {
        "status": "pipeline.commands.status:status",
        "verify": "pipeline.commands.verify:verify",
    },
    "Repair": {
        "rejected": "pipeline.commands.rejected:rejected",
        "rebuild": "pipeline.commands.rebuild:rebuild",
        "repartition": "pipeline.commands.repartition:repartition",
    },
    "Move in and out": {
        "export": "pipeline.commands.personal:export",
        "erase": "pipeline.commands.personal:erase",
        "import": "pipeline.commands.importing:import_",
        "history": "pipeline.commands.history:history",
        "backup": "pipeline.commands.backups:backup",
        "restore": "pipeline.commands.backups:restore",
    },
    "Set up": {
        "topics": "pipeline.commands.processes:topics",
        "keys": "pipeline.report.keys_cli:keys",
    },
}


@click.command(cls=LazyGroup, sections=SECTIONS)
def cli() -> None:
    """Playback analytics: count beacons from Kafka, serve the counts, look after both.

    Every command finds its line by the same settings as the processes, from the environment: KAFKA_BOOTSTRAP and
    what else of KAFKA_ there is, TOPIC_PREFIX, STATE_PREFIX, PARTITIONS, REPLICATION, DATA_DIR; those that count or
    make topics take the workers' WORKER_ settings too. `python -m pipeline COMMAND --help` says what a command
    does, what it costs, and what it cannot do.

    Exit codes: 0 all is well; 1 the command found something wrong, or could not do all of it; 2 a setting, an
    option or Kafka kept it from starting.
    """


if __name__ == "__main__":
    try:
        keep_chosen_sets(os.environ)
        cli(standalone_mode=True)
    except RefusedSetting as refused:
        click.echo(refused.line, err=True)
        raise SystemExit(2) from refused
