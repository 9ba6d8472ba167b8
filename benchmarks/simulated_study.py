"""The paper's human study (section 6) with simulated people, through the real pages. Its results say nothing of people.

    python benchmarks/simulated_study.py --alpaca alpaca_subset.jsonl.gz --work simulated \\
      --out docs/results/simulated-study

The server runs in its own process with a fast clock (`burnish study serve-simulated`). Programs take the place of
people: they open the link, read the pages, think, and send forms. Their accuracy, speed, lean to one side, drop-out and
share of bots are in `Crowd` (simulated_people.py). No model is trained: the proposals and samples that people compare
are stand-ins with planted qualities (simulated_texts.py). The same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulated_page import page_of
from simulated_people import Crowd, World
from simulated_results import results_of
from simulated_serving import Play, played
from simulated_texts import BEHIND, Row, Side, alpaca_rows, proposals, samples, updated, write_pairs, written

from burnish.config.study import StudyKind
from burnish.people.study.agreeing import study_agreement
from burnish.people.study.choosing import demonstration_texts, label_choices
from burnish.people.study.figure import figure_lines, study_figure, write_study_figure
from burnish.people.study.folder import StudyFolder, new_study
from burnish.store.files import pretty, write_atomic, write_rows
from burnish.types import short_hash

ALPHA = 0.1
"""The share of labels that a round may replace: the best of those that the paper tried (D.3)."""
REFERENCE = "text-davinci-003"
"""The model that wrote Alpaca's answers. The paper compares with GPT-4, whose answers are not in the shared data."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What is simulated. The defaults are the paper's size.

    `per_sitting` replaces the paper's sizes of a sitting, for a small trial. `overlap` pairs of round 1 are judged by
    three people each, which the paper did not do: without it there is no agreement to measure. `run` is the results
    folder of an experiment with win rates, for Figure 6c. No simulated people take part in it.
    """

    alpaca: Path
    work: Path
    out: Path
    run: Path | None = None
    prompts: int = 1000
    per_sitting: int | None = None
    overlap: int = 100
    speed: float = 12.0
    at_once: int = 25
    seed: int = 0
    crowd: Crowd = field(default_factory=Crowd)

    def settings(self, wanted: int = 1) -> str:
        """Return the settings of a study that differ from the defaults, as YAML."""
        size = "" if self.per_sitting is None else f"per_sitting: {self.per_sitting}\n"
        return f"title: Simulated study\nseed: {self.seed}\nwanted: {wanted}\n{size}"


def made(simulation: Simulation, name: str, kind: StudyKind, source: Path, wanted: int = 1) -> StudyFolder:
    """Make a study, unless an earlier call made it."""
    folder = simulation.work / name
    if folder.exists():
        return StudyFolder(path=folder)
    settings = simulation.work / f"{name}.yaml"
    settings.write_text(simulation.settings(wanted))
    return new_study(folder, source, kind, settings)


def with_checks(study: StudyFolder, world: World) -> World:
    """Let people know the answers to the checks or the screening pairs of a study."""
    kind = study.rules().kind
    for item in study.checks(kind):
        if kind is StudyKind.COMPARISONS:
            better, worse = (item.a, item.b) if item.expected == "a" else (item.b, item.a)
            world.quality[item.prompt, better], world.quality[item.prompt, worse] = 4.0, -4.0
        else:
            world.texts[item.prompt] = "The answer is 3. She earned $10. Fry eggs, tomatoes, salt, oil. 1. Cut. 2. Fry."
    return world


async def demonstrated(simulation: Simulation, rows: list[Row]) -> StudyFolder:
    """Let people write the demonstrations."""
    source = simulation.work / "prompts.jsonl"
    write_rows(source, rows)
    study = made(simulation, "demonstrations", StudyKind.DEMONSTRATIONS, source)
    world = World(crowd=simulation.crowd, quality={}, texts={row.prompt: row.completion for row in rows})
    await played(play_of(simulation, study, with_checks(study, world)))
    return study


async def compared(
    simulation: Simulation, name: str, rows: list[Row], pairs: dict[str, tuple[Side, Side]], wanted: int = 1
) -> StudyFolder:
    """Let people compare pairs."""
    source = simulation.work / f"{name}.jsonl"
    write_pairs(source, rows, pairs)
    study = made(simulation, name, StudyKind.COMPARISONS, source, wanted)
    quality = {(prompt, side.text): side.quality for prompt, sides in pairs.items() for side in sides}
    await played(
        play_of(simulation, study, with_checks(study, World(crowd=simulation.crowd, quality=quality, texts={})))
    )
    return study


def play_of(simulation: Simulation, study: StudyFolder, world: World) -> Play:
    """Return what is needed to let people work on a study."""
    name = study.path.name
    seed = int(short_hash("people", str(simulation.seed), name), 16)
    return Play(study=study, world=world, speed=simulation.speed, at_once=simulation.at_once, seed=seed)


async def simulated(simulation: Simulation) -> dict[str, StudyFolder]:
    """Run all studies: the demonstrations, and two rounds of comparisons for ILR and for DPO.

    ILR and DPO do not wait for each other.
    """
    simulation.work.mkdir(parents=True, exist_ok=True)
    rows = alpaca_rows(simulation.alpaca, simulation.prompts, simulation.seed)
    studies = {"demonstrations": await demonstrated(simulation, rows)}
    with studies["demonstrations"].opened_to_read() as db:
        labels = written(rows, demonstration_texts(db), simulation.seed)
    ways = [refined(simulation, rows, labels), preferred(simulation, rows)]
    if simulation.overlap:
        ways.append(overlapping(simulation, rows, labels))
    for found in await asyncio.gather(*ways):
        studies |= found
    return studies


async def refined(simulation: Simulation, rows: list[Row], labels: dict[str, Side]) -> dict[str, StudyFolder]:
    """Let people compare labels with proposals in two rounds. The labels of round 2 follow from round 1."""
    studies: dict[str, StudyFolder] = {}
    for number in (1, 2):
        proposed, name = proposals(rows, number, simulation.seed), f"ilr-{number}"
        pairs = {prompt: (labels[prompt], proposed[prompt]) for prompt in labels}
        studies[name] = await compared(simulation, name, rows, pairs)
        with studies[name].opened_to_read() as db:
            leans = {choice.example_id: choice.lean for choice in label_choices(db)}
        labels = updated(rows, labels, proposed, leans, ALPHA)
    return studies


async def preferred(simulation: Simulation, rows: list[Row]) -> dict[str, StudyFolder]:
    """Let people compare two samples for DPO in two rounds."""
    names = {number: f"dpo-{number}" for number in (1, 2)}
    return {
        name: await compared(simulation, name, rows, samples(rows, number, simulation.seed))
        for number, name in names.items()
    }


async def overlapping(simulation: Simulation, rows: list[Row], labels: dict[str, Side]) -> dict[str, StudyFolder]:
    """Let three people each compare some pairs of round 1, so that there is agreement to measure."""
    proposed = proposals(rows, 1, simulation.seed)
    pairs = {row.prompt: (labels[row.prompt], proposed[row.prompt]) for row in rows[: simulation.overlap]}
    return {"overlap": await compared(simulation, "overlap", list(rows[: simulation.overlap]), pairs, wanted=3)}


def reported(simulation: Simulation, studies: dict[str, StudyFolder]) -> list[str]:
    """Write the figure, the results and the page about them, and return the lines that say what the figure shows."""
    rounds = [studies[name].path for name in ("demonstrations", "ilr-1", "ilr-2")]
    reference = simulation.work / "prompts.jsonl"
    figure = study_figure(rounds, reference=reference, reference_name=REFERENCE, run=simulation.run)
    write_study_figure(figure, simulation.out)
    nobody = World(crowd=simulation.crowd, quality={}, texts={})
    numbers = {name: results_of(play_of(simulation, one, nobody)) for name, one in sorted(studies.items())}
    data = pretty({"simulated": True, "settings": settings_of(simulation), "studies": numbers})
    write_atomic(simulation.out / "results.json", data)
    agreement: list[str] = []
    if "overlap" in studies:
        with studies["overlap"].opened_to_read() as db:
            agreement = study_agreement(db).lines()
    lines = figure_lines(figure)
    page = page_of(json.loads(data), lines, agreement, bool(figure.win_rates))
    write_atomic(simulation.out / "README.md", page.encode())
    return lines


def settings_of(simulation: Simulation) -> dict[str, Any]:
    """Return what was simulated, without the paths."""
    values = dataclasses.asdict(simulation) | {"behind": -BEHIND}
    return {key: value for key, value in values.items() if key not in {"alpaca", "work", "out", "run"}}


def main() -> None:
    """Read the arguments, and run the simulation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alpaca", type=Path, required=True, help="alpaca_subset.jsonl.gz")
    parser.add_argument("--work", type=Path, required=True, help="folder for the studies")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results and the figure")
    parser.add_argument("--run", type=Path, help="results of figure-6c-smollm2-cpu.yaml, for Figure 6c")
    for name in ("prompts", "per-sitting", "overlap", "at-once", "seed"):
        parser.add_argument(f"--{name}", type=int, default=argparse.SUPPRESS)
    parser.add_argument("--speed", type=float, default=argparse.SUPPRESS, help="of the server's clock")
    simulation = Simulation(**vars(parser.parse_args()))
    for line in reported(simulation, asyncio.run(simulated(simulation))):
        print(line)


if __name__ == "__main__":
    main()
