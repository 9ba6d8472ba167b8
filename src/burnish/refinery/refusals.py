"""Rows that a model's chat template cannot take, found while the data is read: before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from burnish import backends
from burnish.config import DataConfig
from burnish.errors import BackendError
from burnish.forms.recognise import UsableRow
from burnish.forms.table import Table
from burnish.inputs.models import FoundModels
from burnish.models.chat import MANY, ChatTemplate, Flaw, turns_of
from burnish.types import Head


def refused_rows(table: Table, config: DataConfig, models: FoundModels) -> dict[int, str]:
    """Return {position: why} of the rows that the chat template of a model refuses.

    Where a bad row is an error, the first one is enough. Raises ConfigError where a template fails on any row.
    """
    templates = list(_templates(models))
    refused: dict[int, str] = {}
    if not templates:
        return refused
    given = (row for row in table.read() if isinstance(row, UsableRow))
    while rows := list(islice(given, MANY)):
        for template, head in templates:
            refused |= _refused_of(rows, template, head)
        if refused and config.on_bad_row == "error":
            break
    return refused


def _templates(models: FoundModels) -> Iterator[tuple[ChatTemplate, Head]]:
    """Yield the chat template of each model that reads conversations, and what the model ends in.

    A folder that burnish trained has been through this before. A model that is not here is named elsewhere.
    """
    seen: set[tuple[str, Head]] = set()
    for found in models.by_field.values():
        if found.trained or found.head is Head.CLASSIFIER:
            continue
        try:
            template = backends.chat_of(found.model)
        except BackendError:
            continue
        if template is not None and (template.text, found.head) not in seen:
            seen.add((template.text, found.head))
            yield template, found.head


def _refused_of(rows: Sequence[UsableRow], template: ChatTemplate, head: Head) -> dict[int, str]:
    """A reward model reads the answer as a turn of the conversation; other models read the prompt alone."""
    scored = head is Head.REWARD
    conversations = [turns_of(row.prompt, row.completion if scored else None) for row in rows]
    texts = template.render_all(conversations, ask=not scored)
    return {
        row.position: text.refusal(template.owner)
        for row, text in zip(rows, texts, strict=True)
        if isinstance(text, Flaw)
    }
