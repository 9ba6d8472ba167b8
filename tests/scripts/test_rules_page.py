"""docs/rules.md is what scripts/write_rules.py writes from the committed results."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from write_rules import LAST, RESULTS, RULES, WORLDS, of, page  # noqa: E402

from burnish.config.reading import read_config  # noqa: E402
from burnish.results import read_results  # noqa: E402


def test_the_page_is_what_the_results_say() -> None:
    worlds = {name: read_results(RESULTS / folder) for folder, name in WORLDS.items()}
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == page(worlds)


def test_every_rule_has_all_rounds_of_the_same_eight_new_seeds() -> None:
    for folder in WORLDS:
        results = read_results(RESULTS / folder)
        for rule in RULES:
            for number in range(1, LAST + 1):
                assert [run.seed for run in of(results, rule, number)] == list(range(10, 18))


def test_the_results_are_those_of_the_committed_configs() -> None:
    for folder in WORLDS:
        config = read_config(ROOT / "configs" / f"{folder}.yaml")
        ran = read_results(RESULTS / folder).config
        assert ran["seeds"] == list(config.seeds)
        assert ran["methods"] == config.model_dump(mode="json")["methods"]
        assert ran["train"] == config.train.model_dump(mode="json")
