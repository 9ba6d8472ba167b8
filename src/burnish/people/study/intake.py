"""Where the items of a study come from: pairs that wait for people, files, and the check questions of the study."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter

from burnish.config.base import Settings
from burnish.config.reading import checked
from burnish.config.study import StudyKind
from burnish.config.yaml_text import read_yaml
from burnish.errors import ConfigError, DataError
from burnish.people.mailbox import WAITING, Mailbox
from burnish.people.study.model import ItemRole, StudyItem
from burnish.store.files import read_objects
from burnish.tasks.rows import all_read, column, own_id, text_column
from burnish.types import DemonstrationSource, Order, short_hash

_Text = Annotated[str, Field(min_length=1)]
_PAIR_FORMS = (("input", "output_1", "output_2"), ("prompt", "first", "second"))
"""The columns of a pair: LLMBar's names, and the plain ones."""
PROPOSAL = str(DemonstrationSource.PROPOSAL)
"""The source of an answer that a model proposes in place of the current label."""
_PROMPTS = ("prompt", "question", "instruction")


class KnownPair(Settings):
    """A pair whose better answer is known. It lets people in before the work (`screening`), or it stands among the work
    and looks like it (`gold`)."""

    role: Literal["screening", "gold"] = "screening"
    prompt: _Text
    first: _Text
    second: _Text
    expected: Literal["first", "second"]


class CheckQuestion(Settings):
    """A question whose answers people judge. `words` are looked for in an answer to help them."""

    prompt: _Text
    look_for: str
    words: tuple[_Text, ...] = ()


_PAIRS: TypeAdapter[tuple[KnownPair, ...]] = TypeAdapter(tuple[KnownPair, ...])
_CHECKS: TypeAdapter[tuple[CheckQuestion, ...]] = TypeAdapter(tuple[CheckQuestion, ...])


def read_checks(text: str, name: str, kind: StudyKind) -> list[StudyItem]:
    """Return the check questions of a study from its `questions.yaml`. Raises ConfigError if the file is wrong."""
    values: Any = read_yaml(text, name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise ConfigError(f"{name}: {type(values).__name__} found; write a list of questions, or leave the file empty")
    values = cast("list[Any]", values)
    match kind:
        case StudyKind.COMPARISONS:
            numbers = {role: itertools.count(1) for role in ("screening", "gold")}
            return [
                StudyItem(
                    name=f"{one.role}-{next(numbers[one.role])}",
                    role=ItemRole(one.role),
                    prompt=one.prompt,
                    a=one.first,
                    b=one.second,
                    expected="a" if one.expected == "first" else "b",
                )
                for one in checked(_PAIRS, values, name)
            ]
        case StudyKind.DEMONSTRATIONS:
            return [
                StudyItem(
                    name=f"check-{number}",
                    role=ItemRole.CHECK,
                    prompt=one.prompt,
                    expected=json.dumps({"look_for": one.look_for, "words": one.words}, ensure_ascii=False),
                )
                for number, one in enumerate(checked(_CHECKS, values, name), 1)
            ]


def found_words(expected: str, answer: str) -> dict[str, bool]:
    """Return {expected word: whether an answer has it, as a whole word}. `13` does not contain the word `3`.

    This helps the person who judges a check. It decides nothing.
    """
    words: list[str] = json.loads(expected)["words"]
    return {word: re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer, re.IGNORECASE) is not None for word in words}


def looked_for(expected: str) -> str:
    """Return what the answer to a check should have, in words for people."""
    return json.loads(expected)["look_for"]


