"""configs/human-study-small.yaml from its demonstrations to Figure 6, with simulated people. It says nothing of people.

    python benchmarks/human_study_small.py --work small --out docs/results/human-study-small

Everything goes the way that a user goes: `burnish study new`, a server with a fast clock whose pages programs read and
answer (simulated_serving.py), `burnish study export`, `burnish run`, which stops in each round until its pairs are
judged, and `burnish study figure`. The same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from simulated_people import Crowd, World
from simulated_serving import played
from simulated_study import Simulation, play_of, with_checks

from burnish.config.reading import read_config
from burnish.config.study import StudyKind
from burnish.people.study.agreeing import study_agreement
from burnish.people.study.folder import StudyFolder
from burnish.people.study.managing import broken_invariants
from burnish.people.study.reading import counts
from burnish.protocols import Task
from burnish.report.tables import markdown, paired_table, summary_table
from burnish.results import read_results
from burnish.store.files import write_atomic, write_rows
from burnish.tasks import make_task
from burnish.types import Example, short_hash

CONFIG = Path(__file__).parents[1] / "configs" / "human-study-small.yaml"
CROWD = Crowd(words_a_minute=1000.0)
"""Fast writers: nobody's answer is cut before its last number, where the result is."""
RIGHT = 0.7
"""The share of demonstrations that are right."""
WANTED = 3
"""How many people compare each pair. The paper has one, so that it could measure no agreement."""
QUALITY = 2**-0.5
"""The quality of a right answer; a wrong one has as much less than 0. So people see the difference as often as their
accuracy says."""
PAUSED = 3
"""The exit code of `burnish run` while pairs wait for people."""


@dataclass(frozen=True, kw_only=True)
class SmallStudy:
    """Where the study is made, and the problems that its prompts are: {prompt: example}."""

    work: Path
    simulation: Simulation
    task: Task
    problems: dict[str, Example]

    @property
    def run(self) -> Path:
        """The results folder of the experiment, in which pairs wait."""
        return self.work / "run"

    @property
    def demonstrations(self) -> Path:
        """The file from which the experiment learns."""
        return self.work / "written" / "demonstrations.jsonl"

    def burnish(self, *arguments: object) -> int:
        """Call a verb of burnish, and return its exit code: 0, or 3 if pairs wait for people."""
        command = [sys.executable, "-m", "burnish", *map(str, arguments)]
        code = subprocess.run(command, env=os.environ | {"DEMONSTRATIONS": str(self.demonstrations)}, check=False)
        if code.returncode not in (0, PAUSED):
            raise SystemExit(f"{' '.join(command[2:])}: failed with exit code {code.returncode}")
        return code.returncode

    def made(self, name: str, kind: StudyKind, source: Path, wanted: int = 1) -> StudyFolder:
        """Make a study, unless an earlier call made it."""
        folder, settings = self.work / name, self.work / f"{name}.yaml"
        if not folder.exists():
            write_atomic(settings, self.simulation.settings(wanted).encode())
            self.burnish("study", "new", folder, "--from", source, "--kind", kind, "--settings", settings)
        return StudyFolder(path=folder)

    def play(self, study: StudyFolder, quality: dict[tuple[str, str], float], texts: dict[str, str]) -> None:
        """Let people work on a study until everything is answered."""
        world = with_checks(study, World(crowd=CROWD, quality=quality, texts=texts))
        asyncio.run(played(play_of(self.simulation, study, world)))


def opened(work: Path) -> SmallStudy:
    """Return the study in a folder, with the task of the config."""
    work.mkdir(parents=True, exist_ok=True)
    # The config names a file of demonstrations, which this study writes.
    os.environ.setdefault("DEMONSTRATIONS", str(work / "written" / "demonstrations.jsonl"))
    task = make_task(read_config(CONFIG).task)
    problems = {one.prompt[-1].content: one for one in task.load().train}
    simulation = Simulation(alpaca=work, work=work, out=work, per_sitting=15, speed=8.0, crowd=CROWD)
    return SmallStudy(work=work.resolve(), simulation=simulation, task=task, problems=problems)


def demonstration(example: Example) -> str:
    """Return what people write for a problem: a right solution, or one whose last step is wrong."""
    chance = random.Random(short_hash("demonstration", example.id))
    solution = str(example.reference)
    if chance.random() < RIGHT:
        return solution
    right = solution.rsplit("#### ", 1)[1]
    wrong = str(int(right) + chance.choice([-1, 1]) * chance.randint(1, 9))
    steps, last = solution.rsplit(" = ", 1)
    return f"{steps} = {last.replace(right, wrong)}"


def demonstrated(small: SmallStudy) -> StudyFolder:
    """Let people write a demonstration of each training prompt, and export what they wrote."""
    prompts = small.work / "prompts.jsonl"
    write_rows(prompts, [{"id": one.id, "prompt": prompt} for prompt, one in small.problems.items()])
    study = small.made("demonstrations", StudyKind.DEMONSTRATIONS, prompts)
    small.play(study, {}, {prompt: demonstration(one) for prompt, one in small.problems.items()})
    small.burnish("study", "export", study.path, "--to", small.demonstrations.parent)
    return study


