"""The original's dimension sets: all of them declared at once give the rows that a plain computation gives."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline.catalog import DIMENSIONS, METRICS, SETS, WINDOWS
from pipeline.chosen import KNOWN, sets_named
from pipeline.config import RefusedSetting
from pipeline.dimensions import Dated
from pipeline.more_sets import MORE_SETS
from pipeline.original_sets import ORIGINAL_SETS
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.pipeline.life import living
from tests.pipeline.lines import NOON

# What the original ran, in its words, by the windows that it kept them in (features.md section 3); E: per entry too.
FINE = ("country", "country city", "domain", "application")
USUAL = ("browser", "os", "os browser", "device", "device os", "context", "application context", "var1", "var2", "var3",
         "var1 var2", "var1 var2 var3")  # fmt: skip
NOT_PER_ENTRY = ("country os", "country browser", "country os browser")
OURS = {"os": "operatingSystem", "context": "playbackContext", "var1": "customVar1", "var2": "customVar2"}
OURS |= {"var3": "customVar3"}
SIZES = {"10s": 10, "1m": 60, "1h": 3600}
CARRIED = {"application", "playbackContext", "customVar1", "customVar2", "customVar3"}
Wanted = dict[tuple[str, int, frozenset[tuple[str, str]]], Counter[str]]


def declared() -> dict[frozenset[str], set[str]]:
    """Return the dimensions of every set of the original that a beacon can fill, with their windows."""
    found = {frozenset({"partnerId"}): {*SIZES}, frozenset({"partnerId", "entryId"}): {*SIZES}}
    for sets, windows in ((FINE, {"10s", "1m", "1h"}), (USUAL, {"1m", "1h"}), (("domain page",), {"1h"})):
        for words in sets:
            names = {OURS.get(word, word) for word in words.split()}
            found[frozenset({"partnerId", *names})] = windows
            found[frozenset({"partnerId", "entryId", *names})] = windows
    for words in NOT_PER_ENTRY:
        found[frozenset({"partnerId", *(OURS.get(word, word) for word in words.split())})] = {"1m", "1h"}
    return found


def test_every_dimension_of_the_catalog_can_be_kept_by_a_setting() -> None:
    assert {name for one in KNOWN.values() for name in one.dimensions} == {one.name for one in DIMENSIONS}
    assert sets_named("default,bot,user") == (*SETS, KNOWN["bot"], KNOWN["user"])
    # A name stands for one set.
    assert len(KNOWN) == len({*SETS, *ORIGINAL_SETS, *MORE_SETS})


def test_all_that_the_original_ran_but_categories_is_declared_in_its_windows() -> None:
    assert {frozenset(one.dimensions): set(one.windows) or {*SIZES} for one in ORIGINAL_SETS} == declared()
    # Peaks are the partner's own; the two sets of category cannot be filled.
    partner = next(one for one in ORIGINAL_SETS if one.name == "partner")
    assert partner.peaks
    assert len(ORIGINAL_SETS) + len(("peak per partner", "category", "entry and category")) == 42


def test_each_has_a_cap_and_a_name_of_its_own() -> None:
    assert all(0 < one.most <= 50_000 for one in ORIGINAL_SETS)
    names = [one.name for one in (*SETS, *ORIGINAL_SETS[2:])]
    assert len(names) == len(set(names))


class Table:
    """An Enrichment that reads agents, pages and addresses of this test: their values stand in them."""

    version = 1

    def refresh(self) -> None:
        """Nothing changes."""

    def agent(self, agent: str) -> dict[str, str]:
        device, system, browser = agent.split("/")
        return {"device": device, "operatingSystem": system, "browser": browser, "bot": "no"}

    def referrer(self, referrer: str) -> dict[str, str]:
        return {"domain": referrer.partition("/")[0], "page": referrer}

    def address(self, address: str) -> dict[str, str]:
        country, city = address.split("-")
        return {"country": country, "city": city, "region": "", "network": ""}

    def user(self, partner: str, user_id: str, ks: str) -> Dated:
        return Dated("", 0, "")


def sent(seed: int, count: int) -> list[tuple[Beacon, dict[str, str], int, int]]:
    """Return beacons, with the dimensions, event type and milliseconds of buffering of each; some come again."""
    draw = random.Random(seed)
    found: list[tuple[Beacon, dict[str, str], int, int]] = []
    for number in range(count):
        if found and draw.random() < 0.15:
            beacon, *rest = draw.choice(found)
            again = Beacon(f"again-{number}", beacon.time + 5, beacon.address, "GET", beacon.path, beacon.query,
                           beacon.agent)  # fmt: skip
            found.append((again, *rest))  # type: ignore[arg-type]
            continue
        agent = {"device": draw.choice(["tv", "mobile"]), "operatingSystem": draw.choice("LWA")}
        agent |= {"browser": draw.choice("FC")}
        page = draw.choice(["a.org/1", "a.org/2", "b.org/1"])
        place = {"country": draw.choice(["DE", "FR"]), "city": draw.choice(["X", "Y"])}
        said = {"customVar1": draw.choice(["", "p", "q"]), "customVar2": draw.choice(["", "r"])}
        said |= {"customVar3": draw.choice(["", "s"]), "application": draw.choice(["", "app", "web"])}
        said |= {"playbackContext": draw.choice(["", "12", "13"])}
        own = {"partnerId": draw.choice("78"), "entryId": draw.choice("xyz")}
        kind, buffer = draw.choice([3, 99, 99, 1]), draw.randrange(3000)
        given = own | said | {"eventType": str(kind), "sessionId": f"s{number}", "eventIndex": "1", "referrer": page}
        query = "&".join(f"{name}={value}" for name, value in given.items()) + f"&bufferTime={buffer / 1000}"
        at = NOON * 1000 + draw.randrange(7_200_000)
        address = f"{place['country']}-{place['city']}"
        raw = f"service=analytics&{query}".encode()
        beacon = Beacon(f"i-{number}", at, address, "GET", b"/x", raw, "/".join(agent.values()).encode())
        dimensions = own | said | agent | place | {"domain": page.partition("/")[0], "page": page}
        found.append((beacon, dimensions, kind, buffer))
    return found


def computed(beacons: list[tuple[Beacon, dict[str, str], int, int]]) -> Wanted:
    """Return every row by a plain loop: no cells, no checkpoints, no catalog."""
    rows: Wanted = {}
    seen = set()
    for beacon, dimensions, kind, buffer in beacons:
        if beacon.query in seen:
            continue
        seen.add(beacon.query)
        adds = {1: {"impressions": 1}, 3: {"plays": 1}, 99: {"views": 1, "bufferTime": buffer}}[kind]
        for names, windows in declared().items():
            if any(not dimensions[name] for name in names & CARRIED):
                continue
            for window in windows:
                start = beacon.time // 1000 // SIZES[window] * SIZES[window]
                key = (window, start, frozenset((name, dimensions[name]) for name in names))
                rows.setdefault(key, Counter()).update(adds)
    return rows


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rows_of_all_sets_at_once_equal_a_plain_computation(seed: int) -> None:
    counted = ("plays", "views", "bufferTime", "impressions")
    metrics = tuple(metric for metric in METRICS if metric.name in counted)
    beacons = sent(seed, 400)
    with living(rules=Rules(Shape.of(WINDOWS, ORIGINAL_SETS), metrics, Table())) as life:
        life.log = [b"\n".join(encode(one[0]) for one in beacons[at : at + 25]) for at in range(0, len(beacons), 25)]
        life.finish()
        found = {}
        for key, counts in life.kafka.rows().items():
            words = json.loads(key)
            window, start, _ = words.pop("window"), words.pop("start"), words.pop("set")
            words.pop("partition")
            row = Counter({name: count for name, count in counts.items() if name in counted and count})
            found[window, start, frozenset(words.items())] = row
    wanted = {key: Counter({n: count for n, count in row.items() if count}) for key, row in computed(beacons).items()}
    assert len(wanted) > 5000
    assert found == wanted


def test_a_setting_names_them_one_by_one_or_all() -> None:
    assert sets_named("") == SETS == sets_named("default")
    assert sets_named("original") == ORIGINAL_SETS
    assert [one.name for one in sets_named("partner, originalVar1,partner")] == ["partner", "originalVar1"]
    assert sets_named("default,original") == (*SETS, *ORIGINAL_SETS[2:])
    with pytest.raises(RefusedSetting):
        sets_named("original,planet")


REPORT = """
import json, os, sqlite3, sys
from pipeline.chosen import keep_chosen_sets
keep_chosen_sets(os.environ)
from pipeline.report import cover, offer, query, readers, schema, sql
memory = sqlite3.connect(":memory:")
readers.teach(memory)
for statement in schema.statements():
    memory.execute(statement)
asked = query.parse(sys.argv[1], None).at(1_795_424_400)
memory.execute((found := sql.statement(asked)).text, found.values)
print(json.dumps([len(schema.TABLES), cover.table_of(asked).name, [one["name"] for one in offer.catalog()["sets"]]]))
"""


def report_of(sets: str, asked: str) -> Any:
    """Return what a report of its own process has tables for."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "WORKER_SETS": sets}
    command = [sys.executable, "-c", REPORT, asked]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_report_has_tables_for_the_sets_that_are_kept_and_for_no_other() -> None:
    default, *_ = report_of("", "by=country&window=1m")
    assert default == sum(len(one.windows) or len(WINDOWS) for one in SETS)
    tables, used, names = report_of("original", "by=operatingSystem,country,browser&window=1m")
    assert tables == sum(len(windows) for windows in declared().values())
    assert used == "rows_originalCountrySystemBrowser_1m"
    assert names == [one.name for one in ORIGINAL_SETS]
    assert report_of("partner,originalVar1", "by=customVar1&window=1h")[0] == 5
