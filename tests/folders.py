"""A refinement's folder made by hand: 8 rows, 2 rounds, texts that try to do harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.config import RefineConfig
from burnish.ledger.folder import ANSWERS, EXAMPLES, LEDGER, MODEL, Folder, answer_line
from burnish.ledger.page import write_page
from burnish.ledger.summary import DataSummary, HarmSummary, ModelSummary, RoundSummary, State, Summary
from burnish.results import Metric
from burnish.store.files import write_rows
from burnish.types import (
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Reason,
    Refinement,
    Role,
    prompt_group,
)

SCRIPT = "<script>alert('pwned')</script> & <b>bold</b> the answer is 4"
ESCAPES = "What is\x1b[31m red\x1b[0m and \x1b]0;title\x07loud?"
FORMULA = '=HYPERLINK("http://evil.example","click")'
BIDI = "safe \u202egnp.exe"
GIVEN = {
    "r1": "the answer is 5",
    "r2": "two",
    "r3": FORMULA,
    "r4": "four\nlines\n  indented",
    "r5": "five",
    "r6": "six",
    "r7": "seven",
    "r8": "eight",
}
"""Answers that the dataset came with, by id."""
PROPOSED = {
    1: {
        "r1": SCRIPT,
        "r2": "two point one",
        "r3": "three",
        "r4": "unsure",
        "r5": "five",
        "r6": "cut",
        "r7": "worse",
        "r8": BIDI,
    },
    2: {**GIVEN, "r1": SCRIPT, "r2": "two point two", "r4": "four\nbetter lines\n  indented", "r3": "thirty"},
}
"""Proposals by round and id. Rows 1, 2 and 3 change in round 1, rows 2 and 4 in round 2."""
REASONS = {
    1: ("accepted", "accepted", "accepted", "abstained", "agreed", "invalid", "rejected", "over_cap"),
    2: ("agreed", "accepted", "rejected", "accepted", "agreed", "agreed", "agreed", "agreed"),
}
P_B = {"accepted": (0.95, 0.85), "rejected": (0.1, 0.3), "over_cap": (0.6, 0.7)}
REQUESTS = {id_: f"Question {id_}?" for id_ in GIVEN} | {"r2": ESCAPES}
FINGERPRINT = "ab12cd34" * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Where things are, and the lines and answers that were written."""

    path: Path
    source: Path
    answers: dict[tuple[int, str], Demonstration]
    """By round (0: given) and example."""

    @property
    def folder(self) -> Folder:
        return Folder(self.path)

    def labels(self) -> dict[str, str]:
        """Return the answers in the refined dataset by id."""
        rows = (json.loads(line) for line in (self.path / "refined.jsonl").read_text().splitlines())
        return {row["id"]: row["completion"] for row in rows}

    def ledger(self) -> list[Refinement]:
        return list(self.folder.ledger())


def made(place: Path, model: bool = False, **settings: Any) -> Made:
    """Write the folder `place`/refined, as two finished rounds leave it."""
    path, source = place / "refined", place / "data.jsonl"
    path.mkdir(parents=True)
    source.write_text(
        "".join(json.dumps({"id": i, "prompt": REQUESTS[i], "completion": GIVEN[i], "extra": 1}) + "\n" for i in GIVEN)
    )
    answers = _answers()
    write_rows(path / EXAMPLES, _examples())
    write_rows(path / ANSWERS, map(answer_line, answers.values()))
    write_rows(path / LEDGER, _ledger(answers))
    config = _config(source, settings)
    folder = Folder(path)
    folder.write_dataset(config.data, "refined.jsonl")
    summary = _summary(config, model)
    if model:
        _write_model(path / MODEL, source.parent)
    write_page(path, summary)
    folder.write_summary(summary)
    return Made(path=path, source=source, answers=answers)