def compared(small: SmallStudy) -> list[StudyFolder]:
    """Run the experiment. Each time that pairs wait, let people compare them in a study of their own."""
    rounds: list[StudyFolder] = []
    while small.burnish("run", CONFIG, "--out", small.run, "--store", small.work / "store") == PAUSED:
        study = small.made(f"round-{len(rounds) + 1}", StudyKind.COMPARISONS, small.run, WANTED)
        small.play(study, qualities(small, study), {})
        small.burnish("study", "export", study.path, "--into", small.run)
        rounds.append(study)
    return rounds or [StudyFolder(path=path) for path in sorted(small.work.glob("round-?"))]


def qualities(small: SmallStudy, study: StudyFolder) -> dict[tuple[str, str], float]:
    """Return {(prompt, answer): quality} of the pairs of a study: only right and wrong differ."""
    with study.opened_to_read() as db:
        pairs = db.execute("SELECT prompt, a, b FROM item WHERE role = 'work'").fetchall()
    return {
        (prompt, text): QUALITY if small.task.on(small.problems[prompt]).grade(text).correct else -QUALITY
        for prompt, *sides in pairs
        for text in sides
    }


def reported(small: SmallStudy, demonstrations: StudyFolder, rounds: list[StudyFolder], out: Path) -> None:
    """Draw Figure 6, and write the page about the study."""
    names = [study.path for study in (demonstrations, *rounds)]
    small.burnish("study", "figure", *names, "--run", small.run, "--out", out)
    claims = json.loads((out / "figure-6.json").read_text())["claims"]
    write_atomic(out / "results.json", (small.run / "results.json").read_bytes())
    parts = [_HEAD.format(right=100 * RIGHT, wanted=WANTED, speed=small.simulation.speed, prompts=len(small.problems))]
    parts += [f"- {one['text']} {one['verdict']}: {one['detail']}\n" for one in claims]
    results = read_results(small.run)
    accuracy = [row for row in results.paired if row.metric == "test_accuracy"]
    parts += ["\n## The experiment\n\n", markdown(summary_table(results)), _BETWEEN]
    parts += [markdown(paired_table(results.model_copy(update={"paired": accuracy}))), "\n## The studies\n"]
    parts += [_said(study) for study in (demonstrations, *rounds)]
    write_atomic(out / "README.md", "".join(parts).encode())


def _said(study: StudyFolder) -> str:
    """Return the counts of a study, and for comparisons what `burnish study agreement` prints."""
    with study.opened_to_read() as db:
        found, broken = counts(db, 0.0), broken_invariants(db)
        lines = [] if study.path.name == "demonstrations" else study_agreement(db).lines()
    ends = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in found.attempts.items())
    head = (
        f"\n### {study.path.name}\n\n{found.items} items, {found.answered} answers that count, of {found.wanted}. "
        f"Sittings: {ends}. Invariants of the storage that are broken: {len(broken)}.\n"
    )
    text = "\n".join(lines)
    return head + (f"\n```text\n{text}\n```\n" if lines else "")


_HEAD = """# The small human study from start to end, with programs in the place of people

**No person took part. Nothing here says anything about people.** `benchmarks/human_study_small.py` wrote this page and
everything beside it. It computes [human-study-small.yaml](../../../configs/human-study-small.yaml) in the way of a
user: `burnish study new` and the pages of a server, `burnish study export`, `burnish run`, which stops in each
round until its pairs are judged and then goes on, and `burnish study figure`.

- {prompts} prompts are training problems of the embedded world. A program writes a demonstration of each. About
  {right:.0f} % of them are planted right; in the others, the last step is wrong.
- {wanted} programs compare each pair. They prefer the right answer as often as their accuracy says (`Crowd` in
  `benchmarks/simulated_people.py`), and see no difference between two right or two wrong answers.
- The server's clock ran {speed:g} times as fast as time.

```sh
python benchmarks/human_study_small.py --work small --out docs/results/human-study-small
```

The same command goes on after a stop. Another run gives slightly other numbers, because they depend on who comes first.

## Figure 6

![Lengths of the answers of simulated people](figure-6a.svg)
![What simulated people chose, by round and by who wrote the label](figure-6b.svg)

The claims of the paper, in this simulation, which cannot speak for or against them:

"""
_BETWEEN = """
Only those proposals are accepted that three judges prefer at least moderately in the mean (`gate: 5/6`). So
fewer labels are replaced than alpha allows. Differences of the test accuracy, paired by prompt, with one seed:

"""


def main() -> None:
    """Read the arguments, and run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the studies and the experiment")
    parser.add_argument("--out", type=Path, required=True, help="folder for the page, the results and the figure")
    options = parser.parse_args()
    small = opened(options.work)
    demonstrations = demonstrated(small)
    reported(small, demonstrations, compared(small), options.out.resolve())


if __name__ == "__main__":
    main()
