"""Which columns of a dataset hold the parts of a row, as a user names them on the command line."""

from __future__ import annotations

from typing import Literal

from pydantic import TypeAdapter

from burnish.config.reading import checked
from burnish.config.refinery import DataConfig
from burnish.errors import ConfigError


def columns_from(text: str) -> dict[str, str]:
    """Read `prompt=query,completion=response`. Raises ConfigError naming the part that is not NAME=NAME or that comes
    twice."""
    columns: dict[str, str] = {}
    for pair in text.split(","):
        part, equals, column = (piece.strip() for piece in pair.partition("="))
        if not equals or not part or not column or part in columns:
            raise ConfigError(
                f"--columns: {pair!r:.200} found; write each part once, such as prompt=query,completion=response (a "
                "name with a comma goes into --set data.columns.prompt=NAME)"
            )
        columns[part] = column
    return columns


def dataset(source: str, columns: str | None, on_bad_row: Literal["error", "skip"] = "error") -> DataConfig:
    """Return the settings of a dataset, as the options of a command name it.

    Raises ConfigError if `columns` cannot be read or names a part that does not exist.
    """
    values = {"source": source, "on_bad_row": on_bad_row}
    named = {} if columns is None else {"columns": columns_from(columns)}
    return checked(TypeAdapter(DataConfig), values | named, "--columns" if named else source)
