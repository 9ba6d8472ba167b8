"""Make a dataset with real noise, and a judge of it: MAWPS's problems of one operation, 30 % of the answers wrong.

    python benchmarks/real_noise.py FOLDER --mawps MAWPS.jsonl.gz --model SMOLLM2.gguf
    burnish refine FOLDER/noisy.jsonl --annotator judge.yaml ...          (docs/results/real-noise/README.md)

A weak model (the base cut to its first layers, finetuned on some trusted rows) answers the other rows; its wrong
answers replace the right ones in 30 % of them. The judge is the whole model finetuned on the trusted rows: it prefers
what it finds more likely, and has never seen a row that is refined. `--classifier` trains another judge, a two-way head
(appendix B's q~) that learned to tell trusted answers from wrong ones of the weak model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish import backends
from burnish.algorithms.comparisons import both_orders
from burnish.algorithms.refinement import drawn
from burnish.backends import open_backend
from burnish.config import Decoding, Execution, LoraConfig, ModelConfig, Template, TrainSettings, WordProblemsTask
from burnish.models.card import ModelCard, Weights, write_card
from burnish.protocols import Backend, SamplingKey
from burnish.report.terminal import Terminal
from burnish.store import identity
from burnish.store.files import pretty, write_atomic
from burnish.tasks import make_task
from burnish.tasks.numbers import NumericAnswers
from burnish.types import (
    Artifact,
    Comparison,
    Completion,
    Demonstration,
    DemonstrationSource,
    Example,
    PairRow,
    Prompt,
    TrainingRow,
    short_hash,
)

TRUSTED, WEAK, NOISE, SEED = 300, 120, 0.3, 0
"""Rows whose answers are trusted; those on which the weak model is trained; the share of wrong answers."""
WEAK_LAYERS, SAMPLES, TEMPERATURE = 28, 3, 0.8
TRAIN = TrainSettings(epochs=2, learning_rate=1e-3, batch_size=8, lora=LoraConfig(r=16, alpha=32))
JUDGE = TrainSettings(epochs=2, learning_rate=5e-4, batch_size=8, lora=LoraConfig(r=16, alpha=32))
DECODE = Decoding(beams=1, max_new_tokens=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote for an example."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where things are made, and by what."""

    folder: Path
    model: ModelConfig
    weights: Artifact
    backend: Backend

    def base(self, name: str, layers: int | None = None) -> Artifact:
        """Describe the base model."""
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        model = self.model.model_copy(update={"layers": layers})
        write_card(place, ModelCard(base=model, content=self.weights.fingerprint, weights=Weights.BASE))
        return Artifact(path=str(place), kind="base", fingerprint=name)


def one_operation(mawps: Path) -> list[Example]:
    """Return MAWPS's training problems whose equation has one operation, each question once, the first by hash."""
    examples = make_task(WordProblemsTask(kind="word_problems", source=str(mawps))).load().train
    once = {example.group: example for example in examples if _operations(str(example.reference)) == 1}
    order = drawn([example.id for example in once.values()], len(once), SEED, 0, "order")
    return sorted(once.values(), key=lambda example: (example.id not in order, example.id))


def _operations(reference: str) -> int:
    return sum(reference.partition("=")[0].count(sign) for sign in "+-*/")


