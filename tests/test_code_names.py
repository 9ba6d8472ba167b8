"""Pages and docstrings name only code that is there, and one word has one meaning."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections import Counter

import pytest
from code_names import ROOT, SOURCE, Code, gone, read_code, setting_paths, texts

from burnish.config import Config, RefineConfig

ONE_MEANING = {"Refinement", "Outcome", "Given", "Verdict", "Row", "Record"}


@functools.cache
def code() -> Code:
    return read_code()


@functools.cache
def settings() -> frozenset[str]:
    return frozenset({*setting_paths(Config), *setting_paths(RefineConfig)})


def missing(text: str, *local: str) -> list[str]:
    return gone(text, code(), set(local), settings())


@pytest.mark.slow
def test_every_code_name_in_pages_and_docstrings_is_there() -> None:
    found = {where: names for where, text, local in texts() if (names := gone(text, code(), local, settings()))}
    assert found == {}


@pytest.mark.parametrize(
    "name",
    [
        "burnish.refine",
        "burnish.diff(folder)",
        "burnish.store.stages.Stage.fingerprint",
        "protocols.Task",
        "refinement.select",
        "AnswerMatcher.extract",
        "run_method",
        "TaskSettings",
        "make_task()",
        "tasks/rows.py",
        "src/burnish/types.py",
        "python scripts/write_docs.py",
        "tasks/NAME.py",
        "execution.max_calls",
        "datasets.Dataset",
        "refined.jsonl",
        "answers_timeout",
        "--set train.epochs=3",
    ],
)
def test_names_that_are_there(name: str) -> None:
    assert missing(f"See `{name}`.") == []


@pytest.mark.parametrize(
    "name",
    [
        "burnish.polish",
        "burnish.store.polish",
        "burnish.diffs(folder)",
        "burnish.store.stages.Stage.print",
        "protocols.Tasks",
        "refine.select",
        "AnswerMatcher.extracts",
        "checkpoints_of",
        "AnnotatorPlans",
        "checkpoints_of()",
        "steps.py",
        "methods/preference.py",
        "execution.most_calls",
        "ways.out",
    ],
)
def test_names_that_are_gone(name: str) -> None:
    assert missing(f"See `{name}`.") == [name]


def test_a_docstring_may_name_its_own_parameters() -> None:
    assert missing("See `ways.out`, `judged_at` and `judge(a)`.", "ways", "judged_at") == []


@pytest.mark.slow
def test_the_words_of_refinement_have_one_meaning_each() -> None:
    classes = [
        node.name
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert {name: count for name, count in Counter(classes).items() if name in ONE_MEANING and count > 1} == {}


def test_the_page_has_the_floors_of_the_house_as_they_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.split("\n## Imports go one way\n")[1].split("\n## ")[0]
    floors = [re.findall(r"`(\w+)`", line) for line in re.findall(r"^\d+\. ([^:]+):", section, re.MULTILINE)]
    assert floors == [layer.split(" | ") for layer in reversed(layers)]
