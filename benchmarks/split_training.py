"""Train tiny models of real classes in one process and in two, and compare: python benchmarks/split_training.py.

The models are random and have a few thousand weights: Gemma, Mistral and Llama, as transformers has them. Each is read,
finetuned with LoRA, trained on preferences, given a head that compares, saved, read again with the adapter attached and
with it merged, and then answers and scores. Two processes share each training in two ways: each has the whole model, or
the model is split (FSDP2). burnish starts them with torchrun, on the CPU, as `execution.needs` says. If bitsandbytes is
installed, a model whose layers are kept in 4 bits is finetuned, too.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from bench_output import put

from burnish.backends import hf, open_backend
from burnish.backends.load import renderer_of
from burnish.config import Decoding, DType, Execution, LoraConfig, ModelConfig, Objective, TrainSettings
from burnish.config.executors import Needs
from burnish.models.card import ModelCard, Weights, write_card
from burnish.protocols import SamplingKey
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Message, PairRow, PreferenceRow, Prompt, Role, TrainingRow

CLASSES = {"gemma": "GemmaConfig", "mistral": "MistralConfig", "llama": "LlamaConfig"}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
WIDE = SIZES | {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
"""The sizes of a model in 4 bits, whose scales need 64 weights in a row."""
SETTINGS = TrainSettings(epochs=2, batch_size=8, learning_rate=1e-2, lora=LoraConfig(r=4, alpha=8))
SHARED = {"models": Needs(processes=2)}
WAYS = {
    "alone": Execution(device="cpu", threads=1, micro_batch=2),
    "copies": Execution(device="cpu", threads=2, micro_batch=2, needs=SHARED),
    "split": Execution(device="cpu", threads=2, micro_batch=2, needs=SHARED, split_training="fsdp2"),
}
"""{how a training is shared: settings}. Each process has one thread."""


class Silent:
    """Shows no progress."""

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Nothing to do."""

    def advance(self, amount: int) -> None:
        """Nothing to do."""


def made(kind: str, into: Path, sizes: dict[str, Any] = SIZES) -> None:
    """Write a random model of a class, with the tokenizer of a built-in one."""
    import torch
    import transformers

    tokenizer = renderer_of(ModelConfig(source="builtin:strong")).tokenizer
    torch.manual_seed(0)
    config = getattr(transformers, CLASSES[kind])(vocab_size=len(tokenizer), **sizes)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(into)
    tokenizer.save_pretrained(into)


def train(folder: Path, into: Path, way: str) -> None:
    """Train the model in `folder` three times: on demonstrations, on preferences, and with a head that compares."""
    trainer = open_backend(WAYS[way], Silent(), {})
    places = {name: into / name for name in ("start", "trained", "preferred", "head")}
    for place in places.values():
        place.mkdir(parents=True)
    write_card(places["start"], ModelCard(base=_model(folder), content="tiny", weights=Weights.BASE))
    start = Artifact(path=str(places["start"]), kind="base", fingerprint="s")
    trainer.train(start, _rows(), SETTINGS, 0, places["trained"], checkpoints=2)
    policy = Artifact(path=str(places["trained"]), kind="train", fingerprint="t")
    slower = SETTINGS.model_copy(update={"learning_rate": 1e-3})
    trainer.train_preferences(policy, _preferences(), slower, Objective(), 0, places["preferred"])
    trainer.train_classifier(start, _pairs(), SETTINGS, 0, places["head"])


def _preferences() -> list[PreferenceRow]:
    return [PreferenceRow(id=row.id, prompt=row.prompt, chosen=row.completion, rejected="#### 0") for row in _rows()]


def _pairs() -> list[tuple[PairRow, PairRow]]:
    return [
        (
            PairRow(id=f"{row.id}:ab", prompt=row.prompt, first="#### 0", second=row.completion, second_better=True),
            PairRow(id=f"{row.id}:ba", prompt=row.prompt, first=row.completion, second="#### 0", second_better=False),
        )
        for row in _rows()
    ]


def _model(folder: Path, attach: bool = False, four_bits: bool = False) -> ModelConfig:
    adapter = "attach" if attach else "merge"
    return ModelConfig(
        source=str(folder), dtype=DType.FLOAT32, trained_adapter=adapter, quantise="nf4" if four_bits else None
    )


