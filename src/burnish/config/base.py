"""The base class of all settings, and the types of the numbers and names that a user may write."""

from __future__ import annotations

import math
import os
import re
import shlex
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
"""The validation context for reading settings that a finished run recorded.

A file that such settings name (for instance a prompt file) may no longer exist. Therefore a validator must not look at
anything outside the settings in this context. In this way the folder of a finished run can always be opened.
"""


class Settings(BaseModel):
    """The base class of all settings.

    Settings are frozen and refuse unknown fields. The docstring of a field is its description in the documentation.
    """

    # A misspelt field would otherwise be passed over, and the run would use the default. Frozen, because one object is
    # the default of many configs and a part of the keys of caches.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    unwritten: ClassVar[frozenset[str]] = frozenset()
    """Fields that a dump leaves out while they have their default value.

    These fields were added after results and stages had already been written. Leaving them out keeps the bytes and the
    identity of those results."""

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # `exclude_defaults` would leave out every default, also those that are part of recorded identities.
        fields = type(self).model_fields
        at_default = {name for name in self.unwritten if getattr(self, name) == fields[name].default}
        return {name: value for name, value in handler(self).items() if name not in at_default}


MOST = 10**9
"""The largest value of any number. A larger one is a typing error, or makes a loop that counts up to it hang."""
MOST_REPEATS = 1000
"""The largest number of things that make stages of their own: rounds, splits, checkpoints. Planning more of them takes
minutes or all memory."""
# Only the digits 0 to 9. Python's float() would also accept `1_000`, `nan`, `inf` and the digits of other scripts.
# Piece by piece: a sign, digits with or without a point (`5`, `5.`, `0.15`) or a point with digits (`.5`), an exponent
# (`e-4`).
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")

_FRACTION = re.compile(r"[0-9]{1,4}/[1-9][0-9]{0,3}")


def number_from_text(value: object) -> object:
    """Return the number that a text spells; return any other value as it is.

    PyYAML reads `5e-4` as a text, because in YAML 1.1 such a number needs a decimal point. Raises ValueError for a text
    that is not a number written with the digits 0 to 9, for true and false, and for infinity and NaN.
    """
    # In Python, bool is a subclass of int, so without this test `yes` would count as the number 1.
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number (YAML takes yes, no, on and off for true and false)")
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ValueError("write a number in digits, such as 0.15 or 5e-4")
        return float(value)
    # YAML reads `.inf` and `.nan` as floats, so they do not come as texts.
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("input should be a finite number")
    return value


def number_or_fraction(value: object) -> object:
    """Return the number that a text spells, also as a fraction such as 5/6. Any other value is returned as it is.

    Raises ValueError as `number_from_text` does.
    """
    if isinstance(value, str) and _FRACTION.fullmatch(value):
        above, below = map(int, value.split("/"))
        return above / below
    return number_from_text(value)


# `strict` on the whole numbers below refuses 2.0, "2" and true, which pydantic would otherwise convert to an int.
_READ = BeforeValidator(number_from_text)
PositiveFloat: TypeAlias = Annotated[float, _READ, Field(gt=0, le=MOST)]
NotNegative: TypeAlias = Annotated[float, _READ, Field(ge=0, le=MOST)]
Probability: TypeAlias = Annotated[float, _READ, Field(ge=0, le=1)]
Share: TypeAlias = Annotated[float, _READ, Field(gt=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=MOST, strict=True)]
Repeats: TypeAlias = Annotated[int, Field(ge=1, le=MOST_REPEATS, strict=True)]
"""How often something is done that makes a stage of its own."""
Retries: TypeAlias = Annotated[int, Field(ge=0, le=100, strict=True)]
Seed: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True)]
"""The seed of random draws: any whole number of 64 bits."""
# A name becomes a folder. So it has no slash, does not begin with a dot (a hidden file) or a dash (an option of a
# command), and is short enough for every file system.
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


# The owner begins with a letter or digit and then may have dots and dashes; one slash; the name begins with a letter,
# digit or underscore. So `./model`, `a/b/c` and `me/.hidden` are paths.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/\w[\w.-]*", re.ASCII)


def looks_like_hub_id(source: str) -> bool:
    """Say whether a source has the form OWNER/NAME of an id on the Hugging Face hub. A local path can have this form,
    too."""
    return _HUB_ID.fullmatch(source) is not None


def program_words(text: str) -> list[str]:
    """Split one line into a program and its arguments, as a shell does.

    Raises ValueError if a quote is not closed, or if the line names no program.
    """
    words = shlex.split(text)
    if not words:
        raise ValueError("no program is named")
    return words


def expanded(source: str, field: str) -> str:
    """Return a source with each `${NAME}` replaced by that environment variable and `~` by the home folder.

    Configs and results keep the text as the user wrote it, so that they do not name a folder of one machine. Raises
    ConfigError, which names `field`, if a variable is not set.
    """
    # Only the form with braces: a `$` alone may be part of a file's name.
    for name in re.findall(r"\$\{(\w+)\}", source):
        # An empty variable counts as missing: `${DATA}/train.jsonl` would otherwise mean /train.jsonl.
        if not os.environ.get(name):
            raise ConfigError(f"{field}: {source!r} names the environment variable {name}, which is not set; set it")
        source = source.replace(f"${{{name}}}", os.environ[name])
    # Path.expanduser raises RuntimeError for an unknown user (`~nobody/x`); this function leaves the text as it is.
    return os.path.expanduser(source)
