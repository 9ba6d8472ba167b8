"""One share of what was compared for ILR and DPO: on the fake backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment import Astray, Measured, gold, measured, small

from burnish.lab.inputs import resolve
from burnish.lab.running import planned
from burnish.steps.artifacts import read_ledger
from burnish.store.stages import Store
from burnish.types import Reason, Refinement

ILR: dict[str, Any] = {"kind": "ilr", "rounds": 1}


def found(tmp_path: Path, *methods: dict[str, Any], **changes: Any) -> Measured:
    """Run methods whose supervisor is right in four cases of ten."""
    return measured(small(methods=list(methods), **changes), tmp_path, Astray(gold()))


def ledger_of(done: Measured, method: str) -> list[Refinement]:
    compared = done.outcome(method, 1).round.compared
    assert compared is not None
    return read_ledger(compared.ledger)


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["paper", {"kind": "equal", "comparisons": 10}])
def test_ilr_and_dpo_accept_the_same_share_of_what_they_compared(tmp_path: Path, budget: Any) -> None:
    half = {"rounds": 1, "of": "compared"}
    methods = ({"kind": "ilr", "alpha": 0.5, **half}, {"kind": "dpo", "keep": 0.5, **half})
    # A decided judge, so that enough is preferred to fill the share.
    done = found(tmp_path, *methods, budget=budget, supervision={"annotator": {"kind": "oracle"}})
    for name in ("ilr", "dpo"):
        lines = ledger_of(done, name)
        preferred = [line for line in lines if line.reason in {Reason.ACCEPTED, Reason.OVER_CAP}]
        accepted, compared = (done.run(name, 1).counts[count] for count in ("accepted", "compared"))
        # DPO has equal pairs, which cost one comparison.
        assert compared == len({(line.kept, line.proposed) for line in lines if line.score is not None})
        assert 0 < accepted == min(compared // 2, len(preferred))


def test_the_share_of_what_was_compared_is_the_released_codes_cap(tmp_path: Path) -> None:
    names = [{**ILR, "of": "compared"}, {**ILR, "name": "all", "of": "all"}, {**ILR, "name": "unsaid"}]

    def refined(methods: list[dict[str, Any]], **changes: Any) -> list[str]:
        config = small(methods=methods, **changes)
        stages = planned(config, resolve(config, offline_ok=False), Store(tmp_path))
        return [record.fingerprint for record in stages if record.stage.name == "refine"]

    # Equal stages are planned once.
    of_compared, of_all = refined(names)
    assert refined([names[2]]) == [of_all]
    assert refined(names, compat={"cap": "differing"}) == [of_compared, of_all]
    assert refined([names[2]], compat={"cap": "differing"}) == [of_compared]


@pytest.mark.slow
def test_dpo_of_all_pairs_under_an_equal_budget_is_what_one_asks_for(tmp_path: Path) -> None:
    budget = {"kind": "equal", "comparisons": 10}
    methods = [{"kind": "dpo", "rounds": 1}, {"kind": "dpo", "name": "all", "rounds": 1, "of": "all"}]
    done = found(tmp_path, *methods, budget=budget)
    assert done.run("dpo", 1).counts["accepted"] == 1  # floor(0.15 * 10)
    assert done.run("all", 1).counts["accepted"] > 1  # floor(0.15 * 120) = 18 of 10
