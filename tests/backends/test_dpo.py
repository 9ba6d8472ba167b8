"""Preference training on the built-in model: the ids, the curve, what is saved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from embedded import ROWS, backend, trained

from burnish.config import Optimizer
from burnish.errors import DataError
from burnish.models.card import Weights, copy_model, read_card
from burnish.types import Artifact, TrainingRow

torch: Any = pytest.importorskip("torch")

from preferring import LORA, PLAIN, RIGHT_AND_WRONG, SETTINGS, optimized, training  # noqa: E402
from safetensors.torch import load_file  # noqa: E402 # pyright: ignore[reportUnknownVariableType]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """All weights, finetuned for four steps."""
    return trained(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An adapter, finetuned for four steps."""
    return trained(tmp_path_factory.mktemp("adapter"), LORA)


def scores(model: Artifact) -> dict[str, float]:
    return {score.id: score.value for batch in backend().logprobs(model, ROWS, set()) for score in batch}


# --- the ids


def test_both_rows_of_a_pair_are_those_of_finetuning(policy: Artifact) -> None:
    work = training(policy)
    for row, pair in zip(RIGHT_AND_WRONG, work.tokens(work._model(), RIGHT_AND_WRONG), strict=True):
        expected = [
            work.renderer.row(TrainingRow(id=row.id, prompt=row.prompt, completion=text), 64)
            for text in (row.chosen, row.rejected)
        ]
        assert list(pair.rows) == expected
        lengths = [len(one.ids) for one in expected]
        assert (pair.longest, pair.total) == (max(lengths), sum(lengths))


def test_a_pair_whose_end_does_not_fit_is_named(policy: Artifact, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 0#0: \d+ tokens, but at most 10 fit"):
        optimized(policy, tmp_path / "dpo", SETTINGS.model_copy(update={"max_tokens": 10}))


# --- the curve


@pytest.mark.slow
@pytest.mark.parametrize(("form", "learning_rate"), [("policy", 2e-4), ("adapter", 1e-3)])
def test_the_margin_starts_at_zero_and_training_moves_it_up(
    form: str, learning_rate: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 3, "learning_rate": learning_rate})
    curve = optimized(request.getfixturevalue(form), tmp_path / "dpo", settings).curve
    assert [point.step for point in curve] == list(range(1, 13))  # 32 pairs, 8 a step, 3 epochs
    assert curve[0].margin == pytest.approx(0, abs=1e-5)
    assert curve[0].loss == pytest.approx(math.log(2), abs=1e-4)
    assert curve[-1].margin > 0.05
    assert curve[-1].loss < math.log(2) - 0.02
    assert curve[-1].chosen_logp - curve[-1].rejected_logp > curve[0].chosen_logp - curve[0].rejected_logp


@pytest.mark.slow
def test_a_long_training_has_about_twenty_points(policy: Artifact, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"batch_size": 2, "epochs": 3})
    curve = optimized(policy, tmp_path / "dpo", settings).curve  # 48 steps, a point every 2
    assert [point.step for point in curve] == list(range(2, 49, 2))


# --- what is saved


def test_all_weights_go_on_as_all_weights(policy: Artifact, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in Path(policy.path).iterdir()}
    optimized(policy, tmp_path / "dpo")
    assert {path.name: path.read_bytes() for path in Path(policy.path).iterdir()} == before
    assert {path.name for path in (tmp_path / "dpo").iterdir()} == before.keys()
    assert read_card(tmp_path / "dpo") == read_card(Path(policy.path))
    assert read_card(tmp_path / "dpo").weights is Weights.FULL
    assert scores(Artifact(path=str(tmp_path / "dpo"), kind="train", fingerprint="dpo")) != scores(policy)


@pytest.mark.slow
def test_an_adapter_goes_on_as_an_adapter(adapter: Artifact, tmp_path: Path) -> None:
    """Twice, and what is loaded from the folder is what was trained; the base and the policy stay as they were."""
    before = {path.name: path.read_bytes() for path in Path(adapter.path).iterdir()}
    model, seen = adapter, [scores(adapter)]
    settings = SETTINGS.model_copy(update={"learning_rate": 1e-3})
    for name in ("first", "second"):
        optimized(model, tmp_path / name, settings)
        model = Artifact(path=str(tmp_path / name), kind="train", fingerprint=name)
        files = {path.relative_to(tmp_path / name).as_posix() for path in (tmp_path / name).rglob("*")}
        assert files == before.keys()
        assert "adapter_model.safetensors" in files
        assert "model.safetensors" not in files
        assert read_card(tmp_path / name).weights is Weights.ADAPTER
        seen.append(scores(model))
    assert seen[0] != seen[1] != seen[2]
    assert {path.name: path.read_bytes() for path in Path(adapter.path).iterdir()} == before
    assert optimized(model, tmp_path / "third").curve[0].loss == pytest.approx(math.log(2), abs=1e-6)


