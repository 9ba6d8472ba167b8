"""Numbers in settings: what is none, or too large to mean anything, is refused with the name of its field."""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from burnish.config.base import Count, NotNegative, PositiveFloat, Probability, Repeats, Seed, Settings, Share
from burnish.config.reading import parse_config
from burnish.errors import ConfigError
from burnish.refinery.options import Options, config_of

GOOD = """
name: numbers
task: {kind: sums, train: 20, test: 5}
models: {weak: builtin:weak, strong: builtin:strong}
supervision: {annotator: {kind: oracle}}
train: {lora: null}
methods: [{kind: ilr}]
"""


@pytest.mark.parametrize(
    "change",
    [
        # YAML takes these for true; a text with underscores or other digits is no number that was meant.
        *["methods.0.alpha=yes", "train.learning_rate=yes", "train.learning_rate=on", "methods.0.rounds=yes"],
        *["train.learning_rate='1_000'", "methods.0.alpha='٠.٥'", "train.learning_rate='５'", "train.epochs='0x10'"],
        *["train.learning_rate=''", "train.learning_rate=' 1'", "train.learning_rate='nan'", "methods.0.alpha=.nan"],
        *["train.learning_rate=.inf", "train.learning_rate='inf'", "train.epochs=1e10"],
        *[
            "methods.0.rounds=9223372036854775808",
            "methods.0.rounds=1001",
            "methods.0.rounds='3'",
            "methods.0.rounds=3.0",
        ],
        *["methods.0.splits=9223372036854775808", "methods.0.splits=true", "decode.beams=9223372036854775808"],
        *["seeds=[yes]", "seeds=['1']", "seeds=[9223372036854775808]", "task.world=yes", "execution.workers=1e9"],
        *["methods.0.rounds=3.0", "execution.workers=9999999", "task.train=10000000000"],
    ],
)
def test_what_is_no_number_or_too_large_is_refused_with_its_field(change: str) -> None:
    field = change.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^c\.yaml:\n{field}\b") as caught:
        parse_config(GOOD, "c.yaml", [change])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "value"), [("5e-4", 5e-4), ("0.15", 0.15), (".5", 0.5), ("1", 1.0), ("'5e-4'", 5e-4), ("+1E-1", 0.1)]
)
def test_numbers_in_any_plain_form_are_taken(text: str, value: float) -> None:
    assert parse_config(GOOD, "c.yaml", [f"methods.0.alpha={text}"]).methods[0].model_dump()["alpha"] == value


@pytest.mark.parametrize("kind", [PositiveFloat, NotNegative, Probability, Share, Count, Repeats, Seed])
@pytest.mark.parametrize("value", [True, False, "1_0", "٣", "one", "", None, [], 10**400, float("nan"), float("inf")])
def test_every_kind_of_number_refuses_what_is_none(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[Any](kind).validate_python(value)


def test_true_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"methods\.0.*alpha: .*true is no number \(YAML takes yes"):
        parse_config(GOOD, "c.yaml", ["methods.0.alpha=yes"])


def test_a_refinement_is_as_strict() -> None:
    for changes, field in ((["method.rounds=9223372036854775808"], "method"), (["seed=yes"], "seed")):
        with pytest.raises(ConfigError, match=field):
            config_of(Options(data="d.jsonl", model="m", annotator="people", changes=changes))


def test_every_number_of_a_setting_has_bounds() -> None:
    """A new field with a bare `int` or `float` would take true, or hang what counts up to it."""
    models = [Settings]
    for model in models:  # grows
        models += model.__subclasses__()
    fields = [(model, name, field) for model in models for name, field in model.model_fields.items()]
    assert len(fields) > 100
    for model, name, field in fields:
        if not model.__module__.startswith("burnish."):
            continue  # another test's
        annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        assert all(map(_is_bounded, _numbers(annotation))), f"{model.__name__}.{name}: {annotation}"


def _numbers(annotation: Any) -> list[Any]:
    """Return the numbers in a type, each with what is said of it."""
    if get_origin(annotation) is Annotated and get_args(annotation)[0] in {int, float}:
        return [annotation]
    inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return [annotation] if annotation in {int, float} else [found for item in inner for found in _numbers(item)]


def _is_bounded(annotation: Any) -> bool:
    said = repr(get_args(annotation)[1:])
    return "Le(" in said or "Lt(" in said or "le=" in said or "lt=" in said
