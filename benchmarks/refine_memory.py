"""Measure the memory of refinement's steps that need no model: python benchmarks/refine_memory.py [--rows 2000000].

A refinement of one round runs once with a backend that invents answers. Then the results of the steps without a model
(data, split, comparisons, selection, the folder) are removed and computed again in a process of their own, beside the
kept training and answers: its peak is theirs. The verbs over the ledger follow, each in its own process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from bench_output import put

from burnish.backends.fake import FakeBackend
from burnish.config import Decoding, TrainSettings
from burnish.models.card import Weights, read_card, write_card
from burnish.protocols import RowKey, SamplingKey
from burnish.refinery import RunOptions, refine_data
from burnish.refinery.options import Options, config_of
from burnish.types import Artifact, Completion, Prompt, TrainingRow

WITHOUT_MODEL = ("given", "split", "compare", "judge", "refine")
JUDGE = """
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"id": row["id"], "p_second": 0.9 if row["second"] > row["first"] else 0.1}))
"""


class Inventing(FakeBackend):
    """Answers without a model: one proposal in twenty differs from the label."""

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        checkpoints: int = 0,
    ) -> int:
        """Write a card."""
        write_card(into, read_card(Path(model.path)).model_copy(update={"weights": Weights.FULL}))
        return len(rows)

    def generate(
        self,
        model: Artifact,
        prompts: Sequence[Prompt],
        settings: Decoding,
        key: SamplingKey,
        done: AbstractSet[RowKey],
    ) -> Iterator[Sequence[Completion]]:
        """Yield large batches."""
        for start in range(0, len(prompts), 10_000):
            yield [self._invented(prompt) for prompt in prompts[start : start + 10_000]]

    def _invented(self, prompt: Prompt) -> Completion:
        number = int(prompt.messages[0].content.rpartition(" ")[2])
        return Completion(id=prompt.id, sample=0, text=f"#### {number + (number % 20 == 0)}", finished=True, tokens=4)


def write_data(path: Path, rows: int) -> None:
    """Write short rows."""
    with path.open("w") as out:
        for number in range(rows):
            out.write(f'{{"question": "What is the number {number}", "answer": "#### {number}", "source": "bench"}}\n')


def refine(folder: Path) -> None:
    """Run the refinement."""
    config = config_of(
        Options(
            data=str(folder / "data.jsonl"),
            model="builtin:strong",
            annotator={"kind": "command", "command": [sys.executable, str(folder / "judge.py")]},
            differs="number",
            rounds=1,
            no_selftest=True,
        )
    )
    refine_data(config, RunOptions(out=folder / "out", store=folder / "store", backend=lambda: Inventing({})))


def measured(command: Sequence[str]) -> Mapping[str, float]:
    """Run a command and return its seconds and its own peak of resident memory, MiB."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, (command, status)
    return {"seconds": round(time.monotonic() - started, 1), "peak_mib": round(usage.ru_maxrss / 1024)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--again", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.again:
        refine(options.again)
        return
    figures: dict[str, Mapping[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_data(folder / "data.jsonl", options.rows)
        (folder / "judge.py").write_text(JUDGE)
        again = [sys.executable, __file__, "--again", str(folder)]
        figures["everything"] = measured(again)
        for name in WITHOUT_MODEL:
            shutil.rmtree(folder / "store" / "stages" / name, ignore_errors=True)
        shutil.rmtree(folder / "out")
        figures["steps without a model"] = measured(again)
        burnish = [str(Path(sys.executable).with_name("burnish"))]
        out = str(folder / "out")
        figures["diff"] = measured([*burnish, "diff", out, "--limit", "20"])
        figures["diff --html"] = measured([*burnish, "diff", out, "--html", str(folder / "diff.html")])
        figures["revert"] = measured([*burnish, "revert", out, "--round", "1"])
    put({"command": f"python benchmarks/refine_memory.py --rows {options.rows}", **figures}, options.out)


if __name__ == "__main__":
    main()
