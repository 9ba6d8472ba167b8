"""Train tiny models of real classes in one process and in two, and compare: python benchmarks/split_training.py.

The models are random and have a few thousand weights: Gemma, Mistral and Llama, as transformers has them. Each is read,
finetuned with LoRA, saved, read again with the adapter attached and with it merged, and then answers and scores. Two
processes share a training in two ways: each has the whole model, or the model is split (FSDP2 of accelerate). torchrun
starts them, on the CPU.

accelerate does not split models on a CPU. So this program tells it that these processes may, and lets PyTorch's FSDP2
do it with gloo. burnish itself refuses such a training, because accelerate would pass over it without a word. If
bitsandbytes is installed, a model whose layers are kept in 4 bits is finetuned, too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_output import put

from burnish.backends import hf
from burnish.backends.device import is_first
from burnish.backends.load import renderer_of
from burnish.config import Decoding, DType, Execution, LoraConfig, ModelConfig, TrainSettings
from burnish.models.card import ModelCard, Weights, write_card
from burnish.protocols import SamplingKey
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Message, Prompt, Role, TrainingRow

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
WAYS = {"alone": 1, "copies": 2, "split": 2}
"""{how a training is shared: processes}"""


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


def force_split() -> None:
    """Let accelerate split models over processes on a CPU, where it has no such way."""
    from accelerate import DistributedType
    from accelerate.state import AcceleratorState, PartialState

    original: Any = AcceleratorState.__init__

    def initialised(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        original(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and self.distributed_type is DistributedType.MULTI_CPU:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            # As accelerate does for GPUs.
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP  # pyright: ignore[reportPrivateUsage]

    AcceleratorState.__init__ = initialised  # pyright: ignore[reportAttributeAccessIssue] see above
    hf.check_split = lambda device, execution: None  # pyright: ignore[reportUnknownLambdaType, reportAttributeAccessIssue]


def train(folder: Path, into: Path, way: str) -> None:
    """Finetune the model in `folder`. All processes of a training call this."""
    if way == "split":
        force_split()
    execution = Execution(device="cpu", threads=1, micro_batch=2, split_training="fsdp2" if way == "split" else "none")
    trainer = hf.HfBackend(execution, Silent(), {})
    card = ModelCard(base=_model(folder), content="tiny", weights=Weights.BASE)
    start = into / "start"
    if is_first():
        start.mkdir(parents=True)
        write_card(start, card)
        (into / "ready").touch()
    while not (into / "ready").exists():  # the first process writes for both
        pass
    trained = into / "trained"
    trained.mkdir(exist_ok=True)
    trainer.train(Artifact(path=str(start), kind="base", fingerprint="s"), _rows(), SETTINGS, 0, trained)


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
    for way, processes in WAYS.items():
        into = place / f"{kind}-{way}"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
        arguments = ["--folder", str(folder), "--into", str(into), "--way", way]
        subprocess.run([*command, __file__, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)
        weights[way] = load_file(into / "trained" / "adapter_model.safetensors")
        outputs[way] = used(folder, into / "trained", attach=False)
    attached = used(folder, place / f"{kind}-alone" / "trained", attach=True)
    found: dict[str, Any] = {"weights_of_the_adapter": sum(one.numel() for one in weights["alone"].values())}
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
    for hidden in ("--folder", "--into"):
        parser.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        train(options.folder, options.into, options.way)
        return
    with tempfile.TemporaryDirectory() as scratch:
        found = {kind: compared(kind, Path(scratch)) for kind in options.only or CLASSES}
    put({"command": "python benchmarks/split_training.py", "classes": found}, options.out)


if __name__ == "__main__":
    main()
