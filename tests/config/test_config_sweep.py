"""Sweeps are configs: variants become settings; what is wrong with one names file, label, field, value and fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from burnish.config import (
    Config,
    DpoMethod,
    IlrMethod,
    LikelihoodConfig,
    Loss,
    Objective,
    Optimizer,
    PairsFrom,
    TrainSettings,
)
from burnish.config.reading import parse_config, read_config, read_sweep
from burnish.errors import ConfigError

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "name": "sweep",
    "task": {"kind": "sums", "train": 20, "test": 5},
    "models": {"weak": "builtin:weak", "strong": "builtin:strong"},
    "supervision": {"annotator": {"kind": "oracle"}},
    "train": {"lora": None},
    "methods": [{"kind": "sft"}, {"kind": "dpo", "beta": 0.1}],
}


def written(tmp_path: Path, values: Any) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False))
    return path


def dpo_of(config: Config) -> DpoMethod:
    return next(method for method in config.methods if isinstance(method, DpoMethod))


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    return str(caught.value)


# --- variants


def test_a_config_without_variants_is_one_setting(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    (only,) = read_sweep(path)
    assert only == read_config(path)
    assert only.variant == ""


def test_each_variant_changes_its_fields_alone(tmp_path: Path) -> None:
    variants = {
        "low": {"methods.1.beta": 0.01},
        "high, oracle": {"methods.1.beta": 0.5, "methods.1.keep": 1.0, "budget": "equal", "train.epochs": 5},
        "plain": {},
        0.3: {"supervision.annotator": {"kind": "likelihood", "model": "builtin:judge-1"}},
    }
    low, high, plain, third = read_sweep(written(tmp_path, GOOD | {"variants": variants}))
    assert [one.variant for one in (low, high, plain, third)] == ["low", "high, oracle", "plain", "0.3"]
    assert (dpo_of(low).beta, dpo_of(high).beta, dpo_of(plain).beta) == (0.01, 0.5, 0.1)
    assert (dpo_of(high).keep, high.budget.kind, high.train.epochs) == (1.0, "equal", 5)
    assert plain == read_config(written(tmp_path, GOOD)).model_copy(update={"variant": "plain"})
    assert third.supervision.annotator.kind == "likelihood"


def test_a_field_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    (one,) = read_sweep(written(tmp_path, GOOD | {"variants": {"a": {"compat.unswapped_dpo": True}}}))
    assert one.compat.unswapped_dpo


def test_changes_from_the_command_line_come_last(tmp_path: Path) -> None:
    variants = {"low": {"methods.1.beta": 0.01}, "same": {}}
    found = read_sweep(written(tmp_path, GOOD | {"variants": variants}), ["methods.1.beta=0.2", "seeds=[3, 4]"])
    assert [(dpo_of(one).beta, one.seeds) for one in found] == [(0.2, (3, 4))] * 2


def test_a_value_that_two_variants_share_is_each_ones_own(tmp_path: Path) -> None:
    text = yaml.safe_dump(GOOD) + (
        "variants:\n"
        "  strong: {supervision.annotator: &judge {kind: likelihood, model: m1}, supervision.annotator.model: m2}\n"
        "  given: {supervision.annotator: *judge}\n"
    )
    annotators = [one.supervision.annotator for one in read_sweep(written(tmp_path, text))]
    models = [one.model.source for one in annotators if isinstance(one, LikelihoodConfig)]
    assert models == ["m2", "m1"]


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ([], ["variants: [] found", "mapping from labels to changed fields"]),
        ({}, ["variants: {} found", "mapping from labels"]),
        ({"a": 3}, ["variants.a: 3 found", "{train.epochs: 2}"]),
        ({"a": None}, ["variants.a: None found"]),
        ({"a": {"methods.1.beta": 0}}, ["(a):", "methods.1.beta: 0 found", "greater than 0"]),
        ({"a": {"methods.7.beta": 1}}, ["variants.a.methods.7.beta", "'7' is not an index of a list of 2"]),
        ({"a": {"methods.x": 1}}, ["variants.a.methods.x", "'x' is not an index"]),
        (
            {"a": {"name.first": 1}},
            ["variants.a.name.first", "name is 'sweep' and has no field 'first'; give a mapping in its place"],
        ),
        ({"a": {"train.epoch": 1}}, ["(a):", "train.epoch: no such field", "remove it or correct its name"]),
        ({"a": {"variants": {}}}, ["(a):", "variants: no such field"]),
        ({"good": {}, "bad": {"seeds": []}}, ["(bad):", "seeds: [] found"]),
    ],
)
def test_what_is_wrong_with_a_sweep(tmp_path: Path, variants: Any, words: list[str]) -> None:
    path = written(tmp_path, GOOD | {"variants": variants})
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    for word in (str(path), *words):
        assert word in str(caught.value), str(caught.value)


def test_two_labels_that_read_the_same_are_refused(tmp_path: Path) -> None:
    """YAML holds 1 and "1" apart; a results folder would not."""
    path = written(tmp_path, GOOD | {"variants": {1: {}, "1": {"train.epochs": 3}}})
    with pytest.raises(ConfigError, match=r"variants.*1.*twice"):
        read_sweep(path)


def test_a_sweep_is_refused_where_one_setting_is_wanted(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD | {"variants": {"a": {}}})
    with pytest.raises(
        ConfigError, match=r"variants: found, but this command takes a single setting; use `burnish run`"
    ):
        read_config(path)


# The list of configs that `make paper` runs, and the studies of SEAM, are no configs of `burnish run`.
EXPERIMENTS = sorted(
    path for path in (ROOT / "configs").rglob("*.yaml") if path.name != "list.yaml" and path.parent.name != "seam"
)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_config_that_comes_along_is_sound(path: Path) -> None:
    configs = read_sweep(path)
    assert len({one.variant for one in configs}) == len(configs)


# --- what is wrong with a setting


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("{kind: dpo, beta: 0}", ["methods.0.beta", "0 found", "greater than 0"]),
        ("{kind: dpo, beta: -0.1}", ["methods.0.beta", "-0.1 found", "greater than 0"]),
        ("{kind: dpo, beta: .inf}", ["methods.0.beta", "inf found", "finite"]),
        ("{kind: dpo, flip_rate: 0.5}", ["methods.0.flip_rate", "0.5 found", "must be below 0.5"]),
        ("{kind: dpo, flip_rate: -0.1}", ["methods.0.flip_rate", "-0.1 found", "greater than or equal to 0"]),
        ("{kind: dpo, samples: 5}", ["methods.0.samples", "5 found", "multiple of 2"]),
        ("{kind: dpo, samples: 0}", ["methods.0.samples", "0 found", "greater than or equal to 2"]),
        ("{kind: dpo, keep: 0}", ["methods.0.keep", "0 found", "greater than 0"]),
        ("{kind: dpo, keep: 15}", ["methods.0.keep", "15 found", "less than or equal to 1"]),
        ("{kind: dpo, temperature: 0}", ["methods.0.temperature", "0 found", "greater than 0"]),
        ("{kind: dpo, loss: hinge}", ["methods.0.loss", "'hinge' found", "'sigmoid', 'ipo', 'cdpo' or 'rdpo'"]),
        (
            "{kind: dpo, pairs_from: gold}",
            ["methods.0.pairs_from", "'gold' found", "'policy', 'halves' or 'labels'"],
        ),
        ("{kind: dpo, pairs: some}", ["methods.0.pairs", "'some' found", "'all' or 'differing'"]),
        ("{kind: dpo, after: {kind: dpo}}", ["methods.0.after.kind", "'dpo' found", "'ilr'"]),
        ("{kind: dpo, rounds: 0}", ["methods.0.rounds", "0 found", "greater than or equal to 1"]),
        ("{kind: ilr, splits: 1}", ["methods.0.splits", "1 found", "greater than or equal to 2"]),
        ("{kind: dpo, name: weak}", ["the name 'weak' stands for the supervisor in results", "another `name`"]),
        ("{kind: ppo}", ["methods.0", "'ppo'", "'dpo'"]),
    ],
)
def test_a_wrong_method_names_field_value_and_what_is_allowed(fields: str, words: list[str]) -> None:
    message = refused(yaml.safe_dump(GOOD | {"methods": [yaml.safe_load(fields)]}))
    for word in ("c.yaml", *words):
        assert word in message, message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"supervision": {}}, ["supervision.annotator: is missing; add it"]),
        ({"supervision": {"annotator": {}}}, ["supervision.annotator", "kind"]),
        ({"supervision": {"annotator": {"kind": "human"}}}, ["supervision.annotator", "'human'", "'oracle'"]),
        ({"methods": []}, ["methods: the list is empty; name at least one, such as {kind: sft}"]),
        ({"methods": [{"kind": "dpo"}, {"kind": "dpo"}]}, ["two methods have the name 'dpo'", "another `name`"]),
        ({"budget": "large"}, ["budget.kind", "'large' found", "'paper' or 'equal'"]),
        ({"budget": {"kind": "equal", "comparisons": 0}}, ["budget.comparisons", "0 found", "greater than or equal"]),
        ({"compat": {"cap": "all"}}, ["compat.cap", "'all' found", "'rows' or 'differing'"]),
        ({"compat": {"swap": True}}, ["compat.swap: no such field"]),
        ({"measure": ["bleu"]}, ["measure.0", "'bleu' found", "'kl' or 'win_rate'"]),
        ({"evaluate": "train"}, ["evaluate", "'train' found", "'test' or 'validation'"]),
    ],
)
def test_a_wrong_setting_names_field_value_and_what_is_allowed(changes: dict[str, Any], words: list[str]) -> None:
    message = refused(yaml.safe_dump(GOOD | changes))
    for word in ("c.yaml", *words):
        assert word in message, message


def test_comparisons_without_an_equal_budget_are_not_passed_over() -> None:
    """A number that nothing reads is a mistake of the user's."""
    assert "budget" in refused(yaml.safe_dump(GOOD | {"budget": {"comparisons": 100}}))


