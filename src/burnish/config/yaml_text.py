"""YAML that somebody wrote, read so that nothing in it can crash, hang or fill the memory."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

from burnish.errors import ConfigError, brief

LARGEST = 1 << 20
"""Characters of a text. A config is a few thousand; a chat template within it some ten thousand."""
DEEPEST = 40
"""Levels of lists and mappings within each other."""
MOST_NODES = 100_000
"""Values, those counted that an alias (`*name`) stands for: a few aliases of aliases stand for billions."""
_LONGEST_MESSAGE = 500


def read_yaml(text: str, name: str) -> Any:
    """Return what a YAML text holds. Raises ConfigError that begins with `name` for all that is wrong with it."""
    if len(text) > LARGEST:
        raise ConfigError(f"{name}: {len(text):,} characters found; at most {LARGEST:,} are read as YAML")
    try:
        _check_size(text, name)
        return yaml.load(text, _Loader)  # noqa: S506 a safe loader, with better errors
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {str(error)[:_LONGEST_MESSAGE]}") from None


class _Loader(yaml.SafeLoader):
    """The safe loader, which says where a value is wrong: PyYAML's raises whatever Python raises for `2020-99-99`."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(
                None, None, f"{brief(node.value)} is no {kind[:40]}; put text into quotes", node.start_mark
            ) from None


def _check_size(text: str, name: str) -> None:
    """Raise ConfigError for too many levels or values. The events are read one by one, without recursion."""
    open_: list[tuple[str | None, int]] = []
    known: dict[str | None, int] = {}
    size: int = 1
    for event in yaml.parse(text, yaml.SafeLoader):
        match event:
            case AliasEvent(anchor=anchor):
                if any(anchor == other for other, _ in open_):
                    raise ConfigError(
                        f"{name}: *{str(anchor)[:40]} stands for something that it is part of; write it out"
                    )
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
        if len(open_) > DEEPEST:
            raise ConfigError(f"{name}: more than {DEEPEST} levels of lists and mappings; write it flatter")
        if size > MOST_NODES:
            raise ConfigError(
                f"{name}: more than {MOST_NODES:,} values, counting what each alias stands for; use fewer"
            )
