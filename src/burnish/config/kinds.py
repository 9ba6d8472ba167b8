"""Kinds of settings: `kind` in a config chooses a settings class, and other packages can add classes of their own."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from burnish.config.base import Settings
from burnish.errors import ConfigError

S = TypeVar("S", bound=Settings)
C = TypeVar("C", bound=Settings)
PLUGINS = "burnish.plugins"
"""The group of entry points whose modules are imported once; they call `burnish.register_...`."""
_loaded: set[str] = set()


def load_plugins() -> None:
    """Import the modules that installed packages name as entry points of the group `burnish.plugins`, each once.

    Raises ConfigError naming the package whose module cannot be imported.
    """
    for point in importlib.metadata.entry_points(group=PLUGINS):
        if point.value in _loaded:
            continue
        _loaded.add(point.value)
        try:
            point.load()
        except Exception as error:  # a stranger's module may fail in any way
            owner = point.dist.name if point.dist else point.name
            raise ConfigError(
                f"plugin {point.name!r} of the package {owner!r} cannot be loaded ({type(error).__name__}: {error}); "
                "repair or uninstall that package"
            ) from error


def kind_of(settings: type[Settings]) -> str:
    """Return the name by which a config chooses a settings class: the one value of its field `kind`.

    Raises ConfigError where the class has no such field.
    """
    field = settings.model_fields.get("kind")
    names = get_args(field.annotation) if field else ()
    if len(names) != 1 or not isinstance(names[0], str):
        raise ConfigError(f"{settings.__name__}: it needs a field such as kind: Literal['mine']")
    return names[0]


class Kinds(Generic[S]):
    """The settings classes of one noun (annotators, methods, tasks) by their `kind`.

    Reading a config looks a class up here, so that a class that is registered later is known too.
    """

    def __init__(self, noun: str, base: type[S]) -> None:
        self.noun, self.base = noun, base
        self._classes: dict[str, type[S]] = {}

    def add(self, given: type[C]) -> type[C]:
        """Register a class; serves as a decorator.

        Raises ConfigError where it does not inherit from the base class, or another class has the same kind.
        """
        settings: type[Settings] = given
        if not issubclass(settings, self.base):
            raise ConfigError(f"{settings.__name__}: it is no {self.noun}; inherit from {self.base.__name__}")
        kind = kind_of(settings)
        known = self._classes.setdefault(kind, settings)
        if (known.__module__, known.__qualname__) != (settings.__module__, settings.__qualname__):
            raise ConfigError(f"{self.noun} {kind!r} is registered already, by {known.__module__}; choose another kind")
        self._classes[kind] = settings
        return given

    def all(self) -> Mapping[str, type[S]]:
        """Return {kind: class} of all that are known, in the order in which they were registered."""
        return dict(self._classes)

    def get(self, kind: object) -> type[S] | None:
        """Return the class of a kind, None for an unknown one. Plug-ins are loaded before a kind counts as unknown."""
        if kind not in self._classes:
            load_plugins()
        return self._classes.get(kind) if isinstance(kind, str) else None


@dataclass(frozen=True, eq=False)
class OneOf(Generic[S]):
    """Marks a field whose `kind` chooses a settings class: `Annotated[AnnotatorSettings, OneOf(ANNOTATORS)]`.

    `where` limits the classes; `instead` puts another class in the place of one.
    """

    kinds: Kinds[S]
    where: Callable[[type[S]], bool] = lambda _: True
    instead: Mapping[str, type[S]] | None = None

    def classes(self) -> Iterator[type[S]]:
        """Yield the classes that may stand here."""
        for kind, known in self.kinds.all().items():
            settings = (self.instead or {}).get(kind, known)
            if self.where(settings):
                yield settings

    def read(self, value: Any, context: object = None) -> S:
        """Check settings: a mapping with a `kind`, or settings that were checked before.

        `context` is the validation context, such as `ON_RECORD`.

        Raises PydanticCustomError and ValidationError, which pydantic puts under the name of the field.
        """
        settings = self._class(_kind_in(value))
        if isinstance(value, settings):
            return value
        values = value.model_dump() if isinstance(value, Settings) else value
        return settings.model_validate(values, context=context)

    def _class(self, kind: object) -> type[S]:
        known = self.kinds.get(kind)
        settings = (self.instead or {}).get(str(kind), known)
        if settings is None or not self.where(settings):
            allowed = ", ".join(repr(kind_of(one)) for one in self.classes())
            found = "is missing" if kind is None else f"{kind!r} found"
            raise PydanticCustomError("kind", "{text}", {"text": f"kind: {found}; choose one of {allowed}"})
        return settings

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            lambda value, info: self.read(value, info.context),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda one, info: one.model_dump(mode=info.mode), info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "object"}  # which fields it has depends on the kinds that are registered


def _kind_in(value: Any) -> object:
    """Return the kind that a mapping or checked settings name, None where none is there."""
    if isinstance(value, Settings):
        return getattr(value, "kind", None)
    if isinstance(value, Mapping):
        return cast(Mapping[str, object], value).get("kind")
    raise PydanticCustomError("kind", "{text}", {"text": "kind: is missing; write a mapping that has it"})
