"""The set by user, which WORKER_SETS=partner,user keeps, fills rows, exactly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import METRICS, WINDOWS
from pipeline.chosen import sets_named
from pipeline.config import WorkerSettings
from pipeline.enrich.enrichers import Enrichers
from pipeline.enrich.users import HASH_BYTES
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.pipeline.enrich.databases import place, write
from tests.pipeline.enrich.ks_maker import SECRET, ks_v1, ks_v2
from tests.pipeline.life import Life, folder, living
from tests.pipeline.lines import NOON, get_line
from tests.pipeline.state_topics import Fault

# Valid for the first half of the log.
KS_ENDS = NOON + 30


@pytest.fixture(scope="module")
def rules() -> Any:
    with folder() as base:
        (base / "key").write_bytes(b"k" * 32)
        (base / "secrets").write_text(f'{{"4242": "{SECRET}"}}')
        settings = WorkerSettings(user_key_file=base / "key", ks_secrets_file=base / "secrets")
        yield Rules(Shape.of(WINDOWS, sets_named("partner,user")), METRICS, Enrichers(settings, asks_for_users=True))


def line(number: int) -> bytes:
    """Return a play of one of five viewers; who has a KS has it for the whole log, and claims another name."""
    says = (
        f"&ks={ks_v2('ann', expiry=KS_ENDS)}&userId=claimed",
        f"&ks={ks_v1('ann', expiry=KS_ENDS)}",
        f"&ks={ks_v2('ann', expiry=KS_ENDS, secret='x')}",
        "&userId=claimed",
        "",
    )[number % 5].replace("=&", "%3D&")
    query = (
        f"service=analytics&action=trackEvent&eventType=3&partnerId=4242&entryId=e&sessionId=s{number % 5}"
        f"&eventIndex={number}{says}"
    )
    return get_line(query, f"i-{number}", (NOON + number) * 1000)


LOG = [line(number) for number in range(60)]


def plays(life: Life) -> dict[str, int]:
    """Return the plays of each user, over all hours."""
    found: Counter[str] = Counter()
    for key, counts in life.kafka.rows().items():
        words = orjson.loads(key)
        if words["set"] == "user":
            found[words["user"]] += counts["plays"]
    return dict(found)


def test_the_example_line_fills_rows(rules: Rules) -> None:
    with living(rules=rules) as life:
        life.log = LOG
        life.finish()
        found = plays(life)
        enrichment = rules.enrichment
        assert enrichment is not None
        ann, claimed = (enrichment.user("4242", name, "").before for name in ("ann", "claimed"))
        # Each viewer sends 6 beacons while the KS is valid and 6 after.
        assert found == {ann: 12, claimed: 6 + 12, "": 6 + 12 + 12}
        assert len(ann) == 2 * HASH_BYTES
        text = b"".join(life.kafka.rows())
        assert b"claimed" not in text and b"ann" not in text


@given(data=st.data())
def test_splits_and_crashes_on_both_sides_of_an_end_change_no_users_row(rules: Rules, data: Any) -> None:
    with living(rules=rules) as life:
        life.log = LOG
        life.finish()
        expected = plays(life)
    with living(rules=rules) as life:
        life.log = LOG
        for _ in range(data.draw(st.integers(1, 6), label="steps")):
            life.take(data.draw(st.integers(0, 25), label="records"))
            if data.draw(st.booleans(), label="write"):
                life.checkpoint(data.draw(st.sampled_from(Fault)), data.draw(st.booleans(), label="die before apply"))
            if data.draw(st.booleans(), label="crash"):
                life.crash(wiped=data.draw(st.booleans(), label="wiped"))
        life.finish()
        assert plays(life) == expected


def test_a_database_replaced_under_a_worker_counts_from_then_on(tmp_path: Path) -> None:
    path = write(tmp_path / "places.mmdb", {"192.0.2.0/24": place("DE")})
    enrichers = Enrichers(WorkerSettings(places_file=path))
    by_country = sets_named("partner,country")
    with living(rules=Rules(Shape.of(WINDOWS, by_country), METRICS, enrichers)) as life:
        life.log = [one.replace(b'"v":1,', b'"v":1,"address":"192.0.2.0",', 1) for one in LOG]
        life.take(20)
        write(path, {"192.0.2.0/24": place("NL")})
        enrichers.refresh()
        life.finish()
        found: Counter[str] = Counter()
        for key, counts in life.kafka.rows().items():
            words = orjson.loads(key)
            if words["set"] == "country" and words["window"] == "1h":
                found[words["country"]] += counts["plays"]
    assert found == {"DE": 20, "NL": 40}
