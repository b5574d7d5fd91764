"""`python -m deploy.kafka.certificates FOLDER NAME...`: an authority and certificates, for trying TLS out.

A real cluster has its own authority; this one's key lies beside the certificates.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
HOSTS = ("localhost", "127.0.0.1")


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(("openssl", *map(str, arguments)), capture_output=True, text=True, check=False, umask=0o077)
    if done.returncode != 0:
        raise click.ClickException(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def make_authority(folder: Path, days: int = 30) -> None:
    """Write FOLDER/ca.pem and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    subject = ("-subj", "/CN=playback-ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl(
        "req", "-x509", *KEY, *subject, "-days", str(days), "-keyout", folder / "ca.key", "-out", folder / "ca.pem"
    )


def make_certificate(folder: Path, name: str, hosts: tuple[str, ...] = HOSTS, days: int = 30) -> None:
    """Write FOLDER/NAME.pem and NAME.key, and NAME.keystore.pem with both, as a broker reads it."""
    key, request, certificate = (folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
    names = ",".join(f"IP:{host}" if host[0].isdigit() else f"DNS:{host}" for host in hosts)
    alternative = ("-addext", f"subjectAltName={names}")
    _openssl("req", *KEY, "-subj", f"/CN={name}", *alternative, "-keyout", key, "-out", request)
    signed_by = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial")
    _openssl(
        "x509", "-req", "-in", request, *signed_by, "-days", str(days), "-copy_extensions", "copy", "-out", certificate
    )
    request.unlink()
    keystore = folder / f"{name}.keystore.pem"
    keystore.touch(0o600)
    keystore.write_text(key.read_text() + certificate.read_text())


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("names", nargs=-1, required=True)
@click.option("--host", "hosts", multiple=True, default=HOSTS, help="Name or address in every certificate.")
@click.option("--days", default=30, show_default=True)
def main(folder: Path, names: tuple[str, ...], hosts: tuple[str, ...], days: int) -> None:
    """Make an authority in FOLDER, unless there is one, and a certificate and key for every NAME."""
    if not (folder / "ca.pem").exists():
        make_authority(folder, days)
    for name in names:
        make_certificate(folder, name, hosts, days)
    click.echo(f"{', '.join(names)}: signed by {folder / 'ca.pem'}")


if __name__ == "__main__":
    main()
