"""The ids of rows. A row has the user's own id, or an id that is made from its prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from burnish.types import Message, prompt_group, short_hash


class RowIds:
    """Gives the rows of one dataset their ids. The rows must come in the order of the file.

    An id that is made does not depend on the position of the row. It depends on the prompt, and on how many rows before
    it have the same prompt and no id of their own. So everything that draws rows by id draws the same rows.
    """

    def __init__(self) -> None:
        # For each prompt: how many rows so far have it and have no id of their own. Two rows with the same prompt need
        # two ids.
        self._occurrences: Counter[str] = Counter()

    def id_of(self, own: str | None, prompt: Iterable[Message]) -> str:
        """Return the user's own id if there is one.

        Otherwise return a hash of the prompt and of its number among the rows with this prompt.
        """
        if own is not None:
            return own
        group = prompt_group(prompt)
        made = short_hash("own", group, str(self._occurrences[group]))
        self._occurrences[group] += 1
        return made
