"""Publish the results of configs/figure-6c-smollm2-cpu.yaml: Figure 6c, the numbers, and a page about them.

    python scripts/write_figure_6c.py runs/figure-6c-smollm2-cpu judge.json docs/results/figure-6c-smollm2-cpu

The second file is what benchmarks/instruction_judge.py wrote about the judge (its --out).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from publish_results import publish

from burnish.config import InstructionsTask
from burnish.config.reading import read_config
from burnish.people.study.figure import study_figure, write_study_figure
from burnish.report.tables import Table, markdown, paired_table, summary_table
from burnish.report.text import percent, percent_range
from burnish.results import CONFIG_FILE, TIMINGS_FILE, Results, read_results
from burnish.store.files import write_atomic

JUDGE = "judge.json"
READING = 3
"""The column of the table of differences that says whether a difference is clear."""
SHOWN = {
    "a refusal of a harmless request": "refusal_on_safe",
    "an answer to another request": "off_topic",
    "a loop": "repetition",
    "garbled text": "garbled",
    "an answer that is cut off": "cut_off",
    "the small model's answer instead of Alpaca's": "model_answer",
    "the raw answer instead of an expert's revision": "expert_revision",
}
"""The kinds of worse answers of which the page gives how often the judge finds them on prompts that it has not seen."""

_PAGE = """# Figure 6c: win rates of ILR and of DPO with two beta, SmolLM2-135M-Instruct on one thread

`scripts/write_figure_6c.py` wrote this page. No people took part. It is about
[figure-6c-smollm2-cpu.yaml](../../../configs/figure-6c-smollm2-cpu.yaml): the supervisor is the base cut to its first
26 of 30 layers, and q~, which learns from {trained} rows with ground truth, compares. {refined} of Alpaca's rows are
refined, and {tested} general test prompts of SaferPaca are answered. As in the paper's human study (section 6, D.3),
there are two rounds, alpha is 0.1, DPO has one pair a prompt and trains on the 30 % most confident, and beta 0.01 uses
the pairs of beta 0.1.

**The judge is a small reward model** of 22M parameters ([judge.json](judge.json)), and not a large language model. On
prompts that it has not seen, it finds the better of two answers as often as this:

{judge}
So a win means that an answer is on topic, whole and fluent. It does not mean that it is right.

![Win rates against the references, by round](figure-6c.svg)

{results}
There is one seed. Intervals cover the choice of test prompts alone. Differences of the win rates, paired by prompt:

{paired}
**What it shows.** {shows}

## Commands

```sh
export SMOLLM2=.../SmolLM2-135M-Instruct.Q4_1.gguf MINILM=.../all-MiniLM-L6-v2
export ALPACA=.../alpaca SAFETY=.../safety JUDGE=judge
python benchmarks/instruction_judge.py answers answers.jsonl --data DATA --writer $SMOLLM2
python benchmarks/instruction_judge.py train --data DATA --encoder $MINILM --answers answers.jsonl --into $JUDGE \\
  --exclude configs/figure-6c-smollm2-cpu.yaml configs/saferpaca-smollm2-cpu.yaml --out judge.json
burnish run configs/figure-6c-smollm2-cpu.yaml --set execution.threads=1
python scripts/write_figure_6c.py runs/figure-6c-smollm2-cpu judge.json docs/results/figure-6c-smollm2-cpu
```

All stages together took {minutes} minutes on one thread, while the machine did other work.
"""


def judged(judge: dict[str, Any]) -> str:
    """Return a table of how often the judge finds the better answer."""
    figures = {name: judge["held_out"][key] for name, key in SHOWN.items()} | {
        "LLMBar, all pairs": judge["llmbar"]["all"]
    }
    rows = [
        f"| {name} | {percent(one['value'])} ({percent_range(one['ci95'])}) | {one['n']} |"
        for name, one in figures.items()
    ]
    return "\n".join(["| the worse answer is | right | pairs |", "| --- | --: | --: |", *rows, ""])


def of_win_rates(results: Results) -> Results:
    """Return the results with the paired differences of win rates alone."""
    return results.model_copy(update={"paired": [row for row in results.paired if row.metric == "reference_win_rate"]})


def shown(paired: Table) -> str:
    """Return in sentences which of the differences in the table can be told from chance."""
    clear = [row for row in paired.rows if row[READING].text != "not clear"]
    if not clear:
        return (
            f"None of the {len(paired.rows)} differences in the table can be told from chance. Nothing here speaks for "
            "or against the paper's Figure 6c."
        )
    said = "; ".join(f"{row[0].text} is {row[READING].text} than {row[1].text}" for row in clear)
    return (
        f"{len(clear)} of the {len(paired.rows)} differences in the table leave out zero: {said}. They are not "
        "corrected for their number. With one seed and so small a judge, this is no evidence for or against the "
        "paper's Figure 6c."
    )


def page(run: Path, judge: dict[str, Any]) -> str:
    """Return the page about a run."""
    results = read_results(run)
    timings = json.loads((run / TIMINGS_FILE).read_text())
    (ilr,) = (one for one in results.runs if (one.method, one.round) == ("ilr", 1))
    refined, task = ilr.metrics["label_accuracy"].n, read_config(run / CONFIG_FILE).task
    assert isinstance(task, InstructionsTask), task
    assert task.train_general is not None
    paired = paired_table(of_win_rates(results))
    seconds = sum(stage["seconds"] for stage in timings["stages"])
    return _PAGE.format(
        trained=task.train_general - refined,
        refined=refined,
        tested=ilr.metrics["reference_win_rate"].n,
        judge=judged(judge),
        results=markdown(summary_table(results)),
        paired=markdown(paired),
        shows=shown(paired),
        minutes=round(seconds / 60),
    )


def main(run: Path, judge: Path, out: Path) -> None:
    """Publish the run."""
    publish(run, out)
    shutil.copyfile(judge, out / JUDGE)
    write_study_figure(study_figure([], run=run), out)
    write_atomic(out / "README.md", page(run, json.loads(judge.read_text())).encode())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
