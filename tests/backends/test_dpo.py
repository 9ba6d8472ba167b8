"""Preference training on the built-in model: losses by their formulas, our ids, the reference, what is saved."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from embedded import PROBLEMS, QUICK, ROWS, backend, trained, user

from burnish.config import LoraConfig, Loss, Objective, Optimizer, TrainSettings
from burnish.errors import DataError
from burnish.models.card import Weights, copy_model, read_card
from burnish.protocols import Trained
from burnish.types import Artifact, PreferenceRow, TrainingRow

torch: Any = pytest.importorskip("torch")

from burnish.backends.dpo import PreferenceTraining  # noqa: E402

SETTINGS = TrainSettings(epochs=1, learning_rate=2e-5, batch_size=8, lora=None)
LORA = QUICK.model_copy(update={"lora": LoraConfig(r=4, alpha=8), "learning_rate": 1e-2})
PLAIN = Objective()
RIGHT_AND_WRONG = [
    PreferenceRow(id=f"{i}#0", prompt=user(p.question), chosen=p.solution, rejected=f"#### {p.answer + 1}")
    for i, p in enumerate(PROBLEMS[:32])
]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """All weights, finetuned for four steps."""
    return trained(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An adapter, finetuned for four steps."""
    return trained(tmp_path_factory.mktemp("adapter"), LORA)


def training(
    model: Artifact, objective: Objective = PLAIN, settings: TrainSettings = SETTINGS, **execution: Any
) -> PreferenceTraining:
    return PreferenceTraining(Path(model.path), settings, objective, 0, backend(**execution).runtime)


def optimized(
    model: Artifact, into: Path, settings: TrainSettings = SETTINGS, seed: int = 0, **execution: Any
) -> Trained:
    into.mkdir()
    return backend(**execution).train_preferences(model, RIGHT_AND_WRONG, settings, PLAIN, seed, into)


def first_batch(trainer: Any) -> dict[str, Any]:
    return next(iter(trainer.get_train_dataloader()))


def logps(model: Any, batch: dict[str, Any]) -> Any:
    """Return log p(answer and end | prompt) of each row of a batch, in nats, the chosen ones first."""
    with torch.no_grad():
        logits_BTV = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    targets_BT = batch["input_ids"][:, 1:]
    logp_BT = torch.log_softmax(logits_BTV.double(), dim=-1).gather(2, targets_BT.unsqueeze(2)).squeeze(2)
    return (logp_BT * batch["completion_mask"][:, 1:]).sum(dim=1)


def scores(model: Artifact) -> dict[str, float]:
    return {score.id: score.value for batch in backend().logprobs(model, ROWS, set()) for score in batch}


# --- the losses, on log-ratios to the reference that are chosen by hand

RATIOS = [(0.0, 0.0), (2.0, -1.0), (-0.5, 3.0), (0.25, 0.5), (10.0, -10.0), (-4.0, 4.0), (1.0, 0.0), (0.0, 1.0)]
"""(chosen, rejected): log p(answer) under the policy minus that under the reference."""


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def sigmoid(objective: Objective, ratio: tuple[float, float], _: tuple[int, int]) -> float:
    """Rafailov et al. (2023), eq. 7."""
    return -log_sigmoid(objective.beta * (ratio[0] - ratio[1]))


def ipo(objective: Objective, ratio: tuple[float, float], lengths: tuple[int, int]) -> float:
    """Azar et al. (2024), eq. 17, on means over an answer's tokens and its end."""
    return (ratio[0] / lengths[0] - ratio[1] / lengths[1] - 1 / (2 * objective.beta)) ** 2


def cdpo(objective: Objective, ratio: tuple[float, float], _: tuple[int, int]) -> float:
    """Mitchell (2023): the cross-entropy of a label that is wrong with probability eps."""
    x, eps = objective.beta * (ratio[0] - ratio[1]), objective.flip_rate
    return -(1 - eps) * log_sigmoid(x) - eps * log_sigmoid(-x)


def rdpo(objective: Objective, ratio: tuple[float, float], _: tuple[int, int]) -> float:
    """Chowdhury et al. (2024), eq. 12: unbiased where labels are flipped with probability eps."""
    x, eps = objective.beta * (ratio[0] - ratio[1]), objective.flip_rate
    return (-(1 - eps) * log_sigmoid(x) + eps * log_sigmoid(-x)) / (1 - 2 * eps)


FORMULAS: dict[Loss, Callable[[Objective, tuple[float, float], tuple[int, int]], float]] = {
    Loss.SIGMOID: sigmoid,
    Loss.IPO: ipo,
    Loss.CDPO: cdpo,
    Loss.RDPO: rdpo,
}


# Not marked slow: `make check` computes every loss.
@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(("beta", "flip_rate"), [(0.1, 0.1), (0.5, 0.0), (1.0, 0.4)])
def test_a_loss_is_its_formula(policy: Artifact, tmp_path: Path, loss: Loss, beta: float, flip_rate: float) -> None:
    objective = Objective(loss=loss, beta=beta, flip_rate=flip_rate)
    trainer, pairs = training(policy, objective).trainer(RIGHT_AND_WRONG[: len(RATIOS)], tmp_path)
    trainer.model.eval()
    batch = first_batch(trainer)
    chosen, rejected = logps(trainer.model, batch).chunk(2)
    batch["ref_chosen_logps"] = chosen.float() - torch.tensor([one for one, _ in RATIOS])
    batch["ref_rejected_logps"] = rejected.float() - torch.tensor([other for _, other in RATIOS])
    found = trainer.compute_loss(trainer.model, batch).item()
    lengths = batch["completion_mask"].sum(dim=1).chunk(2)
    assert sorted(lengths[0].tolist()) == sorted(len(pair.chosen) for pair in pairs)
    expected = [
        FORMULAS[loss](objective, ratio, (int(one), int(other)))
        for ratio, one, other in zip(RATIOS, *lengths, strict=True)
    ]
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-4)