def read_items(source: Path, kind: StudyKind, most: int | None, seed: int) -> list[StudyItem]:
    """Return the items of work from the folder of a refinement or a run, or from a JSONL file.

    `most` draws so many of them at random. Raises DataError if no pair waits in the folder, or if a row is wrong.
    """
    items = _waiting(source, kind) if source.is_dir() else _rows(source, kind)
    twice = [name for name, count in Counter(item.name for item in items).items() if count > 1]
    if twice:
        raise DataError(f"{source}: the id {twice[0]!r:.80} occurs twice; give each row its own")
    if most is not None and most < len(items):
        drawn = random.Random(short_hash("items", str(seed))).sample(range(len(items)), most)  # noqa: S311 no secret
        items = [items[at] for at in sorted(drawn)]
    return items


def _waiting(folder: Path, kind: StudyKind) -> list[StudyItem]:
    """Return the pairs that wait in a folder, or their prompts."""
    pairs = Mailbox(folder).asked()
    if not pairs:
        raise DataError(
            f"{folder / WAITING}: no pair waits for people; run `burnish refine` or `burnish run` with the annotator "
            "`people` first, or name a JSONL file"
        )
    if kind is StudyKind.DEMONSTRATIONS:
        prompts = {pair.example_id: pair.request for pair in pairs}
        return [
            StudyItem(name=id_, role=ItemRole.WORK, prompt=request, example_id=id_) for id_, request in prompts.items()
        ]
    return [
        StudyItem(
            name=pair.id,
            role=ItemRole.WORK,
            prompt=pair.request,
            # In its own order, a pair has the current label first.
            a=pair.first if pair.shown is Order.AB else pair.second,
            b=pair.second if pair.shown is Order.AB else pair.first,
            a_source=pair.current,
            b_source=PROPOSAL if pair.current else "",
            example_id=pair.example_id,
            weight=pair.weight,
            why=pair.why or str(pair.purpose),
        )
        for pair in pairs
    ]


def _rows(path: Path, kind: StudyKind) -> list[StudyItem]:
    seen: Counter[str] = Counter()

    def read(where: str, columns: Mapping[str, Any]) -> StudyItem:
        pair = _pair(where, columns) if kind is StudyKind.COMPARISONS else (_prompt(where, columns), "", "")
        own = short_hash(*pair)
        seen[own] += 1
        # Rows may repeat. Then a number keeps their names apart.
        id_ = None if columns.get("id") is None else own_id(where, columns)
        name = id_ or own + (f"-{seen[own]}" if seen[own] > 1 else "")
        prompt, a, b = pair
        return StudyItem(
            name=name,
            role=ItemRole.WORK,
            prompt=prompt,
            a=a,
            b=b,
            a_source=_optional(where, columns, "first_source"),
            b_source=_optional(where, columns, "second_source"),
            example_id=name,
            weight=_weight(where, columns),
            why=_optional(where, columns, "why"),
        )

    items = all_read(((f"{path}:{number}", row) for number, row in read_objects(path)), read)
    if not items:
        raise DataError(f"{path}: has no rows; write one JSON object a line")
    return items


def _pair(where: str, columns: Mapping[str, Any]) -> tuple[str, str, str]:
    names = next((form for form in _PAIR_FORMS if form[1] in columns), _PAIR_FORMS[1])
    prompt, a, b = (text_column(where, columns, name) for name in names)
    return prompt, a, b


def _prompt(where: str, columns: Mapping[str, Any]) -> str:
    name = next((name for name in _PROMPTS if name in columns), _PROMPTS[0])
    more = columns.get("input")
    # Alpaca's form: the input belongs to the instruction.
    follows = f"\n\n{more.strip()}" if name == "instruction" and isinstance(more, str) and more.strip() else ""
    return text_column(where, columns, name) + follows


def _optional(where: str, columns: Mapping[str, Any], name: str) -> str:
    return text_column(where, columns, name) if columns.get(name) is not None else ""


def _weight(where: str, columns: Mapping[str, Any]) -> float:
    if "weight" not in columns:
        return 1.0
    value = column(where, columns, "weight")
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
        raise DataError(f"{where}: column 'weight' is {value!r:.40}; write 1 / P(the pair was sent), at least 1")
    return float(value)
