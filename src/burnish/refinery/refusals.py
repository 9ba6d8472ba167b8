"""Find the rows that a model's chat template cannot take. This happens while the data is read, before anything is
spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from burnish import backends
from burnish.config import DataConfig
from burnish.errors import BackendError
from burnish.forms.recognise import UsableRow
from burnish.forms.table import DataTable
from burnish.inputs.models import FoundModels
from burnish.models.chat import MANY, ChatTemplate, Flaw, turns_of
from burnish.types import Head


def refused_rows(table: DataTable, config: DataConfig, models: FoundModels) -> dict[int, str]:
    """Return {position: reason} for the rows that the chat template of a model refuses.

    If a bad row is an error, the search stops after the first batch with a refused row. Raises ConfigError if a
    template fails whatever the row is.
    """
    templates = list(_templates(models))
    refused: dict[int, str] = {}
    if not templates:
        return refused
    usable = (row for row in table.read() if isinstance(row, UsableRow))
    # In batches of MANY rows, so that memory stays bounded.
    while rows := list(islice(usable, MANY)):
        for template, head in templates:
            refused |= _refused_of(rows, template, head)
        if refused and config.on_bad_row == "error":
            break
    return refused


def _templates(models: FoundModels) -> Iterator[tuple[ChatTemplate, Head]]:
    """Yield the chat template of each model that reads conversations, and the head of the model.

    Models that burnish trained are left out, since their template was checked before. A model that is not on this
    machine is reported elsewhere.
    """
    seen: set[tuple[str, Head]] = set()
    for model in models.by_field.values():
        if model.trained or model.head is Head.CLASSIFIER:
            continue
        try:
            template = backends.chat_of(model.model)
        except BackendError:
            continue
        # Two models may have the same template. It is checked once.
        if template is not None and (template.text, model.head) not in seen:
            seen.add((template.text, model.head))
            yield template, model.head


def _refused_of(rows: Sequence[UsableRow], template: ChatTemplate, head: Head) -> dict[int, str]:
    """Return {position: reason} for the rows that one template refuses. A reward model reads the answer as a turn of
    the conversation. Other models read the prompt alone."""
    scored = head is Head.REWARD
    conversations = [turns_of(row.prompt, row.completion if scored else None) for row in rows]
    texts = template.render_all(conversations, ask=not scored)
    return {
        row.position: text.refusal(template.owner)
        for row, text in zip(rows, texts, strict=True)
        if isinstance(text, Flaw)
    }
