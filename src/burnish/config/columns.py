"""Which columns of a dataset hold the parts of a row, as a user names them on the command line."""

from __future__ import annotations

from typing import Literal

from pydantic import TypeAdapter

from burnish.config.reading import checked
from burnish.config.refinery import DataConfig
from burnish.errors import ConfigError

NO_COMMA = "rename a column whose name has a comma"


def columns_from(text: str, comma: str = NO_COMMA) -> dict[str, str]:
    """Read `prompt=query,completion=response`. `comma` says what to do with a name that has a comma.

    Raises ConfigError naming the part that is not NAME=NAME or that comes twice.
    """
    columns: dict[str, str] = {}
    for pair in text.split(","):
        part, equals, column = (piece.strip() for piece in pair.partition("="))
        if not equals or not part or not column or part in columns:
            raise ConfigError(
                f"--columns: {pair!r:.200} found; write each part once, such as prompt=query,completion=response "
                f"({comma})"
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


def check_columns_are_read(columns: str | None, data: str | None, option: str) -> None:
    """Raise ConfigError if columns are named but the dataset that has them is not. `option` names the dataset."""
    if columns is not None and data is None:
        raise ConfigError(f"--columns: {columns!r:.200} found without {option}; add {option}, or leave --columns out")
