"""Commands that create, list and revoke the report's keys."""

from __future__ import annotations

import fcntl
import hashlib
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.report.auth import BrokenKeys, Key, KeyRing, live
from pipeline.report.keyfile import load_or_empty, save

_SECONDS = {"h": 3600, "d": 86_400, "y": 365 * 86_400}


@click.group()
@click.option(
    "--file",
    "path",
    envvar="REPORT_KEYS",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The key file; by default REPORT_KEYS.",
)
@click.pass_context
def keys(context: click.Context, path: Path) -> None:
    """Keys of the report: who may see which partner."""
    context.obj = path


@contextmanager
def _changing(path: Path) -> Iterator[KeyRing]:
    """Give the keys to change; two commands at a time wait for each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            ring = load_or_empty(path)
        except BrokenKeys as error:
            raise click.ClickException(f"{path} is not changed: {error}") from error
        yield ring
        save(path, ring)


def _lifetime(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})([hdy])", text)
    if not found:
        raise click.BadParameter("use 12h, 90d or 1y")
    return int(found[1]) * _SECONDS[found[2]]


@keys.command()
@click.option("--partner", help="The partnerId that the key shows.")
@click.option("--operator", is_flag=True, help="The key shows every partner.")
@click.option("--expires", callback=_lifetime, help="12h, 90d, 1y; without it the key works until revoked.")
@click.option("--note", default="", help="For people: who has it.")
@click.pass_obj
def create(path: Path, partner: str | None, operator: bool, expires: int | None, note: str) -> None:
    """Make a key and print it: the only time that its secret is seen."""
    if operator is not (partner is None) or partner == "":
        raise click.UsageError("give either --partner or --operator")
    now = int(time.time())
    name, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).digest()
    with _changing(path) as ring:
        ring[name] = Key(name, partner, digest, None if expires is None else now + expires, now, note)
    click.echo(f"{name}.{secret}")


def _day(seconds: int | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


@keys.command("list")
@click.pass_obj
def list_keys(path: Path) -> None:
    """Show every key, without its secret."""
    try:
        ring = load_or_empty(path)
    except BrokenKeys as error:
        raise click.ClickException(f"{path}: {error}") from error
    now = int(time.time())
    click.echo(f"{'id':14}{'partner':14}{'created':18}{'expires':18}note")
    for key in ring.values():
        expires = _day(key.expires) + ("" if live(key, now) else " (over)")
        click.echo(f"{key.id:14}{key.partner or '(operator)':14}{_day(key.created):18}{expires:18}{key.note}")


@keys.command()
@click.argument("name")
@click.pass_obj
def revoke(path: Path, name: str) -> None:
    """Take a key away; the report notices within two seconds."""
    with _changing(path) as ring:
        if ring.pop(name, None) is None:
            raise click.ClickException(f"there is no key {name}")
    click.echo(f"revoked {name}")
