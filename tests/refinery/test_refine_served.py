"""A refinement in which a server answers with the adapters that are trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import refinement
from serving import Adapting, FakeVllm, play

import burnish


@pytest.mark.slow
def test_proposals_come_from_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    play(monkeypatch)
    gold = refinement.fake().gold
    units: list[str] = []
    with FakeVllm(rule=lambda says, prompt, body: f"#### {gold[prompt]}") as server:
        found = burnish.refine(
            refinement.rows(),
            model="builtin:strong",
            annotator="oracle:gold",
            rounds=1,
            alpha=0.1,
            differs="number",
            out=tmp_path / "out",
            store=tmp_path / "store",
            changes=["decode.beams=1", f"model.serve={json.dumps(server.settings())}"],
            backend=Adapting(gold, units.append),
        )
    assert len(server.asked) == refinement.COUNT  # one proposal for each row
    assert "train" in units
    assert "generate" not in units
    assert sum(line.reason == "accepted" for line in found.ledger) == refinement.CAP
