"""Reads finetuning datasets row by row, in the forms and files that people have.

Writes them with some answers replaced.
"""

from __future__ import annotations

from burnish.forms.layout import Form, Layout
from burnish.forms.recognise import BadRow, UsableRow, read_row, recognise, with_completion
from burnish.forms.table import DataTable, FileKind, open_table

__all__ = [
    "BadRow",
    "DataTable",
    "FileKind",
    "Form",
    "Layout",
    "UsableRow",
    "open_table",
    "read_row",
    "recognise",
    "with_completion",
]