def _config(source: Path, settings: dict[str, Any]) -> RefineConfig:
    values: dict[str, Any] = {
        "data": {"source": str(source)},
        "model": "builtin:strong",
        "annotator": {"kind": "people"},
        "method": {"kind": "ilr", "rounds": 2, "alpha": 0.5},
    }
    return RefineConfig.model_validate(values | settings)


def _examples() -> Iterator[Example]:
    for position, id_ in enumerate(GIVEN):
        prompt = (Message(role=Role.USER, content=REQUESTS[id_]),)
        where = {"position": position, "where": f"data.jsonl:{position + 1}"}
        yield Example(id=id_, group=prompt_group(prompt), prompt=prompt, metadata=where)


def _answers() -> dict[tuple[int, str], Demonstration]:
    given = {
        (0, id_): Demonstration(example_id=id_, completion=text, source=DemonstrationSource.GIVEN)
        for id_, text in GIVEN.items()
    }
    proposed = {
        (number, id_): Demonstration(
            example_id=id_, completion=text, source=DemonstrationSource.PROPOSAL, producer="m", round=number
        )
        for number, texts in PROPOSED.items()
        for id_, text in texts.items()
    }
    return given | proposed


def _ledger(answers: dict[tuple[int, str], Demonstration]) -> Iterator[Refinement]:
    stands = {id_: answers[0, id_].id for id_ in GIVEN}
    for number, reasons in REASONS.items():
        for id_, reason in zip(GIVEN, reasons, strict=True):
            kept, proposed = stands[id_], answers[number, id_].id
            stands[id_] = proposed if reason == "accepted" else kept
            p_ab, p_ba = P_B.get(reason, (None, None))
            yield Refinement(
                example_id=id_,
                round=number,
                kept=kept,
                proposed=proposed,
                chosen=stands[id_],
                score=None if p_ab is None or p_ba is None else abs((p_ab + p_ba) / 2 - 0.5),
                p_b_ab=p_ab,
                p_b_ba=p_ba,
                annotator="" if p_ab is None else "people",
                model=FINGERPRINT,
                reason=Reason(reason),
            )


def _summary(config: RefineConfig, model: bool) -> Summary:
    return Summary(
        state=State.DONE,
        config=config.settings,
        data=DataSummary(file="refined.jsonl", form="prompt/completion", rows=8, usable=8, skipped=0, bad_rows=()),
        given_accuracy=Metric(value=0.5, n=8, ci95=(0.215, 0.785)),
        rounds=tuple(_round(number, reasons) for number, reasons in REASONS.items()),
        selftest=None,
        calls=None,
        reverted=0,
        model=ModelSummary(folder=MODEL, fingerprint="cd" * 32, current=True) if model else None,
    )


def _round(number: int, reasons: tuple[str, ...]) -> RoundSummary:
    accepted = reasons.count("accepted")
    harm = HarmSummary(
        changes=3, sampled=3, harmed=1, undecided=0, bound=1 / 3, level=0.975, max_harm=None, accepted=True
    )
    return RoundSummary(
        round=number,
        fingerprint=f"{number:064d}",
        counts={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        compared=sum(reason in P_B for reason in reasons),
        replaced=Metric(value=accepted / 8, n=8, ci95=None),
        label_accuracy=Metric(value=0.75, n=8, ci95=(0.409, 0.929)),
        annotator_accuracy=Metric(value=None, n=0, ci95=None),
        accepted_accuracy=None,
        harm=harm if number == 1 else None,
    )


def _write_model(place: Path, private: Path) -> None:
    """Write what a model's folder has: weights, configs that name places, and a pickle that trainers leave."""
    base = private / "models" / "base"
    base.mkdir(parents=True)
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"_name_or_path": str(base), "hidden_size": 8, "eos": [1, "/</s>"]}))
    (place / "tokenizer_config.json").write_text('{"model_max_length": 64}')
    (place / "model.safetensors").write_bytes(b"\0" * (2 * 1024**2))
    (place / "training_args.bin").write_bytes(b"pickle of " + str(base).encode())
    (place / "README.md").write_text(f"base_model: {base}")
