"""Preference training by the plain trainer against TRL's DPOTrainer, and both against the formulas of the papers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from embedded import backend, trained

from burnish.config import Loss, Objective
from burnish.protocols import Trained
from burnish.types import Artifact, PreferenceRow

torch: Any = pytest.importorskip("torch")

from preferring import LORA, PLAIN, RIGHT_AND_WRONG, SETTINGS, training  # noqa: E402
from safetensors.torch import load_file  # noqa: E402 # pyright: ignore[reportUnknownVariableType]

from burnish.backends import dpo  # noqa: E402
from burnish.backends.dpo import PreferenceTraining  # noqa: E402
from burnish.backends.preferences import PairTokens, losses  # noqa: E402


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """All weights, finetuned for four steps."""
    return trained(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An adapter, finetuned for four steps."""
    return trained(tmp_path_factory.mktemp("adapter"), LORA)


def trl(work: PreferenceTraining, rows: list[PreferenceRow], scratch: Path) -> tuple[Any, list[PairTokens]]:
    """Return TRL's trainer, which trains the models that our own way does not serve, and what it trains on."""
    model = work._model()
    pairs = work.tokens(model, rows)
    return work.trl(model, pairs, scratch), pairs


def unserved(model: Any) -> bool:
    return False


def first_batch(trainer: Any) -> dict[str, Any]:
    return next(iter(trainer.get_train_dataloader()))


def logps(model: Any, batch: dict[str, Any]) -> Any:
    """Return log p(answer and end | prompt) of each row of a batch, in nats, the chosen ones first."""
    with torch.no_grad():
        logits_BTV = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    targets_BT = batch["input_ids"][:, 1:]
    logp_BT = torch.log_softmax(logits_BTV.double(), dim=-1).gather(2, targets_BT.unsqueeze(2)).squeeze(2)
    return (logp_BT * batch["completion_mask"][:, 1:]).sum(dim=1)


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


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(("beta", "flip_rate"), [(0.1, 0.1), (0.5, 0.0), (1.0, 0.4)])
def test_a_loss_is_its_formula(loss: Loss, beta: float, flip_rate: float) -> None:
    objective = Objective(loss=loss, beta=beta, flip_rate=flip_rate)
    lengths = [(3 + place, 9 - place) for place in range(len(RATIOS))]
    chosen, rejected = torch.tensor(RATIOS).T
    found = losses(objective, chosen, rejected, torch.tensor(lengths).T)
    expected = [FORMULAS[loss](objective, ratio, both) for ratio, both in zip(RATIOS, lengths, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(("beta", "flip_rate"), [(0.1, 0.1), (0.5, 0.0), (1.0, 0.4)])
def test_a_loss_of_trl_is_its_formula(
    policy: Artifact, tmp_path: Path, loss: Loss, beta: float, flip_rate: float
) -> None:
    objective = Objective(loss=loss, beta=beta, flip_rate=flip_rate)
    trainer, pairs = trl(training(policy, objective), RIGHT_AND_WRONG[: len(RATIOS)], tmp_path)
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


# --- the same as TRL

SHORT = SETTINGS.model_copy(update={"learning_rate": 2e-4, "epochs": 2})
WAYS: dict[str, tuple[str, Objective, int, dict[str, Any]]] = {
    **{str(loss): ("policy", Objective(loss=loss, flip_rate=0.2), 32, {}) for loss in Loss},
    "an adapter": ("adapter", PLAIN, 32, {}),
    "four passes a step": ("policy", PLAIN, 32, {"micro_batch": 2}),
    # The third step of an epoch has four pairs.
    "a short last step": ("policy", PLAIN, 20, {"micro_batch": 4}),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_weights_and_the_curve_are_those_of_trl(
    way: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32. The largest difference of a weight that was seen is 2e-7."""
    form, objective, pairs, execution = WAYS[way]
    model: Artifact = request.getfixturevalue(form)
    found: list[tuple[Trained, dict[str, Any]]] = []
    for name in ("ours", "theirs"):
        if name == "theirs":
            monkeypatch.setattr(dpo, "serves", unserved)
        into = tmp_path / name
        into.mkdir()
        work = backend(**execution)
        trained = work.train_preferences(model, RIGHT_AND_WRONG[:pairs], SHORT, objective, 0, into)
        found.append((trained, load_file(next(into.glob("*model.safetensors")))))
    (ours, mine), (theirs, other) = found
    assert ours.tokens == theirs.tokens
    assert [point.step for point in ours.curve] == [point.step for point in theirs.curve]
    for point, expected in zip(ours.curve, theirs.curve, strict=True):
        for value in ("loss", "chosen_logp", "rejected_logp", "margin"):
            assert getattr(point, value) == pytest.approx(getattr(expected, value), rel=1e-4, abs=1e-4)
    assert mine.keys() == other.keys()
    start = load_file(next(Path(model.path).glob("*model.safetensors")))
    assert max(float((weights - start[name]).abs().max()) for name, weights in mine.items()) > 1e-4
    for name, weights in mine.items():
        torch.testing.assert_close(weights, other[name], rtol=0, atol=1e-5)


def test_the_trainer_sees_our_ids_with_one_end_an_answer(policy: Artifact, tmp_path: Path) -> None:
    work = training(policy, settings=SETTINGS.model_copy(update={"batch_size": 32}))
    trainer, _ = trl(work, RIGHT_AND_WRONG, tmp_path)
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
        trainer, _ = trl(training(model), rows, tmp_path / str(number))
        batch = first_batch(trainer)
        chosen, rejected = logps(trainer.model, batch).chunk(2)
        assert batch["ref_chosen_logps"].tolist() == pytest.approx(chosen.tolist(), abs=1e-4)
        assert batch["ref_rejected_logps"].tolist() == pytest.approx(rejected.tolist(), abs=1e-4)
        assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(math.log(2), abs=1e-6)
