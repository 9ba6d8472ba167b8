"""Thousands of bad inputs through rows, configs, judges' replies and the store: what happens, counted.

    python benchmarks/bad_inputs.py --out docs/results/robustness.json --page docs/robustness.md

Everything runs in this process, without models and network, and is drawn from `--seed`. A bad input may be read, or end
in an error of burnish. Any other exception counts as a traceback, more than ten seconds as a hang, and a verdict that a
reply does not name as invented. `--page` writes the table of the counts into the page.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

import bad_replies
import bad_store
import bad_values
from bad_counts import Section
from bad_page import page_table, write_page
from bad_replies import Names


def part(module: str, *names: str) -> list[Any]:
    """Import parts of burnish, by name: a module that moved is said, and the other sections still run."""
    return [getattr(importlib.import_module(f"burnish.{module}"), name) for name in names]


def rows(count: int, seed: int, where: Path) -> Section:
    """Read files of rows in all forms, and write them again with another first answer."""
    (DataConfig,) = part("config", "DataConfig")
    (open_table,) = part("forms.table", "open_table")
    (facts_of,) = part("refinery.dataset", "facts_of")
    section = Section()
    for number in range(count):
        random = Random(f"rows {seed} {number}")
        suffix, data = bad_values.file_of_rows(random)
        path, out = where / f"data{suffix}", where / f"out{suffix}"
        path.write_bytes(data)
        policy = random.choice(["error", "skip"])

        def read(path: Path = path, out: Path = out, policy: str = policy) -> None:
            config = DataConfig(source=str(path), on_bad_row=policy)
            table = open_table(config)
            facts_of(table, config)
            table.write(out, _first_changed)

        section.trial(lambda suffix=suffix, data=data: f"{suffix} {data[:300]!r}", read)
    return section


def _first_changed(position: int) -> str | None:
    return "#### 2" if position == 0 else None


def grades(count: int, seed: int, where: Path) -> Section:
    """Grade predictions as numbers and as refusals."""
    (grade,) = part("tasks.grading", "grade")
    section = Section()
    for number in range(count):
        random = Random(f"grades {seed} {number}")
        task = random.choice(["gsm8k", "word_problems", "sums", "instructions"])
        given = [bad_values.prediction(random) for _ in range(random.randrange(1, 4))]
        path = where / "predictions.jsonl"
        path.write_text("\n".join(bad_values.dumps(one) for one in given), encoding="utf-8", errors="replace")
        section.trial(
            lambda given=given: repr(given)[:300],
            lambda task=task, path=path: grade(task, path, where / "graded.jsonl"),
        )
    return section


def configs(count: int, seed: int, where: Path) -> Section:
    """Read configs as YAML, with changes, as mappings, as short forms of annotators, and as options in Python."""
    parse_config, refine_config, read_annotator = part(
        "config.reading", "parse_config", "refine_config", "read_annotator"
    )
    Options, config_of = part("refinery.options", "Options", "config_of")
    good = resources.files("burnish").joinpath("demo.yaml").read_text(encoding="utf-8")
    names = sorted(Options.__dataclass_fields__)
    section = Section()
    for number in range(count):
        random = Random(f"configs {seed} {number}")
        match number % 5:
            case 0:
                text = bad_values.yaml_text(random, good)
                section.trial(lambda text=text: text[-300:], lambda text=text: parse_config(text, "c.yaml"))
            case 1:
                change = bad_values.change(random)
                section.trial(lambda c=change: c[:300], lambda c=change: parse_config(good, "c.yaml", [c]))
            case 2:
                fields = {random.choice(bad_values.FIELDS): bad_values.python_value(random) for _ in range(3)}
                fields |= {"data": {"source": "x"}, "model": bad_values.python_value(random)}
                section.trial(lambda f=fields: repr(f)[:300], lambda f=fields: refine_config(f))
            case 3:
                text = random.choice([*bad_values.SHORT, bad_values.text(random)])
                section.trial(lambda text=text: text[:300], lambda text=text: read_annotator(text))
            case _:
                options: dict[str, Any] = {"data": "x.jsonl", "model": "builtin:strong", "annotator": "people"}
                options |= {random.choice(names): bad_values.python_value(random) for _ in range(2)}
                section.trial(lambda o=options: repr(o)[:300], lambda o=options: config_of(Options(**o)))
    return section


def replies(count: int, seed: int, where: Path) -> Section:
    """Read judges' replies: texts, log-probabilities, bodies. A verdict that a reply does not name is invented."""
    (JudgeConfig,) = part("config", "JudgeConfig")
    (read_reply,) = part("annotators.llm.verdicts", "read_reply")
    (reply_of,) = part("annotators.llm.replies", "reply_of")
    judge = {"kind": "judge", "base_url": "http://localhost/v1", "model": "m", "api_key_env": None}
    by_text, by_either = (JudgeConfig(**judge, read=read) for read in ("text", "auto"))
    section = Section()
    for number in range(count):
        random = Random(f"replies {seed} {number}")
        said = bad_replies.said(random)
        match number % 3:
            case 0:
                body, config = json.dumps(_completion(said.text, None)), by_text
            case 1:
                body, config = json.dumps(_completion(said.text, bad_replies.tokens(random, said))), by_either
            case _:
                body, config = bad_replies.body(random, said).decode(errors="replace"), by_either

        def read(body: str = body, config: Any = config) -> Any:
            found = reply_of(body, False)
            return None if found is None else read_reply(found, config)

        verdict = section.trial(lambda said=said: repr(said), read)
        check_verdict(section, said, verdict)
    return section


