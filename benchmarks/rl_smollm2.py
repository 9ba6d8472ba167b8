"""RL of SmolLM2-135M on MAWPS with the checker and with a reward model, SEAM, and the mismatch before and after.

    export SMOLLM2=.../SmolLM2-135M-Instruct.Q4_1.gguf MAWPS=.../mawps.jsonl.gz
    python benchmarks/rl_smollm2.py --work WORK [--out docs/results/rl-smollm2-cpu] [--parts policy pairs ...]
    python scripts/publish_results.py WORK/rl-model docs/results/rl-smollm2-cpu

Everything goes through burnish's own commands, one after the other in one process. The same command goes on after a
stop: a finished part is not begun again, and within a part finished stages stay in the store. With `--out`, what was
measured so far is written there as seam.json. The second script copies the results of the experiment. Both leave out
all texts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rl_smollm2_results import cost, measured, read_json

from burnish.cli import main as burnish
from burnish.config.reading import read_config
from burnish.results import read_models
from burnish.store.files import pretty, write_atomic, write_rows
from burnish.tasks import make_task
from burnish.types import Example, short_hash

CONFIG = Path(__file__).parents[1] / "configs" / "rl-smollm2-cpu.yaml"
CHECKER = ("--checker", "word_problems")
SAMPLES, NEW_TOKENS = 4, 32
"""Samples a prompt, and the most tokens of an answer."""
SAMPLED = ("--set", f"samples={SAMPLES}", "--set", f"max_new_tokens={NEW_TOKENS}")
"""How the weaker model answers. The temperature is 1."""
POOL, TESTED = 90, 80
"""Prompts from which the reward model learns, and test prompts on which it meets the policies."""
WORSE = 4
"""Worse answers a prompt, for SEAM."""
MODEL = ("--set", "model.template=paper", "--set", "model.dtype=bfloat16")
RATES = ("--batch-size", 8, "--learning-rate", "5e-4")
"""How the reward model is trained. With burnish's default of 32 pairs a step, so few pairs would make five steps."""
ONLY_SFT = "methods=[{kind: sft}]"
DONE, COST, SUMMARY = "done.json", "cost.json", "seam.json"


@dataclass(frozen=True, slots=True)
class Work:
    """Where everything is made."""

    place: Path

    def burnish(self, *arguments: object) -> None:
        """Call a verb of burnish with the store of this experiment."""
        burnish.main(args=[*map(str, arguments), "--store", str(self.place / "store")], standalone_mode=False)

    def trained(self, run: str, label: str) -> str:
        """Return the folder of a model that an experiment trained."""
        (found,) = [one.folder for one in read_models(self.place / run).models if one.label == f"seed 0 {label}"]
        return found

    @property
    def weaker(self) -> str:
        """The source of the weaker model's wrong answers."""
        return f"weaker:{self.trained('policy', 'weak supervisor')}"

    @property
    def reward_model(self) -> Path:
        """The folder of the reward model."""
        return self.place / "reward"


def policy(work: Work) -> None:
    """Finetune the policy and the weaker model."""
    work.burnish("run", CONFIG, "--set", ONLY_SFT, "--out", work.place / "policy")


def pairs(work: Work) -> None:
    """Write the prompts, and make the pairs of gold answers and the weaker model's wrong answers."""
    config = read_config(CONFIG)
    learned = {row.group for row in make_task(config.task).load().train}
    whole = make_task(config.task.model_copy(update={"train": None})).load()
    rest = [row for row in whole.train if row.group not in learned]
    _write(work.place / "pool.jsonl", _first(rest, POOL))
    _write(work.place / "tested.jsonl", _first(make_task(config.task).load().test, TESTED))
    for prompts, to in (("pool", "pairs"), ("tested", "off-policy")):
        given, made = work.place / f"{prompts}.jsonl", work.place / f"{to}.jsonl"
        more = ("--n", 2, *CHECKER, *SAMPLED, "--to", made, "--overwrite")
        work.burnish("reward", "pairs", given, "--source", work.weaker, *more)


def _first(rows: Iterable[Example], count: int) -> list[Example]:
    return sorted(rows, key=lambda row: short_hash("rl smollm2", row.id))[:count]


def _write(path: Path, rows: Iterable[Example]) -> None:
    write_rows(path, [{"id": r.id, "question": r.prompt[-1].content, "answer": r.reference} for r in rows])


def reward(work: Work) -> None:
    """Train the reward model."""
    base = ("--base", os.environ["SMOLLM2"], *MODEL, *RATES)
    work.burnish("reward", "train", work.place / "pairs.jsonl", *base, "--out", work.reward_model, "--overwrite")


