"""`python -m deploy.kafka.users FOLDER`: a SCRAM user and a password file for every role."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from deploy.kafka.roles import Role
from pipeline.config import KafkaSettings, read_settings
from pipeline.topics import kafka_python_settings


def password_of(file: Path) -> str:
    """Return the password of a file, drawn and kept there if there is none yet."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        # 0600 before the first byte: nobody else may read it at any moment.
        file.touch(0o600)
        file.write_text(secrets.token_urlsafe(32) + "\n")
    return file.read_text().splitlines()[0]


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Make the users ingest, worker, report, topics and scaler, as the user of KAFKA_*.

    FOLDER/ROLE.password is what the role's KAFKA_SASL_PASSWORD_FILE names; a password that is there is kept, so
    that a second run changes nothing but Kafka's salt. Passwords are in files only, never in arguments.
    """
    made = [
        UserScramCredentialUpsertion(
            str(role), ScramMechanism.SCRAM_SHA_512, password_of(folder / f"{role}.password"), iterations=8192
        )
        for role in Role
    ]
    admin = KafkaAdminClient(client_id="users", **kafka_python_settings(read_settings(KafkaSettings)))
    try:
        answers = admin.alter_user_scram_credentials(made)
    finally:
        admin.close()
    refused = {user: error for user, error in answers.items() if error}
    if refused:
        raise click.ClickException(f"Kafka refused: {refused}")
    click.echo(f"{len(made)} users: their passwords are in {folder}")


if __name__ == "__main__":
    main()
