"""Reward models: TRL's trainer gets our token ids, and what it trained scores as it was trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from embedded import backend, base, user
from preferring import LORA
from tiny_models import tiny_model

from burnish.algorithms.rewards import RewardTrained
from burnish.config import DType, ModelConfig, TrainSettings
from burnish.errors import DataError
from burnish.models.card import Weights, read_card
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, PreferenceRow, TrainingRow

torch: Any = pytest.importorskip("torch")

from burnish.backends.passes import padding  # noqa: E402

# Every test but the last trains a model.
pytestmark = pytest.mark.slow
FULL = TrainSettings(epochs=8, learning_rate=2e-3, batch_size=16, lora=None)
STILL = TrainSettings(epochs=1, learning_rate=1e-12, batch_size=64, lora=None)
"""One step that moves nothing."""


def pairs(count: int = 64) -> list[PreferenceRow]:
    """Return pairs whose rejected answer names no equation. A head learns this at once."""
    return [
        PreferenceRow(id=str(i), prompt=user(p.question), chosen=p.solution, rejected=f"#### {p.answer}")
        for i, p in enumerate(generate(count, 5))
    ]


def sides(rows: list[PreferenceRow]) -> list[TrainingRow]:
    return [
        TrainingRow(id=f"{row.id}:{side}", prompt=row.prompt, completion=text)
        for row in rows
        for side, text in (("a", row.chosen), ("b", row.rejected))
    ]


def train(
    where: Path,
    settings: TrainSettings = FULL,
    rows: list[PreferenceRow] | None = None,
    centring: float = 0.01,
    model: ModelConfig | None = None,
) -> tuple[Artifact, RewardTrained]:
    start = base(where / "base") if model is None else base(where / "base", model)
    into = where / "rm"
    into.mkdir()
    done = backend().train_rewards(start, pairs() if rows is None else rows, settings, centring, 0, into)
    return Artifact(path=str(into), kind="train_reward", fingerprint="rm"), done


def rewards(model: Artifact, rows: list[TrainingRow]) -> dict[str, float]:
    return {score.id: score.value for batch in backend().rewards(model, rows, set()) for score in batch}


def margins(model: Artifact, rows: list[PreferenceRow]) -> list[float]:
    found = rewards(model, sides(rows))
    return [found[f"{row.id}:a"] - found[f"{row.id}:b"] for row in rows]


@pytest.mark.parametrize("settings", [FULL, LORA.model_copy(update={"epochs": 12, "learning_rate": 5e-3})])
def test_a_head_learns_what_is_chosen(tmp_path: Path, settings: TrainSettings) -> None:
    model, done = train(tmp_path, settings)
    held_out = [row for row in pairs(96) if int(row.id) >= 64]
    assert sum(margin > 0 for margin in margins(model, held_out)) >= 28
    card = read_card(Path(model.path))
    assert (card.reward, card.labels) == (True, 1)
    assert card.weights is (Weights.ADAPTER if settings.lora else Weights.FULL)
    assert not (Path(model.path) / "trainer").exists()
    assert done.curve[-1].accuracy > done.curve[0].accuracy or done.curve[0].accuracy > 0.9
    assert done.curve[-1].step == 64 * settings.epochs // 16


def test_the_loss_is_that_of_bradley_and_terry_with_centred_rewards(tmp_path: Path) -> None:
    model, done = train(tmp_path, STILL, centring=0.5)
    found = rewards(model, sides(pairs()))
    both = [(found[f"{row.id}:a"], found[f"{row.id}:b"]) for row in pairs()]
    loss = sum(math.log1p(math.exp(b - a)) + 0.5 * (a + b) ** 2 for a, b in both) / len(both)
    (point,) = done.curve
    assert point.loss == pytest.approx(loss, rel=1e-4)
    assert point.margin == pytest.approx(sum(a - b for a, b in both) / len(both), rel=1e-3, abs=1e-5)
    assert point.accuracy == pytest.approx(sum(a > b for a, b in both) / len(both))


def test_the_same_seed_gives_the_same_rewards(tmp_path: Path) -> None:
    found: list[dict[str, float]] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        model, _ = train(tmp_path / name, FULL.model_copy(update={"epochs": 1}))
        found.append(rewards(model, sides(pairs(8))))
    assert found[0] == found[1]


def test_a_pair_that_does_not_fit_is_left_out_and_named(tmp_path: Path) -> None:
    rows = pairs(8)
    long = PreferenceRow(id="long", prompt=rows[0].prompt, chosen="7 " * 2000, rejected="7")
    _, done = train(tmp_path, STILL, [*rows, long])
    assert done.too_long == ("long",)
    into = tmp_path / "nothing"
    into.mkdir()
    with pytest.raises(DataError, match="none of 1 pairs fits"):
        backend().train_rewards(base(tmp_path / "again"), [long], STILL, 0.0, 0, into)


def test_where_the_end_is_the_pad_token_the_head_still_reads_the_end(tmp_path: Path) -> None:
    # This tokenizer's pad token is its end of a sequence, and answers end in it.
    folder = tiny_model(tmp_path / "tiny")
    model, _ = train(tmp_path, STILL, pairs(4), model=ModelConfig(source=str(folder), dtype=DType.FLOAT32))
    loaded = backend()._load(model)
    assert loaded.renderer.tokenizer.pad_token_id == loaded.renderer.end != loaded.model.config.pad_token_id
    row = sides(pairs(1))[0]
    ids = loaded.renderer.judged(row, 10_000)
    with torch.inference_mode():
        whole, cut = (
            loaded.model.model(input_ids=torch.tensor([some])).last_hidden_state[0, -1] @ loaded.model.score.weight[0]
            for some in (ids, ids[:-1])
        )
    found = rewards(model, [row])[row.id]
    assert found == pytest.approx(float(whole), abs=1e-5)
    assert found != pytest.approx(float(cut), abs=1e-5)


class Words:
    """A tokenizer of eight tokens."""

    def __init__(self, pad: int | None) -> None:
        self.pad_token_id, self.unk_token_id, self.bos_token_id = pad, None, 1

    def __len__(self) -> int:
        return 8


def test_a_pad_token_is_never_the_last_token_of_a_row() -> None:
    assert padding(Words(0), [[3, 0, 2], [4, 2]]) == 0
    assert padding(Words(2), [[3, 2], [4, 2]]) == 1
    assert padding(Words(2), [[3, 2], [4, 1], [5, 0]]) == 3
    assert padding(Words(None), [[3, 2]]) == 1
