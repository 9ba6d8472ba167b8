"""The ids of rows. A row has the user's own id, or an id that is made from its prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from burnish.store.keys import SeenNumbers
from burnish.types import Message, prompt_group, short_hash


class RowIds:
    """Gives the rows of one dataset their ids. The rows must come in the order of the file.

    An id that is made does not depend on the position of the row. It depends on the prompt, and on how many rows before
    it have the same prompt and no id of their own. So everything that draws rows by id draws the same rows.
    """

    def __init__(self) -> None:
        # Two rows with the same prompt need two ids. Only prompts that come again are counted: in most datasets these
        # are few, and a count for each prompt of a million rows would take 200 MB.
        self._seen = SeenNumbers()
        self._again: Counter[str] = Counter()

    def id_of(self, own: str | None, prompt: Iterable[Message]) -> str:
        """Return the user's own id if there is one.

        Otherwise return a hash of the prompt and of its number among the rows with this prompt.
        """
        return own if own is not None else self.made(prompt_group(prompt))

    def made(self, group: str) -> str:
        """Return the id of a row that has none, from the group of its prompt."""
        if not self._seen.add(int(group, 16)):
            self._again[group] += 1
        return short_hash("own", group, str(self._again.get(group, 0)))
