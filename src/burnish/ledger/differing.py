"""In which settings two refinements differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from burnish.config import RefineSettings
from burnish.store.explain import flat

_HARMLESS = {"merge", "name"}
"""Settings that never keep a refinement from going on in its folder."""
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingSetting:
    """A setting with its value in a folder and its value in a new call. A value is None if the field is absent."""

    field: str
    there: Any
    now: Any


def differences(there: RefineSettings, now: RefineSettings) -> Iterator[DifferingSetting]:
    """Yield the settings that differ, in the order of the config."""
    before, after = (flat(settings.model_dump(mode="json", exclude=_HARMLESS)) for settings in (there, now))
    # A dict keeps the order and drops repeated names.
    for field in dict.fromkeys((*after, *before)):
        # A field can be absent: the settings of another method or annotator have other fields.
        if before.get(field, _ABSENT) != after.get(field, _ABSENT):
            yield DifferingSetting(field=field, there=before.get(field), now=after.get(field))
