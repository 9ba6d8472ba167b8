"""What a row is known by: the user's own id, or one that is made from its prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from burnish.types import Message, prompt_group, short_hash


class RowIds:
    """Gives the rows of one dataset their ids, in the order of the file.

    An id that is made does not depend on where the row stands, only on its prompt and on how many rows before it have
    the same prompt and no id of their own. Everything that draws rows by id draws the same ones.
    """

    def __init__(self) -> None:
        # By prompt, how many rows without an id of their own had it. Two rows with one prompt are two rows and need two
        # ids.
        self._occurrences: Counter[str] = Counter()

    def id_of(self, own: str | None, prompt: Iterable[Message]) -> str:
        """Return the user's own id, or a hash of the prompt and its number."""
        if own is not None:
            return own
        group = prompt_group(prompt)
        made = short_hash("own", group, str(self._occurrences[group]))
        self._occurrences[group] += 1
        return made
