"""Who a request comes from, and whether it may come this often."""

from __future__ import annotations

import ipaddress
import math
import secrets
import time
from dataclasses import dataclass, field
from functools import lru_cache

from aiohttp import web

from pipeline.report import session
from pipeline.report.auth import UNKNOWN_KEY, Caller, KeyRing, bearer, live, verify
from pipeline.report.keyfile import KeyFile
from pipeline.report.limits import Buckets, Verdict
from pipeline.report.problem import Problem, Refused
from pipeline.report.session import Session

OPEN = Caller("", None)
FORGED = Problem(403, "forged", "The request does not come from this page.", "Reload the page and try again.")
ELSEWHERE = Problem(421, "elsewhere", "This report answers to another name.", "Without keys: to loopback only.")


def too_often(verdict: Verdict, title: str) -> Refused:
    """Refuse a request that comes too often."""
    wait = math.ceil(verdict.wait_seconds)
    return Refused(Problem(429, "too-often", title, f"Wait {wait} s.", headers={"Retry-After": str(wait)}))


@lru_cache(maxsize=256)
def loopback(host: str) -> bool:
    """Tell whether a host name is this machine's own."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class Access:
    """Keys, sessions and limits of one report.

    Attributes:
        keys: the key file; None: open to everybody on this machine.
        secret: signs sessions.
        rates: how often one key may ask.
        failures: how often one address may be wrong.
        session_seconds: how long a session lives.
        public_origin: what browsers see; "": what the request says.
    """

    keys: KeyFile | None
    secret: bytes
    rates: Buckets
    failures: Buckets
    session_seconds: int
    public_origin: str
    ended: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    @property
    def ring(self) -> KeyRing:
        """Return the keys in force."""
        return {} if self.keys is None else self.keys.ring

    def caller(self, request: web.BaseRequest) -> Caller:
        """Return who asks.

        Raises:
            Refused: nobody known, too many wrong keys from this address, or another host's name.
        """
        if self.keys is None:
            # A page of another site may have its name point here: without a key nothing else would stop it.
            if not loopback(request.host):
                raise Refused(ELSEWHERE)
            return OPEN
        header = request.headers.get("Authorization")
        if header is not None:
            return self.by_key(request, bearer(header) or "")
        found = self.session(request)
        if found is not None:
            known = session.caller(found, self.ring, int(time.time()))
            if known is not None:
                return known
        raise Refused(UNKNOWN_KEY)

    def by_key(self, request: web.BaseRequest, presented: str) -> Caller:
        """Return whose key this is; count a wrong one against the address."""
        address = request.remote or ""
        name = f"{address} {presented.partition('.')[0][:64]}"
        now = time.monotonic()
        # By address and id: behind one proxy, wrong keys of one do not lock out the others.
        verdict = self.failures.look(name, now)
        if not verdict.allowed:
            raise too_often(verdict, "Too many wrong keys.")
        known = verify(self.ring, presented, int(time.time()))
        if known is not None:
            return known
        self.refused += 1
        self.failures.take(name, now)
        verdict = self.failures.take(address, now)
        raise Refused(UNKNOWN_KEY) if verdict.allowed else too_often(verdict, "Too many wrong keys.")

    def session(self, request: web.BaseRequest) -> Session | None:
        """Return the session of a request's cookie."""
        cookie = request.cookies.get(session.COOKIE)
        if not cookie:
            return None
        found = session.read(cookie, self.secret, int(time.time()))
        return None if found is None or found.nonce in self.ended else found

    def begin(self, caller: Caller) -> Session:
        """Return a new session."""
        return Session(caller.key, int(time.time()) + self.session_seconds, secrets.token_urlsafe(12))

    def end(self, over: Session) -> None:
        """End a session before its time; in this process, as its cookie is deleted too."""
        now = int(time.time())
        self.ended = {nonce: until for nonce, until in self.ended.items() if until > now}
        self.ended[over.nonce] = over.expires

    def own_origin(self, request: web.BaseRequest) -> str:
        """Return the origin that our page has."""
        return self.public_origin or f"{request.scheme}://{request.host}"

    def from_our_page(self, request: web.BaseRequest) -> None:
        """Refuse a request to change something that another site's page sends."""
        headers = request.headers
        if not session.same_site(headers.get("Sec-Fetch-Site"), headers.get("Origin"), self.own_origin(request)):
            raise Refused(FORGED)

    def take(self, caller: Caller) -> dict[str, str]:
        """Take one request from the key's bucket; return the headers that say what is left."""
        if not caller.key:
            return {}
        verdict = self.rates.take(caller.key, time.monotonic())
        if not verdict.allowed:
            raise too_often(verdict, "Too many requests with this key.")
        rates = self.rates
        window = math.ceil(rates.burst / rates.per_second)
        left = math.ceil((rates.burst - verdict.remaining) / rates.per_second)
        return {
            "RateLimit-Policy": f'"key";q={rates.burst};w={window}',
            "RateLimit": f'"key";r={verdict.remaining};t={left}',
        }

    def signed_in(self, request: web.BaseRequest) -> Session | None:
        """Return the session that speaks for a request's caller; None: its own key does, or nothing must."""
        return None if self.keys is None or "Authorization" in request.headers else self.session(request)

    def still(self, caller: Caller, begun: Session | None) -> bool:
        """Tell whether a caller known before may go on, and the session it came with, if any."""
        now = int(time.time())
        if begun is not None and (begun.nonce in self.ended or begun.expires <= now):
            return False
        return self.keys is None or live(self.ring.get(caller.key), now)
