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
import dataclasses
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
from burnish.config import Config
from burnish.config.reading import read_config
from burnish.results import read_models
from burnish.store.files import pretty, write_atomic, write_rows
from burnish.tasks import make_task
from burnish.types import Example, short_hash

CONFIG = Path(__file__).parents[1] / "configs" / "rl-smollm2-cpu.yaml"
DONE, COST, SUMMARY = "done.json", "cost.json", "seam.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is made: prompts from which the reward model learns, test prompts on which it meets the policies, steps
    of RL, worse answers a prompt for SEAM, samples a prompt, and pairs in a step of the reward model."""

    pool: int = 90
    tested: int = 80
    steps: int = 16
    worse: int = 4
    samples: int = 4
    # With burnish's default of 32 pairs a step, so few pairs would make five steps.
    batch: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Where everything is made, and how much of it. `changes` are applied to the config (`a.b=c`)."""

    place: Path
    sizes: Sizes = Sizes()
    file: Path = CONFIG
    changes: tuple[str, ...] = ()

    @property
    def config(self) -> Config:
        """The experiment."""
        return read_config(self.file, self.changes)

    @property
    def checker(self) -> tuple[str, str]:
        """The option that names the checker of the task."""
        return ("--checker", self.config.task.kind)

    @property
    def new_tokens(self) -> int:
        """The most tokens of an answer."""
        return self.config.decode.max_new_tokens

    @property
    def from_weaker(self) -> tuple[str, ...]:
        """The options that name the weaker model's wrong answers. It samples at temperature 1."""
        source = f"weaker:{self.trained('policy', 'weak supervisor')}"
        sampled = (f"samples={self.sizes.samples}", f"max_new_tokens={self.new_tokens}")
        return ("--source", source, "--set", sampled[0], "--set", sampled[1])

    def run(self, name: str, methods: str) -> None:
        """Run the experiment with these methods. `name` is that of the results folder."""
        changes = [part for one in (*self.changes, f"methods={methods}") for part in ("--set", one)]
        self.burnish("run", self.file, *changes, "--out", self.place / name)

    def burnish(self, *arguments: object) -> None:
        """Call a verb of burnish with the store of this experiment."""
        burnish.main(args=[*map(str, arguments), "--store", str(self.place / "store")], standalone_mode=False)

    def trained(self, run: str, label: str) -> str:
        """Return the folder of a model that an experiment trained."""
        (found,) = [one.folder for one in read_models(self.place / run).models if one.label == f"seed 0 {label}"]
        return found

    @property
    def reward_model(self) -> Path:
        """The folder of the reward model."""
        return self.place / "reward"


def policy(work: Work) -> None:
    """Finetune the policy and the weaker model."""
    work.run("policy", "[{kind: sft}]")


def pairs(work: Work) -> None:
    """Write the prompts, and make the pairs of gold answers and the weaker model's wrong answers."""
    task, sizes = work.config.task, work.sizes
    used, whole = make_task(task).load(), make_task(task.model_copy(update={"train": None})).load()
    learned = {row.group for row in used.train}
    _write(work.place / "pool.jsonl", _first((row for row in whole.train if row.group not in learned), sizes.pool))
    _write(work.place / "tested.jsonl", _first(used.test, sizes.tested))
    for prompts, to in (("pool", "pairs"), ("tested", "off-policy")):
        given, made = work.place / f"{prompts}.jsonl", work.place / f"{to}.jsonl"
        work.burnish("reward", "pairs", given, *work.from_weaker, *work.checker, "--n", 2, "--to", made, "--overwrite")


def _first(rows: Iterable[Example], count: int) -> list[Example]:
    return sorted(rows, key=lambda row: short_hash("rl smollm2", row.id))[:count]


def _write(path: Path, rows: Iterable[Example]) -> None:
    write_rows(path, [{"id": r.id, "question": r.prompt[-1].content, "answer": r.reference} for r in rows])


def reward(work: Work) -> None:
    """Train the reward model on the base of the policy."""
    model = ("--base", os.environ["SMOLLM2"], "--set", "model.template=paper", "--set", "model.dtype=bfloat16")
    rates = ("--batch-size", work.sizes.batch, "--learning-rate", "5e-4")
    out = ("--out", work.reward_model, "--overwrite")
    work.burnish("reward", "train", work.place / "pairs.jsonl", *model, *rates, *out)


