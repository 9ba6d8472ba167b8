"""A reader of YAML that users wrote. Nothing in a text can crash it, make it hang, or fill the memory."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

from burnish.errors import ConfigError, brief

LARGEST = 1 << 20
"""The most characters of a text. A config has a few thousand, a chat template within it some ten thousand."""
DEEPEST = 40
"""The most levels of lists and mappings inside one another."""
MOST_NODES = 100_000
"""The most values of a text. An alias (`*name`) counts as many values as it stands for, because a few aliases of
aliases can stand for billions of values."""
_LONGEST_MESSAGE = 500
"""The most characters of PyYAML's own words in an error."""


def read_yaml(text: str, name: str) -> Any:
    """Return the value of a YAML text.

    Raises ConfigError, which begins with `name`, if the text is too long, too deep, too large or not valid YAML.
    """
    # Asked first, because `_check_size` parses the whole text.
    if len(text) > LARGEST:
        raise ConfigError(f"{name}: {len(text):,} characters found; at most {LARGEST:,} are read as YAML")
    try:
        _check_size(text, name)
        return yaml.load(text, _Loader)  # noqa: S506 a safe loader, with better errors
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {str(error)[:_LONGEST_MESSAGE]}") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but it says where a wrong value stands.

    PyYAML itself passes on whatever error Python raises, for example a ValueError for the date `2020-99-99`.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(
                None, None, f"{brief(node.value)} is no {kind[:40]}; put text into quotes", node.start_mark
            ) from None


def _check_size(text: str, name: str) -> None:
    """Raise ConfigError for too many levels or values, or for an alias that is part of the value it stands for.

    The parser's events are read one by one. `yaml.load` builds values by recursion and ends with a RecursionError.
    """
    # Each open list or mapping: its anchor, and the number of values before it.
    open_: list[tuple[str | None, int]] = []
    # For each anchor, how many values an alias of it stands for.
    known: dict[str | None, int] = {}
    size: int = 1
    for event in yaml.parse(text, yaml.SafeLoader):
        match event:
            case AliasEvent(anchor=anchor):
                if any(anchor == other for other, _ in open_):
                    raise ConfigError(
                        f"{name}: *{str(anchor)[:40]} is part of the value that it stands for; write the value out"
                    )
                # An alias of an open anchor was refused above, so the size of this anchor is complete.
                size += known.get(anchor, 1)
            case CollectionStartEvent(anchor=anchor):
                open_.append((anchor, size))
                size += 1
            case CollectionEndEvent():
                anchor, before = open_.pop()
                if anchor is not None:
                    known[anchor] = size - before
            case ScalarEvent(anchor=anchor):
                size += 1
                if anchor is not None:
                    known[anchor] = 1
            case _:
                continue
        # Checked at each event, so that a text that is far too large is refused before it is read to its end.
        if len(open_) > DEEPEST:
            raise ConfigError(f"{name}: more than {DEEPEST} levels of lists and mappings; write it flatter")
        if size > MOST_NODES:
            raise ConfigError(
                f"{name}: more than {MOST_NODES:,} values, counting those that each alias stands for; use fewer"
            )
