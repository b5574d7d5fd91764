"""Packets on loopback dropped, lost or answered with a reset, by port, in this run's own network."""

from __future__ import annotations

import subprocess

_TABLE = "inet chaos"


class Packets:
    """The rules in force."""

    def __init__(self) -> None:
        chain = f"add chain {_TABLE} in {{ type filter hook input priority 0; }}"
        _nft(f"add table {_TABLE}\n{chain}\n")

    def drop(self, port: int) -> None:
        """Let nothing through, in either direction."""
        _rule(f"tcp dport {port} drop")
        _rule(f"tcp sport {port} drop")

    def drop_answers(self, port: int) -> None:
        """Let requests through and no answer back."""
        _rule(f"tcp sport {port} drop")

    def reset(self, port: int) -> None:
        """Answer every packet with a reset."""
        _rule(f"tcp dport {port} reject with tcp reset")

    def lose(self, port: int, percent: int) -> None:
        """Lose this share of the packets of both directions."""
        for way in ("dport", "sport"):
            _rule(f"tcp {way} {port} numgen random mod 100 < {percent} drop")

    def heal(self, port: int) -> None:
        """Take every rule about this port away."""
        listed = subprocess.run(
            ("nft", "--handle", "list", "chain", *_TABLE.split(), "in"), check=True, capture_output=True, text=True
        )
        for line in listed.stdout.splitlines():
            if f"port {port} " in line and "# handle" in line:
                _nft(f"delete rule {_TABLE} in handle {line.rsplit(' ', 1)[1]}\n")


def _rule(rule: str) -> None:
    _nft(f"add rule {_TABLE} in {rule}\n")


def _nft(script: str) -> None:
    subprocess.run(("nft", "-f", "-"), input=script, check=True, text=True)