def seam(work: Work, name: str, source: tuple[str, ...]) -> None:
    """Score the policy before RL with SEAM."""
    models = ("--policy", work.trained("policy", "sft"), "--reward", work.reward_model)
    more = (*work.checker, "--n", work.sizes.worse, *source, "--out", work.place / name, "--overwrite", "--top", 0)
    work.burnish("seam", "score", work.place / "tested.jsonl", *models, *more)


def before(work: Work) -> None:
    """Measure the mismatch on the policy's own samples before RL, against both tables of SEAM."""
    for source in ("adversarial", "weaker"):
        _mismatch(work, f"mismatch-{source}", [work.trained("policy", "sft")], source)


def _mismatch(work: Work, name: str, policies: list[str], source: str) -> None:
    named = [part for one in policies for part in ("--policy", one)]
    known = ("--pairs", work.place / "off-policy.jsonl", "--against", work.place / f"seam-{source}" / "table.jsonl")
    sampled = (*work.checker, "--samples", work.sizes.samples, "--max-new-tokens", work.new_tokens)
    more = ("--reward", work.reward_model, "--out", work.place / name, "--overwrite")
    work.burnish("seam", "mismatch", work.place / "tested.jsonl", *named, *sampled, *known, *more)


def check(work: Work) -> None:
    """Say whether the reward model is fit for the policy."""
    asked = ("--prompts", work.place / "tested.jsonl", "--policy", work.trained("policy", "sft"), *work.checker)
    sampled = ("--samples", work.sizes.samples, "--edits", work.sizes.worse, "--max-new-tokens", work.new_tokens)
    known = ("--pairs", work.place / "off-policy.jsonl", "--out", work.place / "check", "--overwrite")
    work.burnish("reward", "check", work.reward_model, *asked, *sampled, *known)


def rl(work: Work, name: str, methods: int) -> None:
    """Train the first `methods` methods of the config, and measure them."""
    kept = [one.model_dump(mode="json", exclude_defaults=True) for one in work.config.methods[:methods]]
    steps = {"steps": work.sizes.steps}
    work.run(name, json.dumps([one | (steps if one["kind"] == "rl" else {}) for one in kept]))


def after(work: Work) -> None:
    """Measure the mismatch on the policies' own samples after RL."""
    labels = ("sft", "rl-checker round 1", "rl-model round 1")
    _mismatch(work, "mismatch-after", [work.trained("rl-model", label) for label in labels], "weaker")


PARTS: Mapping[str, Callable[[Work], None]] = {
    "policy": policy,
    "pairs": pairs,
    "reward": reward,
    "seam-adversarial": lambda work: seam(work, "seam-adversarial", ("--source", "adversarial")),
    "seam-weaker": lambda work: seam(work, "seam-weaker", work.from_weaker),
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


def do(work: Work, parts: Iterable[str]) -> None:
    """Do those of the parts that are not done yet."""
    work.place.mkdir(parents=True, exist_ok=True)
    os.environ["RM"] = str(work.reward_model)
    done = read_json(work.place / DONE, [])
    for part in parts:
        if part in done:
            continue
        print(f"{part}: begun", file=sys.stderr, flush=True)
        with counted(work.place / COST, part):
            PARTS[part](work)
        done.append(part)
        write_atomic(work.place / DONE, pretty(done))


def write_results(work: Work, out: Path) -> None:
    """Write what was measured so far."""
    settings = {**dataclasses.asdict(work.sizes), "changes": work.changes}
    found = {"settings": settings, **measured(work.place), "cpu_seconds": cost(read_json(work.place / COST, []))}
    write_atomic(out / SUMMARY, pretty(found))
    print(f"wrote {out}", file=sys.stderr)


def main() -> None:
    """Do what is not done yet, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the store and everything that is made")
    parser.add_argument("--out", type=Path, help="folder for the results")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="only these parts")
    trial = parser.add_argument_group("for a small trial")
    for size in dataclasses.fields(Sizes):
        trial.add_argument(f"--{size.name}", type=int, default=size.default, metavar="N", help=f"[{size.default}]")
    trial.add_argument("--set", dest="changes", action="append", default=[], metavar="A.B=C", help="change the config")
    options = parser.parse_args()
    sizes = Sizes(**{size.name: getattr(options, size.name) for size in dataclasses.fields(Sizes)})
    work = Work(place=options.work.resolve(), sizes=sizes, changes=tuple(options.changes))
    do(work, options.parts)
    if options.out:
        write_results(work, options.out)


if __name__ == "__main__":
    main()
