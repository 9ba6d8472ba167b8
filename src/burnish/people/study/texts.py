"""The texts that people see. They are files in the folder of a study, which can be edited and translated."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, create_model

from burnish.config.base import Settings
from burnish.config.reading import checked
from burnish.config.study import ComparisonStudy, StudyKind, StudySettings
from burnish.config.yaml_text import read_yaml
from burnish.errors import ConfigError

TEXTS = ("task", "consent", "disclaimer", "guide", "privacy")
WORDS = "words.yaml"
_NAME = re.compile(r"\{(\w+)\}")
_BETWEEN_BLOCKS = re.compile(r"\n\s*\n")


def default_file(name: str) -> str:
    """Return the text of a file that comes with burnish, such as `comparisons/task.txt`."""
    return resources.files("burnish.people.study").joinpath("defaults").joinpath(name).read_text(encoding="utf-8")


def default_texts(kind: StudyKind) -> dict[str, str]:
    """Return {name of a file in the folder of texts: its text} of a new study."""
    return {f"{name}.txt": default_file(f"{kind}/{name}.txt") for name in TEXTS} | {WORDS: default_file(WORDS)}


def filled(text: str, values: Mapping[str, object]) -> str:
    """Return a text in which `{name}` is replaced by a value. Other braces stay as they are."""
    return _NAME.sub(lambda found: str(values.get(found[1], found[0])), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a text: a heading, a paragraph, or a list."""

    kind: str
    lines: tuple[str, ...]


def blocks(text: str) -> list[Block]:
    """Return the parts of a text. A blank line separates them. `# ` begins a heading, and `- ` a point of a list."""
    found: list[Block] = []
    for part in _BETWEEN_BLOCKS.split(text.strip()):
        lines = part.strip().splitlines()
        if not lines:
            continue
        if all(line.startswith("- ") for line in lines):
            found.append(Block(kind="list", lines=tuple(line[2:] for line in lines)))
        elif len(lines) == 1 and lines[0].startswith("# "):
            found.append(Block(kind="heading", lines=(lines[0][2:],)))
        else:
            found.append(Block(kind="paragraph", lines=tuple(lines)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTexts:
    """All texts of a study, with the values of its settings filled in.

    `words` are the short texts of the pages by name. Some of them have names in braces that a page fills.
    """

    texts: Mapping[str, list[Block]]
    words: Mapping[str, str]


def read_texts(folder: Path, rules: StudySettings, checks: int, items: int) -> PageTexts:
    """Read the texts of a study with `checks` check questions, not counting gold pairs, and `items` items of work.

    A paragraph that names the number of check questions is left out if there are none.

    Raises ConfigError if a file is missing, or if the words are not those that the pages need.
    """
    values = _values(rules, checks, items)
    texts = {name: blocks(filled(_without_checks(_read(folder / f"{name}.txt"), checks), values)) for name in TEXTS}
    words = _checked_words(read_yaml(_read(folder / WORDS), str(folder / WORDS)), str(folder / WORDS))
    return PageTexts(texts=texts, words={name: filled(word, values) for name, word in words.items()})


def _without_checks(text: str, checks: int) -> str:
    """Return a text without what it says about check questions, if there are none."""
    parts = _BETWEEN_BLOCKS.split(text)
    return "\n\n".join(part for part in parts if checks or not {"checks", "screening"} & set(_NAME.findall(part)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({why_unread(error)}); put the file back, in UTF-8. It may be empty"
        ) from None


def why_unread(error: OSError | UnicodeDecodeError) -> str:
    """Return why a text file cannot be read, in words."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else os.strerror(error.errno or 0)


def _checked_words(values: Any, name: str) -> dict[str, str]:
    """Return the words of the pages. Raises ConfigError if one is missing, unknown, or no text."""
    needed: dict[str, str] = read_yaml(default_file(WORDS), WORDS)
    # The default file is the list of the words that the pages need.
    fields: dict[str, Any] = dict.fromkeys(needed, (str, ...))
    model = create_model("StudyWords", __base__=Settings, **fields)
    words: dict[str, str] = checked(TypeAdapter(model), values, name).model_dump()
    return words


def _values(rules: StudySettings, checks: int, items: int) -> dict[str, object]:
    """Return what the names in braces stand for."""
    gold = rules.gold if isinstance(rules, ComparisonStudy) else 0
    return {
        # A small study has fewer items than a sitting can have. Gold pairs look like work, so they are in this number.
        "per_sitting": min(rules.per_sitting, items) + gold,
        "checks": checks,
        "screening": checks,
        "tries": rules.screening_tries if isinstance(rules, ComparisonStudy) else 1,
        "minutes": f"{rules.minutes:g}",
        "least": span(rules.least_seconds),
        "most": span(rules.most_seconds),
        "least_seconds": f"{rules.least_seconds:g}",
        "most_seconds": f"{rules.most_seconds:g}",
        "base_pay": rules.base_pay,
        "full_pay": rules.full_pay,
    }


def span(seconds: float) -> str:
    """Write seconds as people say them: 60 becomes "1 minute", and 90 becomes "90 seconds"."""
    if seconds >= 60 and seconds % 60 == 0:
        return "1 minute" if seconds == 60 else f"{seconds / 60:g} minutes"
    return f"{seconds:g} seconds"
