"""The gate of a refinement and the temperature of its self-test: what passes, what is recorded, what identities say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from refinement import CAP, Refined, refine, script, settings, written

from burnish.config import RefineSettings
from burnish.config.base import ON_RECORD
from burnish.types import Reason

SURE = """
import re
def off(row, side):
    numbers = re.findall(r"[0-9]+", row[side])
    return abs(int(numbers[-1]) - int(RIGHT[row["prompt"]])) if numbers else 1000
for row in rows:
    better = off(row, "first") - off(row, "second")
    # It is always sure by 0.97, and wrong on about every fourth prompt.
    better *= -1 if sum(map(ord, row["prompt"])) % 4 == 0 else 1
    say(row["id"], p_second=0.5 if not better else 0.97 if better > 0 else 0.03)
"""


def refined(where: Path, name: str, *changes: str, **options: Any) -> Refined:
    """Refine one round with a program that is too sure. All refinements in `where` share their store."""
    judge = {"kind": "command", "command": script(where, "judge.py", SURE)}
    config = settings(written(where), *changes, annotator=judge, rounds=1, **options)
    (where / name).mkdir(exist_ok=True)
    return refine(config, where / name)


def fingerprint(found: Refined) -> str:
    return found.summary.rounds[0].fingerprint


@pytest.mark.slow
def test_a_gate_means_what_it_says_on_planted_pairs(tmp_path: Path) -> None:
    raw = refined(tmp_path, "raw", "method.gate=0.9", "selftest.calibrate=false")
    assert (raw.reasons(1)[Reason.BELOW_GATE], raw.reasons(1)[Reason.ACCEPTED]) == (0, CAP)
    scaled = refined(tmp_path, "scaled", "method.gate=0.9")
    report = scaled.summary.selftest
    assert report is not None
    assert report.calibration is not None
    # It is right on about three pairs of four. So P = 0.97 is a temperature of about log(32) / log(3).
    assert report.calibration.temperature == pytest.approx(3.2, abs=1.0)
    assert report.calibration.given.n == report.calibration.given.bins[-1].n >= 18
    assert (scaled.reasons(1)[Reason.BELOW_GATE] > CAP, scaled.reasons(1)[Reason.ACCEPTED]) == (True, 0)
    # The ledger keeps what the annotator said.
    assert {line.p_b_ab for line in scaled.of_round(1) if line.reason is Reason.BELOW_GATE} == {0.97}
    page = (scaled.out / "report.html").read_text()
    assert "Whether it was right to be so sure" in page
    assert "On these pairs the annotator is too sure." in page


@pytest.mark.slow
def test_a_round_depends_on_the_temperature_only_where_a_gate_needs_it(tmp_path: Path) -> None:
    on, off = (refined(tmp_path, name, f"selftest.calibrate={name}") for name in ("true", "false"))
    skipped = refined(tmp_path, "skipped", no_selftest=True)
    assert fingerprint(on) == fingerprint(off) == fingerprint(skipped)
    gates = [
        refined(tmp_path, name, "method.gate=0.7", change)
        for name, change in (
            ("default", "selftest.go_on=true"),
            ("pairs", "selftest.pairs=12"),
            ("no", "selftest.calibrate=false"),
        )
    ]
    # 12 rows give another temperature than 24, so it is another round.
    assert len({fingerprint(found) for found in (on, *gates)}) == 4


def test_new_refinements_calibrate_and_those_on_record_did_not(tmp_path: Path) -> None:
    settings_now = settings(written(tmp_path)).settings
    assert settings_now.selftest.calibrate is True
    recorded = orjson.loads(settings_now.model_dump_json())
    assert recorded["selftest"].pop("calibrate") is True
    before = RefineSettings.model_validate(recorded, context=ON_RECORD)
    assert before.selftest.calibrate is None
    assert "calibrate" not in before.model_dump(mode="json")["selftest"]
