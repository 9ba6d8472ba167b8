"""Training, generation and scoring through the backend against bare PyTorch loops, in turn, on the same rows.

    python benchmarks/backend.py --model builtin:strong --rows 1024 --threads 1 --out docs/results/backend-embedded.json
    python benchmarks/backend.py --model path/to/SmolLM2-135M.gguf --out docs/results/backend-smollm2.json

A bare loop has no trainer, no callbacks and no bookkeeping. In generation and scoring both sides begin with texts, and
reading the model is not counted. Each loop runs with several batch sizes, and the backend
with its own, in every repeat. The ratio is that of tokens a second, backend / bare loop at its best batch size. It is
taken within each repeat, so that a drifting machine moves both sides. Medians, smallest and largest values are printed.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bench_bare
import torch
from bench_models import Clock, as_artifact, backend_of, prepared, prompts_of, rows_of, settings_of, tokens_of
from bench_output import put
from bench_time import CLOCKS, Spent, middle, timed

from burnish.config import Decoding, ModelConfig, TrainSettings
from burnish.protocols import SamplingKey
from burnish.types import Artifact, TrainingRow

Measured = tuple[int, Spent]
"""Tokens, and the seconds that they took."""
Kind = tuple[Callable[[int], Measured], Sequence[int], Callable[[], Measured]]
"""The bare loop, which takes a batch size, the batch sizes to try, and the backend."""
OURS = "backend"


def training(
    base: Artifact, config: ModelConfig, rows: list[TrainingRow], settings: TrainSettings
) -> tuple[Measured, Measured]:
    """Train through the backend. Returns its steps alone, and the whole call with loading and saving.

    The steps count from the end of the first one to that of the last one, as in the bare loop. Rows are shuffled, so
    every step counts for the same number of tokens.
    """
    clock, tokens = Clock(), tokens_of(config, rows)
    with tempfile.TemporaryDirectory() as into:
        _, whole = timed(lambda: backend_of(clock).train(base, rows, settings, 0, Path(into)))
    steps, first, last = len(clock.ends), clock.ends[0], clock.ends[-1]
    spent = Spent(last.cpu - first.cpu, last.wall - first.wall)
    return (tokens * (steps - 1) // steps, spent), (tokens, whole)


def generation(backend: Any, base: Artifact, rows: list[TrainingRow], new_tokens: int) -> Measured:
    """Answer greedily through the backend, which has loaded the model before."""
    decode, key = Decoding(beams=1, max_new_tokens=new_tokens), SamplingKey(seed=0, stage="bench", round=0)
    batches, spent = timed(lambda: list(backend.generate(base, prompts_of(rows), decode, key, set())))
    return sum(answer.tokens for batch in batches for answer in batch), spent


def scoring(backend: Any, base: Artifact, config: ModelConfig, rows: list[TrainingRow]) -> Measured:
    """Compute log-probabilities through the backend, which has loaded the model before."""
    _, spent = timed(lambda: list(backend.logprobs(base, rows, set())))
    return tokens_of(config, rows), spent


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything several times, bare loops and backend in turn."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        config = prepared(options.model, place / "model")
        base = as_artifact(config, place / "base")
        settings, rows = settings_of(config, options.batch_size), rows_of(options.rows, options.data)
        bench_bare.training(config, rows[:8], settings, 8)  # warm-up
        backend, whole_calls = backend_of(), list[Measured]()

        def train() -> Measured:
            steps, whole = training(base, config, rows, settings)
            whole_calls.append(whole)
            return steps

        kinds: dict[str, Kind] = {
            "training": (lambda size: bench_bare.training(config, rows, settings, size), options.micro, train),
            "generation": (
                lambda size: bench_bare.generation(base, rows, options.new_tokens, size),
                options.batch,
                lambda: generation(backend, base, rows, options.new_tokens),
            ),
            "scoring": (
                lambda size: bench_bare.scoring(base, rows, size),
                options.batch,
                lambda: scoring(backend, base, config, rows),
            ),
        }
        generation(backend, base, rows[:1], 1)  # reads the model
        report = {name: side_by_side(in_turn(*kind, options.repeats)) for name, kind in kinds.items()}
        report["training"]["backend_whole_call"] = {clock: middle(speeds(whole_calls, clock), 1) for clock in CLOCKS}
        if options.profile is not None:
            for name, (*_, ours) in kinds.items():
                profiled(ours, options.profile / f"{name}.txt")
    return facts(options, config) | report


def profiled(function: Callable[[], object], out: Path) -> None:
    """Call a function, and write where its time went: the functions that took the most themselves."""
    profile = cProfile.Profile()
    profile.runcall(function)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as stream:
        pstats.Stats(profile, stream=stream).strip_dirs().sort_stats("tottime").print_stats(40)


def in_turn(
    bare: Callable[[int], Measured], sizes: Sequence[int], ours: Callable[[], Measured], repeats: int
) -> dict[str, list[Measured]]:
    """Run the bare loop with each batch size and then the backend, `repeats` times."""
    runs: dict[str, list[Measured]] = defaultdict(list)
    for _ in range(repeats):
        for size in sizes:
            runs[str(size)].append(bare(size))
        runs[OURS].append(ours())
    return runs


def side_by_side(runs: dict[str, list[Measured]]) -> dict[str, Any]:
    """Return tokens a second of both sides and their ratio, for each clock."""
    report: dict[str, Any] = {}
    for clock in CLOCKS:
        speed = {name: speeds(measured, clock) for name, measured in runs.items()}
        ours = speed.pop(OURS)
        best = max(speed, key=lambda size: middle(speed[size])["median"])
        report[clock] = {
            "bare_tokens_per_second_by_batch": {size: middle(found, 1) for size, found in speed.items()},
            "backend_tokens_per_second": middle(ours, 1),
            "best_bare_batch": int(best),
            "ratio_to_best_bare": middle([mine / its for mine, its in zip(ours, speed[best], strict=True)]),
        }
    return report


def speeds(runs: Sequence[Measured], clock: str) -> list[float]:
    """Return tokens a second of each run."""
    return [tokens / spent.of(clock) for tokens, spent in runs]


def facts(options: argparse.Namespace, config: ModelConfig) -> dict[str, Any]:
    """Return what was measured."""
    return {
        "model": Path(options.model).name,
        "data": options.data.name if options.data else "generated word problems",
        "rows": options.rows,
        "new_tokens": options.new_tokens,
        "batch_size": options.batch_size,
        "repeats": options.repeats,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(config.dtype),
    }


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="builtin:NAME, a folder or a GGUF file")
    parser.add_argument("--data", type=Path, help="JSONL (also .gz) with question and answer; else generated problems")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--micro", type=int, nargs="+", default=[4, 8, 16, 32], help="rows in a pass, bare training")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 32, 64], help="rows in a batch, other bare loops")
    parser.add_argument("--batch-size", type=int, default=16, help="rows in an optimiser step, on both sides")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--profile", type=Path, help="a folder for profiles of the backend, one text for each kind")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.batch_size >= options.rows:
        parser.error("--rows must be more than --batch-size: the first step is not counted")
    if options.threads:
        torch.set_num_threads(options.threads)
    put(compare(options), options.out)


if __name__ == "__main__":
    main()
