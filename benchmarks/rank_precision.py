"""How many of the first 20, 50 and 100 rows of `burnish rank` are rows whose label is known to be suspicious?

    python benchmarks/rank_precision.py --data DATA --noise FOLDER --model SMOLLM2.gguf
    python benchmarks/rank_precision.py --data DATA --sets planted-sums --ways texts model --model builtin:strong

DATA holds GSM8K and Alpaca with its expert revisions. FOLDER is what `benchmarks/real_noise.py FOLDER ...` made: MAWPS
with a weak model's wrong answers, and a model that was finetuned on 300 other rows. The sets:

- planted-gsm8k: 500 rows of GSM8K. In 100 of them an error is planted as the self-test does it (a number changed, words
  shuffled, the end cut off, another row's answer). 20 more rows repeat a question with a wrong number.
- planted-sums: the same with the stories of the embedded experiment, whose built-in models know them.
- mawps: 30 % of the answers are wrong answers of a weak model.
- alpaca: half of the rows are rows that experts revised (see benchmarks/expert_revisions.py).

The ways are `texts` (no model), `model` (the model of --model, which has seen no row), and `trusted` (the model of
FOLDER; mawps alone). Each result goes into the file of --out under its set and way. The others there stay as they are.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import expert_revisions

from burnish import __version__, backends
from burnish.algorithms.refinement import drawn
from burnish.config import Execution, ModelConfig, Template
from burnish.refinery.options import Options
from burnish.refinery.ranking import DEPTHS, RankedRow, rank
from burnish.report.terminal import Terminal
from burnish.selftest.planted import CORRUPTIONS, Planting, plant
from burnish.services.calls import CallBudget
from burnish.stats import wilson
from burnish.store import identity
from burnish.store.files import pretty, write_atomic
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Message, Role, TrainingRow, short_hash

SEED, ROWS, WRONG, TWICE = 1, 500, 100, 20
"""Of every draw (two signs were changed after a look at the planted sets of seed 0); rows of a planted set; those with
an error; those whose question comes again with a wrong number."""
REVISED = 150
"""Rows of each kind in the set `alpaca`, as in docs/results/expert-revisions."""
TRUSTED_TOKENS = 24
"""The most tokens of an answer of the model `trusted`, which learned to give an equation alone."""
OUT = Path(__file__).parents[1] / "docs" / "results" / "rank-precision.json"
SETS, WAYS = ("planted-gsm8k", "planted-sums", "mawps", "alpaca"), ("texts", "model", "trusted")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisySet:
    """A dataset, the kind of error of each row whose label is suspicious, and how answers differ and are generated."""

    path: Path
    suspicious: dict[str, str]
    differs: str
    max_new_tokens: int


def planted(rows: Sequence[tuple[str, str]], folder: Path, name: str, max_new_tokens: int) -> NoisySet:
    """Write a set with planted errors. `rows` are questions and right answers."""
    folder.mkdir(parents=True, exist_ok=True)
    by_id = {f"{name}-{number:04d}": row for number, row in enumerate(rows)}
    training = [
        TrainingRow(id=id_, prompt=(Message(role=Role.USER, content=question),), completion=answer)
        for id_, (question, answer) in by_id.items()
    ]
    chosen = drawn(by_id, WRONG, SEED, 0, "wrong")
    labels = {id_: answer for id_, (_, answer) in by_id.items()}
    kinds: dict[str, str] = {}
    for id_, kind, text in _worse([row for row in training if row.id in chosen], CORRUPTIONS):
        labels[id_], kinds[id_] = text, kind
    lines = [{"id": id_, "question": by_id[id_][0], "answer": label} for id_, label in labels.items()]
    # Rows whose own label is right, so that the copy contradicts a right one.
    again = drawn(by_id.keys() - kinds.keys(), TWICE, SEED, 0, "twice")
    for id_, _, text in _worse([row for row in training if row.id in again], (Planting.NUMBER,)):
        lines.append({"id": f"{id_}-again", "question": by_id[id_][0], "answer": text})
        kinds[f"{id_}-again"] = "contradiction"
    lines.sort(key=lambda line: short_hash("order", line["id"]))
    path = folder / f"{name}.jsonl"
    write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return NoisySet(path=path, suspicious=kinds, differs="number", max_new_tokens=max_new_tokens)


def _worse(rows: Sequence[TrainingRow], kinds: Sequence[Planting]) -> Iterable[tuple[str, str, str]]:
    """Yield (id, kind, worse label), as the self-test plants them. With one kind, rows are planted one by one."""
    # Each call plants the kinds in turn, and begins with a changed number.
    for some in [rows] if len(kinds) > 1 else [[row] for row in rows]:
        for one in plant(some, SEED):
            if one.planting in kinds:
                other = one.comparison.b if one.label_is_a else one.comparison.a
                yield one.comparison.example_id, str(one.planting), other.completion


def gsm8k(data: Path) -> list[tuple[str, str]]:
    """Return questions and answers of GSM8K's training rows, drawn by hash."""
    with gzip.open(data / "gsm8k" / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = {short_hash(line): json.loads(line) for line in file}
    return [(rows[id_]["question"], rows[id_]["answer"]) for id_ in sorted(drawn(rows, ROWS, SEED, 0, "rows"))]


def of_file(path: Path, column: str, differs: str, max_new_tokens: int) -> NoisySet:
    """Return a set whose rows say in a column whether their label is suspicious."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    marked = {line["id"]: column for line in lines if line[column]}
    return NoisySet(path=path, suspicious=marked, differs=differs, max_new_tokens=max_new_tokens)


def noisy_set(name: str, data: Path, noise: Path | None, folder: Path) -> NoisySet:
    """Make a set, or take it from where it is."""
    match name:
        case "planted-gsm8k":
            return planted(gsm8k(data), folder, name, 256)
        case "planted-sums":
            return planted([(one.question, one.solution) for one in generate(ROWS, SEED)], folder, name, 48)
        case "mawps":
            assert noise is not None, "mawps needs --noise FOLDER"
            return of_file(noise / "noisy.jsonl", "replaced", "number", 64)
        case _:
            alpaca = data / "alpaca"
            files = (alpaca / "alpaca_subset.jsonl.gz", alpaca / "coachlm_expert_revision.jsonl.gz")
            expert_revisions.prepare(folder, *files, REVISED)
            return of_file(folder / "alpaca.jsonl", "revised", "text", 96)


def measured(rows: Sequence[RankedRow], suspicious: dict[str, str]) -> dict[str, Any]:
    """Return the share of suspicious rows among the first rows and among all, and what each sign found."""
    by_sign = {sign for row in rows for sign in row.signs}
    return {
        "with_a_sign": sum(row.score > 0 for row in rows),
        "base_rate": _share(rows, suspicious),
        "precision": {
            str(k): {
                **_share(rows[:k], suspicious),
                "kinds": dict(sorted(Counter(suspicious[row.id] for row in rows[:k] if row.id in suspicious).items())),
            }
            for k in DEPTHS
            if k <= len(rows)
        },
        "signs": {
            str(sign): _share([row for row in rows if sign in row.signs], suspicious) for sign in sorted(by_sign)
        },
        "kinds": dict(sorted(Counter(suspicious.values()).items())),
    }


def _share(rows: Sequence[RankedRow], suspicious: dict[str, str]) -> dict[str, Any]:
    """Return how many of the rows are suspicious, with Wilson's interval."""
    found = wilson(sum(row.id in suspicious for row in rows), len(rows))
    return {"value": found.value, "n": found.n, "ci95": found.ci95, "count": round(found.value * found.n)}


def ranking_of(noisy: NoisySet, model: str | None, tokens: int, template: str | None, store: Path) -> list[RankedRow]:
    """Rank a set. `tokens` are the most of an answer, and `template` says how prompts are rendered."""
    changes = ("decode.beams=1", f"decode.max_new_tokens={tokens}", "execution.threads=1")
    options = Options(
        data=str(noisy.path),
        model="",
        differs=noisy.differs,
        template=template,
        # Columns that only this script reads.
        extra_columns="gold,replaced,revised",
        changes=changes,
    )
    return rank(options, store, CallBudget(), model).rows


def _model(way: str, model: str | None, noise: Path | None) -> str | None:
    """Return the model of a way, or None for texts alone."""
    if way == "texts":
        return None
    if way == "model":
        assert model is not None, "the way `model` needs --model"
        return model
    assert noise is not None, "the way `trusted` needs --noise"
    assert model is not None, "the way `trusted` needs --model, the base of the model in --noise"
    return str(_merged(noise, model))


def _merged(noise: Path, base: str) -> Path:
    """Write the model that benchmarks/real_noise.py finetuned as whole weights, since its base is a GGUF file."""
    place = noise / "merged"
    if not (place / "config.json").exists():
        place.mkdir(exist_ok=True)
        execution = Execution(threads=1)
        config = ModelConfig(source=base, template=Template.PAPER, dtype=backends.fast_dtype(execution))
        opened = backends.open_backend(execution, Terminal(), {identity.of_files([Path(base)]).fingerprint: config})
        finetuned = Artifact(path=str(noise / "likelihood"), kind="train", fingerprint="likelihood")
        opened.export(finetuned, place, merge=True)
    return place


def main() -> None:
    """Measure the sets and ways that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--noise", type=Path, help="The folder of benchmarks/real_noise.py.")
    parser.add_argument("--model", help="The model of the way `model`.")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--store", type=Path, help="Where finished stages are kept [default: nowhere].")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sets:
            noisy = noisy_set(name, options.data, options.noise, Path(folder))
            for way in options.ways:
                if way == "trusted" and name != "mawps":
                    continue
                model = _model(way, options.model, options.noise)
                trusted = way == "trusted"
                tokens = TRUSTED_TOKENS if trusted else noisy.max_new_tokens
                # benchmarks/real_noise.py finetuned its model with the paper's template.
                template = "paper" if trusted else None
                rows = ranking_of(noisy, model, tokens, template, options.store or Path(folder) / "store")
                result = {
                    "set": name,
                    "way": way,
                    "model": None if model is None else Path(options.model).name,
                    "max_new_tokens": None if model is None else tokens,
                    "rows": len(rows),
                    **measured(rows, noisy.suspicious),
                    "burnish_version": __version__,
                    "command": _command(name, way, options.model),
                }
                _write(options.out, f"{name} {way}", result)
                print(json.dumps(result))


def _write(path: Path, key: str, result: dict[str, Any]) -> None:
    """Put a result into the file beside those of other sets and ways."""
    there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results = {**there.get("results", {}), key: result}
    write_atomic(path, pretty({"results": dict(sorted(results.items()))}))


def _command(name: str, way: str, model: str | None) -> str:
    """Return the command that gives a result again. Folders are named by their option, since places are private."""
    words = ["python benchmarks/rank_precision.py --data DATA", f"--sets {name} --ways {way}"]
    words += ["--noise FOLDER"] if name == "mawps" else []
    words += [f"--model {Path(model).name}"] if way != "texts" and model is not None else []
    return " ".join(words)


if __name__ == "__main__":
    main()