def test_flips_are_undone_by_one_loss_and_not_by_the_other() -> None:
    """Over labels flipped with probability eps, rDPO's mean is the sigmoid loss of the true one; cDPO's is not."""
    objective, ratio = Objective(beta=0.5, flip_rate=0.2), (2.0, -1.0)
    turned = (ratio[1], ratio[0])
    for formula, unbiased in ((rdpo, True), (cdpo, False)):
        mean = 0.8 * formula(objective, ratio, (1, 1)) + 0.2 * formula(objective, turned, (1, 1))
        assert (mean == pytest.approx(sigmoid(objective, ratio, (1, 1)))) is unbiased


# --- the ids


def test_the_trainer_sees_our_ids_with_one_end_an_answer(policy: Artifact, tmp_path: Path) -> None:
    work = training(policy, settings=SETTINGS.model_copy(update={"batch_size": 32}))
    trainer, _ = work.trainer(RIGHT_AND_WRONG, tmp_path)
    batch, renderer = first_batch(trainer), work.renderer
    ours = {
        (
            tuple(renderer.prompt(row.prompt)),
            (*renderer.tokenizer(text, add_special_tokens=False)["input_ids"], renderer.eos),
        )
        for row in RIGHT_AND_WRONG
        for text in (row.chosen, row.rejected)
    }
    theirs: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for ids, attention, mask in zip(
        *(batch[name].tolist() for name in ("input_ids", "attention_mask", "completion_mask")), strict=True
    ):
        length = sum(attention)
        assert attention == [1] * length + [0] * (len(ids) - length)
        start = mask.index(1)
        assert mask == [0] * start + [1] * (length - start) + [0] * (len(ids) - length)
        theirs.append((tuple(ids[:start]), tuple(ids[start:length])))
    assert len(theirs) == len(set(theirs)) == 2 * len(RIGHT_AND_WRONG)
    assert set(theirs) == ours
    for prompt, answer in theirs:
        assert (prompt.count(renderer.eos), answer.count(renderer.eos), answer[-1]) == (0, 1, renderer.eos)
    # The chosen answers come first, each with its own rejected one.
    half = len(RIGHT_AND_WRONG)
    answers = {tuple(renderer.prompt(row.prompt)): row for row in RIGHT_AND_WRONG}
    for (prompt, chosen), (again, rejected) in zip(theirs[:half], theirs[half:], strict=True):
        row = answers[prompt]
        assert prompt == again
        assert (renderer.text(chosen), renderer.text(rejected)) == (row.chosen, row.rejected)


def test_a_pair_whose_end_does_not_fit_is_named(policy: Artifact, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 0#0: \d+ tokens, but at most 10 fit"):
        optimized(policy, tmp_path / "dpo", SETTINGS.model_copy(update={"max_tokens": 10}))


# --- the reference


@pytest.mark.slow
@pytest.mark.parametrize("form", ["policy", "adapter"])
def test_the_reference_is_the_policy_that_the_round_starts_from(
    form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Before the first step no pair has a margin; two sets of as many pairs have each their own reference."""
    model: Artifact = request.getfixturevalue(form)
    reverse = [
        PreferenceRow(id=row.id, prompt=row.prompt, chosen=row.rejected, rejected=row.chosen)
        for row in RIGHT_AND_WRONG[::-1]
    ]
    for number, rows in enumerate((RIGHT_AND_WRONG, reverse)):
        trainer, _ = training(model).trainer(rows, tmp_path / str(number))
        batch = first_batch(trainer)
        chosen, rejected = logps(trainer.model, batch).chunk(2)
        assert batch["ref_chosen_logps"].tolist() == pytest.approx(chosen.tolist(), abs=1e-4)
        assert batch["ref_rejected_logps"].tolist() == pytest.approx(rejected.tolist(), abs=1e-4)
        assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(math.log(2), abs=1e-6)


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


@pytest.mark.slow
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
    trainer, _ = training(model).trainer(RIGHT_AND_WRONG, tmp_path / "scratch")
    batch = first_batch(trainer)
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(math.log(2), abs=1e-6)


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


@pytest.mark.slow
def test_tokens_are_counted_with_both_answers_and_repeats(policy: Artifact, tmp_path: Path) -> None:
    work = training(policy)
    rows = [
        work.renderer.row(TrainingRow(id=row.id, prompt=row.prompt, completion=text), 64)
        for row in RIGHT_AND_WRONG
        for text in (row.chosen, row.rejected)
    ]
    settings = SETTINGS.model_copy(update={"epochs": 2})
    assert optimized(policy, tmp_path / "dpo", settings).tokens == 2 * sum(len(row.ids) for row in rows)


# Not marked slow: `make check` takes at least one step of DPO.
def test_one_step_is_a_step(policy: Artifact, tmp_path: Path) -> None:
    """Fewer pairs than make a batch, one epoch: a warm-up of the only step to its end would leave all as it was."""
    settings = SETTINGS.model_copy(update={"batch_size": 32, "learning_rate": 1e-3})
    optimized(policy, tmp_path / "dpo", settings)
    after = Artifact(path=str(tmp_path / "dpo"), kind="train_preferences", fingerprint="dpo")
    assert mean_logps(after) != mean_logps(policy)
