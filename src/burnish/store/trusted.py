"""Makes rows from the lines that a finished stage wrote, without checking each value again.

The checksums of such files were compared. pydantic checks types as well, and takes three times as long for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def trusted(row_type: type[T], **converted: Callable[[Any], Any]) -> Callable[[dict[str, Any]], T]:
    """Return a function that makes a frozen dataclass with slots from its values.

    `converted` names the fields whose values have another type in JSON, each with a function that returns the field's
    value. The function that is returned raises KeyError if a field is missing or there is another one.
    """
    assert dataclasses.is_dataclass(row_type), row_type
    # A slot's own descriptor sets a field of a frozen object, as `object.__setattr__` does, and is faster.
    setters = [(field.name, getattr(row_type, field.name).__set__) for field in dataclasses.fields(row_type)]
    plain = [(name, put) for name, put in setters if name not in converted]
    others = [(name, put, converted[name]) for name, put in setters if name in converted]
    new, count = object.__new__, len(setters)

    def make(values: dict[str, Any]) -> T:
        if len(values) != count:
            raise KeyError(row_type.__name__)
        row = new(row_type)
        for name, put in plain:
            put(row, values[name])
        for name, put, convert in others:
            put(row, convert(values[name]))
        return row

    return make