def seam_of(source: Callable[[Work], tuple[object, ...]], name: str) -> Callable[[Work], None]:
    """Return the part that scores the policy before RL with SEAM."""

    def part(work: Work) -> None:
        models = ("--policy", work.trained("policy", "sft"), "--reward", work.reward_model)
        out = ("--out", work.place / name, "--overwrite", "--top", 0)
        work.burnish("seam", "score", work.place / "tested.jsonl", *models, *CHECKER, "--n", WORSE, *source(work), *out)

    return part


def before(work: Work) -> None:
    """Measure the mismatch on the policy's own samples before RL, against both tables of SEAM."""
    for source in ("adversarial", "weaker"):
        _mismatch(work, f"mismatch-{source}", [work.trained("policy", "sft")], source)


def _mismatch(work: Work, name: str, policies: list[str], source: str) -> None:
    named = [part for one in policies for part in ("--policy", one)]
    known = ("--pairs", work.place / "off-policy.jsonl", "--against", work.place / f"seam-{source}" / "table.jsonl")
    sampled = ("--samples", SAMPLES, "--max-new-tokens", NEW_TOKENS, "--reward", work.reward_model)
    out = ("--out", work.place / name, "--overwrite")
    work.burnish("seam", "mismatch", work.place / "tested.jsonl", *named, *CHECKER, *sampled, *known, *out)


def check(work: Work) -> None:
    """Say whether the reward model is fit for the policy."""
    asked = ("--prompts", work.place / "tested.jsonl", "--policy", work.trained("policy", "sft"), *CHECKER)
    sampled = ("--samples", SAMPLES, "--edits", WORSE, "--max-new-tokens", NEW_TOKENS)
    known = ("--pairs", work.place / "off-policy.jsonl", "--out", work.place / "check", "--overwrite")
    work.burnish("reward", "check", work.reward_model, *asked, *sampled, *known)


def rl(work: Work, name: str, methods: int) -> None:
    """Train the first `methods` methods of the config, and measure them. `name` is that of the results folder."""
    kept = [one.model_dump(mode="json", exclude_defaults=True) for one in read_config(CONFIG).methods[:methods]]
    work.burnish("run", CONFIG, "--set", f"methods={json.dumps(kept)}", "--out", work.place / name)


def after(work: Work) -> None:
    """Measure the mismatch on the policies' own samples after RL."""
    labels = ("sft", "rl-checker round 1", "rl-model round 1")
    _mismatch(work, "mismatch-after", [work.trained("rl-model", label) for label in labels], "weaker")


PARTS: Mapping[str, Callable[[Work], None]] = {
    "policy": policy,
    "pairs": pairs,
    "reward": reward,
    "seam-adversarial": seam_of(lambda _: ("--source", "adversarial"), "seam-adversarial"),
    "seam-weaker": seam_of(lambda work: ("--source", work.weaker, *SAMPLED), "seam-weaker"),
    "mismatch-before": before,
    "check": check,
    "rl-checker": lambda work: rl(work, "rl-checker", 2),
    "rl-model": lambda work: rl(work, "rl-model", 3),
    "mismatch-after": after,
}
"""The parts in their order. What is worth most without the others comes first."""


@contextmanager
def counted(log: Path, part: str) -> Generator[None, None, None]:
    """Add the CPU seconds and the seconds of what is done in this block to a log, also if an error ends it."""
    computed, began = time.process_time(), time.monotonic()
    try:
        yield
    finally:
        took = {"cpu_seconds": time.process_time() - computed, "seconds": time.monotonic() - began}
        sessions = read_json(log, [])
        write_atomic(log, pretty([*sessions, {"part": part, **{name: round(s, 1) for name, s in took.items()}}]))


def write_results(work: Work, out: Path) -> None:
    """Write what was measured so far."""
    sessions = read_json(work.place / COST, [])
    settings = {"pool": POOL, "tested": TESTED, "worse": WORSE, "samples": SAMPLES}
    found = {"settings": settings, **measured(work.place), "cpu_seconds": cost(sessions)}
    write_atomic(out / SUMMARY, pretty(found))
    print(f"wrote {out}", file=sys.stderr)


def main() -> None:
    """Do what is not done yet, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the store and everything that is made")
    parser.add_argument("--out", type=Path, help="folder for the results")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="only these parts")
    options = parser.parse_args()
    work = Work(options.work.resolve())
    work.place.mkdir(parents=True, exist_ok=True)
    os.environ["RM"] = str(work.reward_model)
    done = read_json(work.place / DONE, [])
    for part in options.parts:
        if part in done:
            continue
        print(f"{part}: begun", file=sys.stderr, flush=True)
        with counted(work.place / COST, part):
            PARTS[part](work)
        done.append(part)
        write_atomic(work.place / DONE, pretty(done))
    if options.out:
        write_results(work, options.out)


if __name__ == "__main__":
    main()
