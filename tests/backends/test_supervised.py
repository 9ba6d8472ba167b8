"""Finetuning by transformers' Trainer gives the weights of TRL's SFTTrainer, with the head at fewer positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from embedded import QUICK, ROWS, STRONG, backend, base, trained

from burnish.config import LoraConfig, Optimizer, Schedule, TrainSettings

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402 # pyright: ignore[reportUnknownVariableType]
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM  # noqa: E402
from trl.trainer.sft_trainer import SFTTrainer  # noqa: E402

from burnish.backends import train  # noqa: E402
from burnish.backends.load import load_base, renderer_of  # noqa: E402
from burnish.backends.passes import padded  # noqa: E402
from burnish.backends.supervised import CHOSEN, Supervised, batch_of, loss_of, serves  # noqa: E402

LORA = QUICK.model_copy(update={"lora": LoraConfig(r=4, alpha=8)})
WAYS: dict[str, tuple[TrainSettings, dict[str, Any]]] = {
    "one pass a step": (QUICK, {}),
    "four passes a step": (QUICK, {"micro_batch": 4}),
    # 64 rows: the third step of an epoch has 16 rows.
    "a short last step, three epochs": (QUICK.model_copy(update={"batch_size": 24, "epochs": 3}), {"micro_batch": 8}),
    "a last step with fewer rows than passes": (QUICK.model_copy(update={"batch_size": 31}), {"micro_batch": 1}),
    "one and a half epochs": (QUICK.model_copy(update={"epochs": 1.5, "warmup": 0.5}), {}),
    "an adapter": (LORA, {"micro_batch": 4}),
    "an adapter with gradient checkpointing": (LORA.model_copy(update={"gradient_checkpointing": True}), {}),
    "all weights with gradient checkpointing": (QUICK.model_copy(update={"gradient_checkpointing": True}), {}),
    "another optimizer": (QUICK.model_copy(update={"optimizer": Optimizer.ADAFACTOR}), {}),
}


def unserved(model: Any) -> bool:
    return False


def finetuned(where: Path, settings: TrainSettings, **execution: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the weights of the model and of its checkpoints."""
    start, into = base(where / "base"), where / "model"
    into.mkdir()
    backend(**execution).train(start, ROWS, settings, 0, into, checkpoints=2)
    name = "adapter_model.safetensors" if settings.lora else "model.safetensors"
    assert sorted(path.name for path in into.glob("checkpoint-*")) == ["checkpoint-01", "checkpoint-02"]
    return load_file(into / name), [load_file(path / name) for path in sorted(into.glob("checkpoint-*"))]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_weights_and_the_loss_are_those_of_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """In float32. The largest difference of a weight that was seen is 7e-6 in an adapter, and 4e-7 elsewhere.

    Some weights of an adapter have gradients near zero, of which Adam takes hardly more than the sign.
    """
    trainers: list[Any] = []
    run = train.run

    def watched(trainer: Any, settings: TrainSettings) -> None:
        trainers.append(trainer)
        run(trainer, settings)

    monkeypatch.setattr(train, "run", watched)
    settings, execution = WAYS[way]
    ours = finetuned(tmp_path / "ours", settings, **execution)
    monkeypatch.setattr(train, "serves", unserved)
    theirs = finetuned(tmp_path / "theirs", settings, **execution)
    plain, reference = trainers
    assert not isinstance(plain, SFTTrainer)
    assert isinstance(reference, SFTTrainer)
    assert plain.state.global_step == reference.state.global_step
    losses = [trainer.state.log_history[-1]["train_loss"] for trainer in trainers]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    start = load_base(STRONG, torch.float32, None).state_dict()
    for mine, other in zip((ours[0], *ours[1]), (theirs[0], *theirs[1]), strict=True):
        assert mine.keys() == other.keys()
        for name, weights in mine.items():
            torch.testing.assert_close(weights, other[name], rtol=0, atol=5e-5 if settings.lora else 1e-5)
        # Training moves weights by far more than the tolerance.
        moved = max(float((weights - start.get(name, 0)).abs().max()) for name, weights in mine.items())
        assert moved > 1e-3


def test_the_gradient_of_a_step_is_that_of_the_models_own_loss() -> None:
    renderer = renderer_of(STRONG)
    tokens = [renderer.row(row, 64) for row in ROWS[:6]]
    pad = renderer.tokenizer.pad_token_id
    one, other = (load_base(STRONG, torch.float32, None) for _ in range(2))
    batch = batch_of(tokens, pad)
    other(**padded([row.ids for row in tokens], pad), labels=batch["labels"]).loss.backward()
    count = sum(len(row.ids) - row.prompt_length for row in tokens)
    assert int(batch[CHOSEN].sum()) == int((batch["labels"] != -100).sum()) == count
    with Supervised(one):
        for part in (tokens[:4], tokens[4:], []):
            batch = batch_of(part, pad)
            labels = batch.pop("labels")
            loss_of(one(**batch), labels, count).backward()
    for (name, mine), theirs in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6, msg=name)
    assert one(**padded([tokens[0].ids], pad)).logits.shape[1] == len(tokens[0].ids)  # the hooks are gone


SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def test_a_mixture_of_experts_and_a_model_that_does_not_call_its_head_are_left_to_trl() -> None:
    class Uncalled(LlamaForCausalLM):
        """Computes its logits from the head's weights, without the head."""

        def forward(self, input_ids: Any, **_: Any) -> Any:  # type: ignore[override]
            hidden_BTH = self.model(input_ids=input_ids).last_hidden_state
            return type("Output", (), {"logits": hidden_BTH @ self.lm_head.weight.T})

    assert serves(LlamaForCausalLM(LlamaConfig(**SIZES)))
    assert not serves(MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=2)))
    assert not serves(Uncalled(LlamaConfig(**SIZES)))


def test_an_adapter_is_served_as_its_model_is(tmp_path: Path) -> None:
    from burnish.backends.train import Training

    assert serves(Training(Path(base(tmp_path).path), LORA, 0, backend().runtime)._model())


def test_a_model_that_is_left_to_trl_is_trained_and_saved_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {path.name for path in Path(trained(tmp_path / "ours").path).iterdir()}
    monkeypatch.setattr(train, "serves", unserved)
    assert {path.name for path in Path(trained(tmp_path / "theirs").path).iterdir()} == ours


@pytest.mark.slow
def test_a_constant_schedule_can_warm_up(tmp_path: Path) -> None:
    constant = QUICK.model_copy(update={"schedule": Schedule.CONSTANT, "warmup": 0.0})
    flat, _ = finetuned(tmp_path / "flat", constant)
    rising, _ = finetuned(tmp_path / "rising", constant.model_copy(update={"warmup": 0.5}))
    assert any(not torch.equal(flat[name], rising[name]) for name in flat)
