"""A stop at every unit of work, before every manifest, and with torn last lines: the same bytes in the end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from experiment import Wordy, fake, gold, measured, run_small, small
from stops import STOP, one_unit_then_stop, stop_once_before_each_manifest, until_done

from burnish.config import Config
from burnish.store.files import tree_checksums
from burnish.store.manifest import MANIFEST

MIXED = {"kind": "mixed", "oracle_share": 0.5, "other": {"kind": "likelihood", "model": "builtin:judge-3"}}
CLASSIFIER = {"kind": "classifier", "checkpoints": 3, "decode": {"beams": 1, "temperature": 0.6}}
BOTH = ["kl", "win_rate"]
CONFIGS: dict[str, Config] = {
    "refinement": small(supervision={"annotator": MIXED}),
    "preferences": small(
        supervision={"annotator": MIXED},
        methods=[
            {"kind": "sft"},
            {"kind": "dpo", "rounds": 2},
            {"kind": "dpo", "name": "sdpo", "pairs_from": "halves"},
        ],
        measure=BOTH,
    ),
    "reinforcement": small(
        supervision={"annotator": MIXED},
        methods=[
            {"kind": "rl", "reward": "checker", "steps": 3, "prompts": 8, "samples": 4, "rounds": 2},
            {
                "kind": "rl",
                "name": "both",
                "reward": "comparisons",
                "steps": 3,
                "prompts": 8,
                "samples": 4,
                "after": {"kind": "ilr", "rounds": 1},
            },
        ],
        budget="equal",
    ),
    "correct": small(
        supervision={"annotator": CLASSIFIER, "demonstrations": "correct"},
        methods=[
            {"kind": "dpo", "name": "both", "rounds": 1, "after": {"kind": "ilr", "rounds": 1, "splits": 3}},
            {"kind": "dpo", "name": "wsdpo", "rounds": 1, "pairs_from": "labels"},
        ],
        budget={"kind": "equal", "comparisons": 20},
        compat={"unswapped_dpo": True},
        measure=BOTH,
        evaluate="validation",
    ),
}

OWN = {
    "preferences": {"train_preferences", "score", "versus"},
    "correct": {"train_preferences", "score", "versus"},
    "reinforcement": {"reward_samples", "train_rewards", "train_policy"},
}
"""The names of stages that a config must have."""


def results_of_stages(store: Path) -> dict[str, str]:
    """Return the checksums of all that stages hold; a manifest says when it was written."""
    return {name: sum_ for name, sum_ in tree_checksums(store / "stages").items() if not name.endswith(MANIFEST)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["refinement", "preferences", "reinforcement", "correct"])
def test_stopped_at_every_unit_the_results_are_the_same_bytes(tmp_path: Path, name: str) -> None:
    config = CONFIGS[name]
    whole = run_small(config, tmp_path / "whole").out
    units: list[str] = []
    run_small(config, tmp_path / "count", fake(units.append))
    done: list[str] = []
    pieces, stops = until_done(lambda: run_small(config, tmp_path / "pieces", fake(one_unit_then_stop(done))).out)
    assert stops >= len(units) // 2
    # `done` has a unit, then a stop, in turn: no unit that was finished is there twice.
    assert Counter(unit for unit in done if unit != STOP) == Counter(units)
    for file in ("results.json", "changes.jsonl"):
        assert (pieces / file).read_bytes() == (whole / file).read_bytes()
    assert results_of_stages(tmp_path / "pieces" / "store") == results_of_stages(tmp_path / "whole" / "store")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tear"),
    [
        *(("preferences", tear) for tear in (False, True)),
        *(("correct", tear) for tear in (False, True)),
        *(("reinforcement", tear) for tear in (False, True)),
    ],
)
def test_stopped_before_every_manifest_the_results_are_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, tear: bool
) -> None:
    config = CONFIGS[name]
    whole = measured(config, tmp_path / "whole", Wordy(gold()))
    stopped = stop_once_before_each_manifest(monkeypatch, tear)
    pieces, stops = until_done(lambda: measured(config, tmp_path / "pieces", Wordy(gold())))
    assert stops == len(stopped) == len(whole.stages)
    assert set(stopped.values()) == set(whole.stages) >= {"pair", "judge", "prefer", *OWN[name]}
    assert pieces.bytes == whole.bytes
    assert pieces.changes == whole.changes
    if not tear:  # a torn batch is done once more, and the file then holds its rows twice
        assert results_of_stages(tmp_path / "pieces" / "store") == results_of_stages(tmp_path / "whole" / "store")
