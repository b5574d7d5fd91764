"""How the three generations of players send an event: GET, JSON POST behind a preflight, form POST."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote

PATH = "/api_v3/index.php"
# What today's player leaves in the query of a POST.
ADDRESS = ("eventType", "partnerId", "entryId", "sessionId")


class Client(Enum):
    """The generations; the value is what each says of itself."""

    KAVA_GET = "html5:v0.15.1"
    KAVA_POST = "html5:v3.17.95"
    KANALONY_FORM = "kwidget:v2.98"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; sent again, it is the same bytes.

    Attributes:
        method: GET or POST.
        target: path and query.
        type: content type of the body, "" without one.
        body: the body.
    """

    method: str
    target: str
    type: str = ""
    body: bytes = b""

    @property
    def preflight(self) -> bool:
        """Tell whether a browser asks first: for JSON across origins it does."""
        return self.type == "application/json"


def request_of(client: Client, parameters: Mapping[str, object]) -> Request:
    """Return the request of an event as this generation sends it."""
    service = {"service": "analytics", "action": "trackEvent"}
    said = {"apiVersion": "3.3.0", "format": 1, "clientTag": client.value}
    if client is Client.KAVA_GET:
        return Request("GET", f"{PATH}?{_query(service | said | dict(parameters))}")
    if client is Client.KAVA_POST:
        address = {name: parameters[name] for name in ADDRESS}
        rest = said | {name: value for name, value in parameters.items() if name not in ADDRESS}
        return Request("POST", f"{PATH}?{_query(service | address)}", "application/json", json.dumps(rest).encode())
    form = _query({"action": "trackEvent"} | said | dict(parameters)).encode()
    return Request("POST", f"{PATH}?service=analytics", "application/x-www-form-urlencoded", form)


def _query(parameters: Mapping[str, object]) -> str:
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())