def test_an_adapter_without_any_pair_is_copied_whole(adapter: Artifact, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy_model(Path(adapter.path), tmp_path / "copy")
    assert scores(Artifact(path=str(tmp_path / "copy"), kind="train", fingerprint="copy")) == scores(adapter)


@pytest.mark.slow
def test_the_curve_tells_log_probabilities_of_the_policy_on_its_way(policy: Artifact, tmp_path: Path) -> None:
    """With all pairs in one step, each point stands before its step; the saved model is one step further."""
    settings = SETTINGS.model_copy(update={"batch_size": 32, "epochs": 3, "learning_rate": 2e-4, "warmup": 0})
    curve = optimized(policy, tmp_path / "dpo", settings).curve
    before, after = (
        mean_logps(model)
        for model in (policy, Artifact(path=str(tmp_path / "dpo"), kind="train_preferences", fingerprint="dpo"))
    )
    assert len(curve) == 3
    assert (curve[0].chosen_logp, curve[0].rejected_logp) == pytest.approx(before, abs=1e-4)
    # margin: beta * ((after - before) of the chosen - that of the rejected)
    for point, (chosen, rejected) in zip(curve, [(p.chosen_logp, p.rejected_logp) for p in curve], strict=True):
        assert point.margin == pytest.approx(0.1 * (chosen - before[0] - rejected + before[1]), abs=1e-4)
    assert 0.1 * (after[0] - before[0] - after[1] + before[1]) > curve[-1].margin > curve[1].margin > 0


def mean_logps(model: Artifact) -> tuple[float, float]:
    """Return the mean log-probabilities of the chosen and of the rejected answers."""
    means: list[float] = []
    for texts in ([row.chosen for row in RIGHT_AND_WRONG], [row.rejected for row in RIGHT_AND_WRONG]):
        rows = [
            TrainingRow(id=row.id, prompt=row.prompt, completion=text)
            for row, text in zip(RIGHT_AND_WRONG, texts, strict=True)
        ]
        values = [score.value for batch in backend().logprobs(model, rows, set()) for score in batch]
        means.append(sum(values) / len(values))
    return means[0], means[1]


# --- the same again


@pytest.mark.slow
def test_passes_of_any_size_make_the_same_step(policy: Artifact, tmp_path: Path) -> None:
    """Also where they do not divide the pairs of a step: the mean is over the pairs and not over the passes."""
    settings = SETTINGS.model_copy(update={"learning_rate": 2e-4, "epochs": 2})
    weights: list[Any] = []
    for number in (1, 3, 8):
        into = tmp_path / str(number)
        into.mkdir()
        backend(micro_batch=number).train_preferences(policy, RIGHT_AND_WRONG[:21], settings, PLAIN, 0, into)
        weights.append(load_file(into / "model.safetensors"))
    for name in weights[0]:
        for other in weights[1:]:
            torch.testing.assert_close(weights[0][name], other[name], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "file"), [("policy", "model.safetensors"), ("adapter", "adapter_model.safetensors")])
def test_the_same_seed_gives_the_same_weights(
    form: str, file: str, request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model: Artifact = request.getfixturevalue(form)
    found = [optimized(model, tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert found[0] == found[1] != found[2]
    weights = [(tmp_path / name / file).read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]
    assert capfd.readouterr().out == ""  # stdout is for data


@pytest.mark.slow
def test_smaller_passes_make_the_same_step(policy: Artifact, tmp_path: Path) -> None:
    """Eight pairs a step in one pass or in four: gradients add up."""
    settings = SETTINGS.model_copy(update={"optimizer": Optimizer.ADAMW, "learning_rate": 1e-3})
    one, four = (optimized(policy, tmp_path / str(n), settings, micro_batch=n).curve for n in (8, 2))
    assert [point.loss for point in one] == pytest.approx([point.loss for point in four], abs=1e-3)
    assert [point.margin for point in one] == pytest.approx([point.margin for point in four], abs=1e-2)
    assert one[-1].margin > 0.1


def test_tokens_are_counted_with_both_answers_and_repeats(policy: Artifact, tmp_path: Path) -> None:
    work = training(policy)
    rows = [
        work.renderer.row(TrainingRow(id=row.id, prompt=row.prompt, completion=text), 64)
        for row in RIGHT_AND_WRONG
        for text in (row.chosen, row.rejected)
    ]
    settings = SETTINGS.model_copy(update={"epochs": 2})
    assert optimized(policy, tmp_path / "dpo", settings).tokens == 2 * sum(len(row.ids) for row in rows)


def test_one_step_is_a_step(policy: Artifact, tmp_path: Path) -> None:
    """Fewer pairs than make a batch, one epoch: a warm-up of the only step to its end would leave all as it was."""
    settings = SETTINGS.model_copy(update={"batch_size": 32, "learning_rate": 1e-3})
    optimized(policy, tmp_path / "dpo", settings)
    after = Artifact(path=str(tmp_path / "dpo"), kind="train_preferences", fingerprint="dpo")
    assert mean_logps(after) != mean_logps(policy)
