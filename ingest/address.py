"""The client's address: taken from a trusted proxy's header if there is one, and cut to its network."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
# Of X-Forwarded-For, to be remembered: of thousands that are as long as a header may be, a hundred MiB would be kept.
_REMEMBERED_BYTES = 200


def networks(listed: str) -> tuple[Network, ...]:
    """Return the networks of a comma separated list of CIDRs; a bad one raises ValueError."""
    return tuple(ip_network(one.strip(), strict=False) for one in listed.split(",") if one.strip())


class Addresses:
    """Knows whom to believe, and how much of an address may be kept."""

    def __init__(self, trusted: tuple[Network, ...], full: bool) -> None:
        self._trusted = trusted
        # Without a trusted proxy nobody's header counts, and it need not be looked for.
        self.use_forwarded = bool(trusted)
        self._full = full
        self._read = lru_cache(maxsize=4096)(self._read_uncached)

    def of(self, peer: str, forwarded: bytes) -> str:
        """Return what is kept of the client's address; "" if there is none to be read.

        `forwarded` is X-Forwarded-For as it came. It counts only if the peer is a trusted proxy, and then
        from its right end: the first address that is no trusted proxy is the client; left of it anyone can
        write anything.
        """
        if len(forwarded) > _REMEMBERED_BYTES:
            return self._read_uncached(peer, forwarded)
        return self._read(peer, forwarded)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)

    def _read_uncached(self, peer: str, forwarded: bytes) -> str:
        address = _parse(peer)
        if address is None:
            return ""
        if forwarded and self._is_trusted(address):
            for hop in reversed(forwarded.decode("latin-1").split(",")):
                before = _parse(hop.strip())
                if before is None:
                    break
                address = before
                if not self._is_trusted(address):
                    break
        return str(address) if self._full else _cut(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _cut(address: IPv4Address | IPv6Address) -> str:
    keep = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network((address, keep), strict=False).network_address)
