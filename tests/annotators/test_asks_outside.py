"""Which annotators ask a server, people or a program: only one stage at a time does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment import small

from burnish.annotators.build import asks_outside
from burnish.lab.inputs import resolve
from burnish.lab.running import planned
from burnish.store.stages import Store

LIKELIHOOD: dict[str, Any] = {"kind": "likelihood", "model": "builtin:judge-3"}
SERVER: dict[str, Any] = {"kind": "judge", "base_url": "http://localhost:1/v1", "model": "m", "api_key_env": None}
PROGRAM: dict[str, Any] = {"kind": "command", "command": ["true"]}


@pytest.mark.parametrize(
    ("annotator", "outside"),
    [
        (LIKELIHOOD, False),
        ({"kind": "classifier"}, False),
        ({"kind": "oracle"}, False),
        (SERVER, True),
        (PROGRAM, True),
        ({"kind": "people"}, True),
        ({"kind": "mixed", "other": SERVER}, True),
        ({"kind": "mixed", "other": LIKELIHOOD}, False),
        ({"kind": "majority", "of": [{"kind": "oracle"}, LIKELIHOOD]}, False),
        ({"kind": "route", "first": LIKELIHOOD, "then": {"kind": "oracle"}}, False),
    ],
)
def test_the_judgements_of_an_annotator(tmp_path: Path, annotator: dict[str, Any], outside: bool) -> None:
    config = small(supervision={"annotator": annotator}, execution={"workers": 2})
    assert asks_outside(config.supervision.annotator) is outside
    records = planned(config, resolve(config, offline_ok=False), Store(tmp_path))
    assert {record.stage.outside for record in records if record.stage.name == "judge"} == {outside}
    assert not any(record.stage.outside for record in records if record.stage.name != "judge")


def test_each_voter_counts_by_itself(tmp_path: Path) -> None:
    config = small(supervision={"annotator": {"kind": "majority", "of": [LIKELIHOOD, SERVER, {"kind": "oracle"}]}})
    records = planned(config, resolve(config, offline_ok=False), Store(tmp_path))
    judged = [record.stage.outside for record in records if record.stage.name == "judge"]
    assert sorted(judged) == [False] * (2 * len(judged) // 3) + [True] * (len(judged) // 3)
    assert not any(record.stage.outside for record in records if record.stage.name == "votes")


def test_each_annotator_of_a_route_counts_by_itself(tmp_path: Path) -> None:
    config = small(supervision={"annotator": {"kind": "route", "first": LIKELIHOOD}})
    assert asks_outside(config.supervision.annotator)
    records = planned(config, resolve(config, offline_ok=False), Store(tmp_path))
    outside = {record.stage.name for record in records if record.stage.outside}
    assert outside == {"judge"}
    judged = [record.stage.outside for record in records if record.stage.name == "judge"]
    assert sorted(judged) == [False] * (len(judged) // 2) + [True] * (len(judged) // 2)


def test_a_server_of_embeddings_is_asked_outside(tmp_path: Path) -> None:
    differs = {"kind": "embedding_server", "base_url": "http://localhost:1/v1", "model": "m", "api_key_env": None}
    config = small(differs=differs, execution={"workers": 2})
    records = planned(config, resolve(config, offline_ok=False), Store(tmp_path))
    outside = {record.stage.name for record in records if record.stage.outside}
    assert outside == {"distance"}