def _rows() -> list[TrainingRow]:
    # 20 rows: the last step of an epoch has 4.
    return [
        TrainingRow(
            id=f"{n:02d}", prompt=(Message(role=Role.USER, content=one.question),), completion=f"#### {one.answer}"
        )
        for n, one in enumerate(generate(20, 0))
    ]


def in_four_bits(folder: Path, place: Path) -> dict[str, Any]:
    """Finetune a model whose layers are kept in 4 bits, and return how many rows became likelier."""
    start, trained = place / "start-nf4", place / "trained-nf4"
    for one in (start, trained):
        one.mkdir()
    write_card(start, ModelCard(base=_model(folder, four_bits=True), content="nf4", weights=Weights.BASE))
    backend = hf.HfBackend(Execution(device="cpu", threads=1), Silent(), {})
    begin = Artifact(path=str(start), kind="base", fingerprint="s")
    before = [one.value for batch in backend.logprobs(begin, _rows(), frozenset()) for one in batch]
    backend.train(begin, _rows(), SETTINGS, 0, trained)
    model = Artifact(path=str(trained), kind="train", fingerprint="t")
    after = [one.value for batch in backend.logprobs(model, _rows(), frozenset()) for one in batch]
    return {
        "rows_that_became_likelier": sum(b > a for a, b in zip(before, after, strict=True)),
        "rows": len(after),
        "times_the_base_was_read": backend.runtime.resident.read,
    }


def used(folder: Path, trained: Path, attach: bool) -> dict[str, Any]:
    """Return the answers and log-probabilities of a finetuned model."""
    write_card(trained, ModelCard(base=_model(folder, attach), content="tiny", weights=Weights.ADAPTER))
    model = Artifact(path=str(trained), kind="train", fingerprint="t")
    backend = hf.HfBackend(Execution(device="cpu", threads=1), Silent(), {})
    prompts = [Prompt(id=row.id, messages=row.prompt) for row in _rows()[:4]]
    key = SamplingKey(seed=0, stage="split", round=0)
    decode = Decoding(beams=2, max_new_tokens=8)
    answers = [one.text for batch in backend.generate(model, prompts, decode, key, frozenset()) for one in batch]
    scores = [one.value for batch in backend.logprobs(model, _rows(), frozenset()) for one in batch]
    return {"answers": answers, "scores": scores}


def compared(kind: str, place: Path) -> dict[str, Any]:
    """Train a model of a class in each way, and return how far the ways are from one process."""
    from safetensors.torch import load_file

    folder = place / kind
    made(kind, folder)
    weights: dict[str, dict[str, Any]] = {}
    outputs: dict[str, dict[str, Any]] = {}
    for way in WAYS:
        into = place / f"{kind}-{way}"
        train(folder, into, way)
        weights[way] = {
            f"{file.parent.relative_to(into)}/{name}": one
            for file in sorted(into.rglob("adapter_model.safetensors"))
            for name, one in load_file(file).items()
        }
        outputs[way] = used(folder, into / "trained", attach=False)
    attached = used(folder, place / f"{kind}-alone" / "trained", attach=True)
    found: dict[str, Any] = {
        "adapters": sorted({name.rpartition("/")[0] for name in weights["alone"]}),
        "their_weights": sum(one.numel() for one in weights["alone"].values()),
    }
    for way in ("copies", "split"):
        assert weights[way].keys() == weights["alone"].keys()
        found[way] = {
            "largest_difference_of_a_weight": max(
                float((one - weights[way][name]).abs().max()) for name, one in weights["alone"].items()
            ),
            "same_answers": outputs[way]["answers"] == outputs["alone"]["answers"],
        }
    found["attached"] = {
        "largest_difference_of_a_log_probability": max(
            abs(a - b) for a, b in zip(attached["scores"], outputs["alone"]["scores"], strict=True)
        ),
        "same_answers": attached["answers"] == outputs["alone"]["answers"],
    }
    if importlib.util.find_spec("bitsandbytes") is not None:
        made(kind, place / f"{kind}-wide", WIDE)
        found["four_bits"] = in_four_bits(place / f"{kind}-wide", place / f"{kind}-alone")
    return found


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(CLASSES), action="append", help="one class; may be repeated")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = {kind: compared(kind, Path(scratch)) for kind in options.only or CLASSES}
    put({"command": "python benchmarks/split_training.py", "classes": found}, options.out)


if __name__ == "__main__":
    main()