# --- what a method means


def test_dpo_is_the_papers_unless_told_otherwise() -> None:
    """Appendix C, and D.3 for beta."""
    method = DpoMethod(kind="dpo")
    assert (method.rounds, method.samples, method.keep, method.temperature) == (4, 6, 0.15, 0.7)
    assert (method.loss, method.beta, method.pairs_from) == (Loss.SIGMOID, 0.1, PairsFrom.POLICY)
    assert (method.learning_rate, method.optimizer, method.pairs) == (1e-6, Optimizer.RMSPROP, "all")
    ilr = IlrMethod(kind="ilr")
    assert (ilr.splits, ilr.cross_label) == (2, True)


@given(st.none() | st.floats(0.5, 9), st.floats(0.5, 9))
def test_the_policy_is_trained_as_the_model_before_but_for_its_own_settings(own: float | None, epochs: float) -> None:
    sft = TrainSettings(epochs=epochs, learning_rate=1e-3, batch_size=8, lora=None, max_tokens=50)
    trained = DpoMethod(kind="dpo", learning_rate=2e-5, epochs=own).training(sft)
    assert (trained.epochs, trained.learning_rate, trained.optimizer) == (own or epochs, 2e-5, Optimizer.RMSPROP)
    assert trained.model_copy(update={"epochs": epochs, "learning_rate": 1e-3, "optimizer": sft.optimizer}) == sft


def test_the_flip_rate_is_identity_only_where_the_loss_reads_it() -> None:
    for loss in Loss:
        fields = [Objective(loss=loss, beta=0.2, flip_rate=eps).semantic() for eps in (0.1, 0.2)]
        assert fields[0]["beta"] == 0.2
        assert (fields[0] == fields[1]) == (loss in {Loss.SIGMOID, Loss.IPO})