def finetuned(bench: Bench, name: str, rows: Sequence[Example], layers: int | None = None) -> Artifact:
    """Finetune the base, cut to its first layers or whole, or take the model that is there."""
    place = bench.folder / name
    if not (place / "model.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        training = [TrainingRow(id=e.id, prompt=e.prompt, completion=str(e.reference)) for e in rows]
        bench.backend.train(bench.base(f"{name}-base", layers), training, TRAIN, SEED, place)
    return Artifact(path=str(place), kind="train", fingerprint=name)


def answers(bench: Bench, model: Artifact, rows: Iterable[Example], name: str, samples: int = 0) -> list[Answer]:
    """Return the weak model's finished answers, greedy or sampled, or those that are there."""
    path = bench.folder / f"{name}.json"
    if not path.exists():
        decode = DECODE.model_copy(update={"temperature": TEMPERATURE}) if samples else DECODE
        prompts = [Prompt(id=e.id, messages=e.prompt, sample=n) for e in rows for n in range(samples or 1)]
        key = SamplingKey(seed=SEED, stage=name, round=0)
        found: list[Completion] = []
        for batch in bench.backend.generate(model, prompts, decode, key, frozenset()):
            found.extend(batch)
        write_atomic(path, pretty(sorted({(one.id, one.text) for one in found if one.finished})))
    return [Answer(id_, text) for id_, text in json.loads(path.read_text())]


def wrong_ones(rows: Iterable[Example], given: Iterable[Answer]) -> list[Answer]:
    """Return the answers to these rows that are wrong."""
    known = {e.id: e for e in rows}
    return [one for one in given if one.id in known and not NumericAnswers().grade(known[one.id], one.text).correct]


def classifier(bench: Bench, trusted: Sequence[Example], wrong: Sequence[Answer]) -> None:
    """Train the judge on trusted answers against the weak model's wrong ones, in both orders."""
    place = bench.folder / "classifier"
    if (place / "model.json").exists():
        return
    place.mkdir(parents=True, exist_ok=True)
    known = {e.id: e for e in trusted}
    rows: list[tuple[PairRow, PairRow]] = []
    for one in wrong:
        e = known[one.id]
        worse = Demonstration(example_id=e.id, completion=one.text, source=DemonstrationSource.WEAK)
        right = Demonstration(example_id=e.id, completion=str(e.reference), source=DemonstrationSource.GOLD)
        ab, ba = both_orders(Comparison(example_id=e.id, a=worse, b=right), e.prompt)
        rows.append((_labelled(ab, second_better=True), _labelled(ba, second_better=False)))
    print(f"the judge learns from {len(rows)} pairs")
    bench.backend.train_classifier(bench.base("judge-base"), rows, JUDGE, SEED, place)


def _json_lines(lines: Iterable[object]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines if line is not None).encode()


def _pair(line: dict[str, Any], wrong: str | None) -> dict[str, Any] | None:
    """Return a labelled pair of a row that the weak model got wrong; the sides alternate by the id's hash."""
    if wrong is None:
        return None
    first = int(short_hash("side", line["id"]), 16) % 2 == 0
    outputs = (line["gold"], wrong) if first else (wrong, line["gold"])
    return {"input": line["question"], "output_1": outputs[0], "output_2": outputs[1], "label": 1 if first else 2}


def _labelled(row: PairRow, *, second_better: bool) -> PairRow:
    return PairRow(id=row.id, prompt=row.prompt, first=row.first, second=row.second, second_better=second_better)


def noisy(bench: Bench, rows: Sequence[Example], weak: Sequence[Answer]) -> None:
    """Write the dataset: `answer` is what is to be refined, `gold` the right one, `replaced` whether it is wrong.

    Beside it `pairs.jsonl`, right against wrong, on which `burnish selftest --pairs` measures the judge.
    """
    wrong = {one.id: one.text for one in wrong_ones(rows, weak)}
    count = round(NOISE * len(rows))
    replaced = drawn(wrong, count, SEED, 0, "noise")
    lines = [
        {
            "id": e.id,
            "question": e.prompt[0].content,
            "answer": wrong[e.id] if e.id in replaced else e.reference,
            "gold": e.reference,
            "replaced": e.id in replaced,
        }
        for e in rows
    ]
    write_atomic(bench.folder / "noisy.jsonl", _json_lines(lines))
    write_atomic(bench.folder / "pairs.jsonl", _json_lines(map(_pair, lines, map(wrong.get, (e.id for e in rows)))))
    accuracy = 1 - len(wrong) / len(rows)
    print(f"{len(rows)} rows, {len(replaced)} with a wrong answer; the weak model answers {accuracy:.1%} of them")


def bench_of(folder: Path, source: str) -> Bench:
    """Open the backend with the base model."""
    execution = Execution()
    model = ModelConfig(source=source, template=Template.PAPER, dtype=backends.fast_dtype(execution))
    weights = identity.of_files([Path(source)])
    return Bench(
        folder=folder,
        model=model,
        weights=weights,
        backend=open_backend(execution, Terminal(), {weights.fingerprint: model}),
    )


def main() -> None:
    """Make everything that is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mawps", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--classifier", action="store_true", help="Train the classifier too.")
    options = parser.parse_args()
    bench = bench_of(options.folder, options.model)
    examples = one_operation(options.mawps)
    trusted, rest = examples[:TRUSTED], examples[TRUSTED:]
    weak = finetuned(bench, "weak", trusted[:WEAK], WEAK_LAYERS)
    noisy(bench, rest, answers(bench, weak, rest, "answers"))
    finetuned(bench, "likelihood", trusted)
    if options.classifier:
        classifier(bench, trusted, wrong_ones(trusted, answers(bench, weak, trusted, "samples", SAMPLES)))


if __name__ == "__main__":
    main()
