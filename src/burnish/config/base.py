"""What all settings share: frozen models that refuse unknown keys, and the kinds of number that a user may write."""

from __future__ import annotations

import math
import os
import re
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

from burnish.errors import ConfigError

ON_RECORD = "on record"
"""The validation context of settings that a finished run recorded.

What such settings name, a file with a prompt for instance, may be gone by now. Validators that look outside the
settings must not do so in this context, so that a finished folder opens for ever.
"""


class Settings(BaseModel):
    """Base of all settings. They are frozen and refuse unknown names; a field's docstring is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    unwritten: ClassVar[frozenset[str]] = frozenset()
    """Fields that are left out of a dump while they have their default. They were added after results and stages had
    been written, so those keep their bytes and their identity."""

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        usual = {name for name in self.unwritten if getattr(self, name) == fields[name].default}
        return {name: value for name, value in handler(self).items() if name not in usual}


MOST = 10**9
"""The largest number of anything; more is a slip of the pen, or hangs what counts up to it."""
MOST_REPEATS = 1000
"""Of what makes stages of its own: rounds, splits, checkpoints. A plan of more takes minutes or all memory."""
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def number_from_text(value: object) -> object:
    """Return the number that a text says: PyYAML reads `5e-4` as a text, since its numbers need a point.

    Raises ValueError for a text that is no number in digits from 0 to 9, and for true and false.
    """
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number (YAML takes yes, no, on and off for true and false)")
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ValueError("write a number in digits, such as 0.15 or 5e-4")
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("input should be a finite number")
    return value


_READ = BeforeValidator(number_from_text)
PositiveFloat: TypeAlias = Annotated[float, _READ, Field(gt=0, le=MOST)]
NotNegative: TypeAlias = Annotated[float, _READ, Field(ge=0, le=MOST)]
Probability: TypeAlias = Annotated[float, _READ, Field(ge=0, le=1)]
Share: TypeAlias = Annotated[float, _READ, Field(gt=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=MOST, strict=True)]
Repeats: TypeAlias = Annotated[int, Field(ge=1, le=MOST_REPEATS, strict=True)]
"""How often something is done that is a stage of its own."""
Retries: TypeAlias = Annotated[int, Field(ge=0, le=100, strict=True)]
Seed: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True)]
"""Where random draws start; any whole number of 64 bits."""
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/\w[\w.-]*", re.ASCII)


def looks_like_hub_id(source: str) -> bool:
    """Say whether a source has the form OWNER/NAME of an id on the Hugging Face hub; a path may have it, too."""
    return _HUB_ID.fullmatch(source) is not None


def expanded(source: str, field: str) -> str:
    """Return a source with `${NAME}` replaced from the environment and `~` by the home folder.

    Configs and results keep the unexpanded text, so that they name no folder of one machine. Raises ConfigError
    naming `field` where a variable is not set.
    """
    for name in re.findall(r"\$\{(\w+)\}", source):
        if not os.environ.get(name):
            raise ConfigError(f"{field}: {source!r} names the environment variable {name}, which is not set; set it")
        source = source.replace(f"${{{name}}}", os.environ[name])
    return os.path.expanduser(source)  # pathlib's raises for an unknown user