def _completion(text: str, tokens: list[dict[str, Any]] | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"message": {"content": text}, "finish_reason": "stop"}
    if tokens is not None:
        choice["logprobs"] = {"content": tokens}
    return {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


def check_verdict(section: Section, said: bad_replies.Said, verdict: Any) -> None:
    """Count a verdict, which is a number, that the reply does not give."""
    if isinstance(verdict, bool) or not isinstance(verdict, int | float):
        return  # an abstention, with or without its reason
    if said.names is not Names.ONE:
        section.invented += 1
        section.tell(f"invented {verdict}: {said!r}")
    elif {"A": verdict < 0.5, "B": verdict > 0.5, "C": 0.25 <= verdict <= 0.75}[said.label] is False:
        section.misread += 1
        section.tell(f"misread as {verdict}: {said!r}")


def store(count: int, seed: int, where: Path) -> Section:
    """Damage one file of a store and run again: the same bytes, or an error of ours."""
    section = Section()
    for number, (done, right, place) in enumerate(bad_store.trials(count, seed, where)):
        found = section.trial(lambda done=done: done, lambda place=place, number=number: bad_store.use(place, number))
        if found is not None and found != right:
            section.differing += 1
            section.tell(f"other bytes: {done}")
    return section


SECTIONS: dict[str, tuple[Callable[[int, int, Path], Section], int]] = {
    "rows": (rows, 8000),
    "grades": (grades, 4000),
    "configs": (configs, 5000),
    "replies": (replies, 9000),
    "store": (store, 100),
}


def _done(_: int) -> None:
    """Sync nothing."""


@contextmanager
def unsynced() -> Generator[None, None, None]:
    """Leave it to the system when files reach the disk: what is tried here is no power cut."""
    known = {name: getattr(os, name) for name in ("fsync", "fdatasync") if hasattr(os, name)}
    try:
        for name in known:
            setattr(os, name, _done)
        yield
    finally:
        for name, function in known.items():
            setattr(os, name, function)


def tried(names: list[str], share: float, seed: int) -> Iterator[tuple[str, Section]]:
    """Yield each section with its counts."""
    for name in names:
        function, count = SECTIONS[name]
        with tempfile.TemporaryDirectory() as folder, unsynced():
            try:
                yield name, function(max(1, round(count * share)), seed, Path(folder))
            except Exception as error:  # a part of burnish moved, say: the other sections still run
                section = Section(tracebacks=1)
                section.tell(f"the section could not run: {type(error).__name__}: {error}")
                yield name, section


def main() -> None:
    """Try the sections, print JSON, and write the page where one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sections", default=",".join(SECTIONS), help="which, with commas between")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of inputs")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path, help="a page whose table is written anew")
    options = parser.parse_args()
    started, sections = time.monotonic(), dict[str, Section]()
    for name, section in tried(options.sections.split(","), options.share, options.seed):
        sections[name] = section
        print(f"{name}: {section.inputs} inputs, {section.wrong()}", file=sys.stderr)
    result = {
        "command": f"python benchmarks/bad_inputs.py --seed {options.seed} --sections {options.sections} "
        f"--share {options.share:g}",
        "seed": options.seed,
        "inputs": sum(section.inputs for section in sections.values()),
        "seconds": round(time.monotonic() - started),
        "sections": {name: asdict(section) for name, section in sections.items()},
    }
    text = json.dumps(result, indent=2, ensure_ascii=True)
    print(text)
    if options.out:
        options.out.write_text(f"{text}\n", encoding="utf-8")
    if options.page:
        write_page(options.page, page_table(result, Path(__file__).parent.parent / "docs" / "results"))


if __name__ == "__main__":
    main()
