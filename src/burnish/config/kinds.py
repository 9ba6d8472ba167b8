"""Kinds of settings: the field `kind` in a config chooses a settings class.

Other packages can add classes of their own.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from burnish.config.base import Settings
from burnish.errors import ConfigError, brief

S = TypeVar("S", bound=Settings)
C = TypeVar("C", bound=Settings)
PLUGINS = "burnish.plugins"
"""The group of entry points. Each module that it names is imported once, and calls `burnish.register_...`."""
# The plug-ins that this process has tried to import, so that a broken one does not raise at every unknown kind.
_loaded: set[str] = set()


def load_plugins() -> None:
    """Import each module that an installed package names as an entry point of the group `burnish.plugins`.

    Each module is imported once. Raises ConfigError, which names the package, if a module cannot be imported.
    """
    for point in importlib.metadata.entry_points(group=PLUGINS):
        if point.value in _loaded:
            continue
        _loaded.add(point.value)
        try:
            point.load()
        except Exception as error:  # the import runs code of another package, which can raise any exception
            owner = point.dist.name if point.dist else point.name
            raise ConfigError(
                f"plugin {point.name!r} of the package {owner!r} cannot be loaded ({type(error).__name__}: {error}); "
                "repair or uninstall that package"
            ) from error


def kind_of(settings: type[Settings]) -> str:
    """Return the name by which a config chooses a settings class. It is the only value of the class's field `kind`.

    Raises ConfigError if the class has no such field.
    """
    field = settings.model_fields.get("kind")
    # `Literal["mine"]` gives ("mine",). A plain `str`, or a choice of two names, does not say which name is meant.
    names = get_args(field.annotation) if field else ()
    if len(names) != 1 or not isinstance(names[0], str):
        raise ConfigError(f"{settings.__name__}: it needs a field such as kind: Literal['mine']")
    return names[0]


class Kinds(Generic[S]):
    """A registry of the settings classes of one noun (annotators, methods or tasks), by their `kind`.

    The class is looked up here when a config is read. Therefore a class that is registered later is also known.
    """

    def __init__(self, noun: str, base: type[S]) -> None:
        self.noun, self.base = noun, base
        self._classes: dict[str, type[S]] = {}

    def add(self, added: type[C]) -> type[C]:
        """Register a class and return it, so that this method can be used as a decorator.

        Raises ConfigError if the class does not inherit from the base class, or if another class has the same kind.
        """
        settings: type[Settings] = added
        if not issubclass(settings, self.base):
            raise ConfigError(f"{settings.__name__}: it is no {self.noun}; inherit from {self.base.__name__}")
        kind = kind_of(settings)
        known = self._classes.setdefault(kind, settings)
        # Compared by name: reloading a module makes a new class object of the same name, which may replace the old one.
        if (known.__module__, known.__qualname__) != (settings.__module__, settings.__qualname__):
            raise ConfigError(f"{self.noun} {kind!r} is registered already, by {known.__module__}; choose another kind")
        self._classes[kind] = settings
        return added

    def all(self) -> Mapping[str, type[S]]:
        """Return {kind: class} of all registered classes, in the order in which they were registered."""
        return dict(self._classes)

    def get(self, kind: object) -> type[S] | None:
        """Return the class of a kind, or None if the kind is unknown.

        Plug-ins are loaded before a kind counts as unknown. Raises ConfigError if a plug-in cannot be imported.
        """
        if not isinstance(kind, str):
            return None
        # A kind that burnish itself knows needs no plug-in.
        if kind not in self._classes:
            load_plugins()
        return self._classes.get(kind)


# Compared by identity: the types of `typing` hash what stands in Annotated, and a mapping in `instead` has no hash.
@dataclass(frozen=True, eq=False)
class OneOf(Generic[S]):
    """Marks a field whose `kind` chooses a settings class: `Annotated[AnnotatorSettings, OneOf(ANNOTATORS)]`.

    `where` says which classes are allowed. `instead` maps a kind to another class that is used for it in this field.
    """

    kinds: Kinds[S]
    where: Callable[[type[S]], bool] = lambda _: True
    instead: Mapping[str, type[S]] | None = None

    def classes(self) -> Iterator[type[S]]:
        """Yield the classes that this field allows."""
        for kind, known in self.kinds.all().items():
            settings = (self.instead or {}).get(kind, known)
            if self.where(settings):
                yield settings

    def read(self, value: Any, context: object = None) -> S:
        """Return checked settings. `value` is a mapping with a `kind`, or settings that were checked before.

        `context` is the validation context, such as `ON_RECORD`. Raises PydanticCustomError or ValidationError if
        something is wrong; pydantic reports both under the name of the field.
        """
        settings = self._class(_kind_in(value))
        # Settings that burnish made itself come in unchanged, for example those that `with_models` returned.
        if isinstance(value, settings):
            return value
        # Settings of another class with the same kind (see `instead`) are dumped and checked again.
        values = value.model_dump() if isinstance(value, Settings) else value
        return settings.model_validate(values, context=context)

    def _class(self, kind: object) -> type[S]:
        # `get` first: it may load a plug-in that registers the kind.
        known = self.kinds.get(kind)
        settings = (self.instead or {}).get(str(kind), known)
        if settings is None or not self.where(settings):
            allowed = ", ".join(repr(kind_of(one)) for one in self.classes())
            found = "is missing" if kind is None else f"{brief(kind)} found"
            # The message is a template for pydantic, in which braces of a user's value would be placeholders.
            raise PydanticCustomError("kind", "{text}", {"text": f"kind: {found}; choose one of {allowed}"})
        return settings

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Pydantic's own discriminated union is fixed when the module is imported. This one also finds later classes.
        return core_schema.with_info_plain_validator_function(
            lambda value, info: self.read(value, info.context),
            # The dump of the class itself, so that it has all fields: pydantic would write only those of the declared
            # base class.
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda one, info: one.model_dump(mode=info.mode), info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "object"}  # the registered kinds decide which fields it has, so no schema can list them


def _kind_in(value: Any) -> object:
    """Return the kind that a mapping or checked settings name, or None if they name none."""
    if isinstance(value, Settings):
        return getattr(value, "kind", None)
    if isinstance(value, Mapping):
        return cast(Mapping[str, object], value).get("kind")
    raise PydanticCustomError("kind", "{text}", {"text": "kind: is missing; write a mapping that has it"})
