"""Lines about wrong fields: one a field, with the field's name as the user writes it."""

from __future__ import annotations

import pytest

from burnish.config.reading import demo_config
from burnish.errors import ConfigError


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("shards=0", "shards: 0 found: input should be greater than or equal to 1, or 'auto'"),
        ("shards=two", "shards: 'two' found: input should be a valid integer, or 'auto'"),
        ("needs={answer: {gpus: .nan}}", "needs.answer.gpus: nan found: input should be a finite number, or 'auto'"),
        (
            "needs={answer: {gpus: yes}}",
            "needs.answer.gpus: True found: true is no number (YAML takes yes, no, on and off for true and false); "
            "True found: input should be 'auto'",
        ),
        ("needs={answer: 3}", "needs.answer: 3 found: input should be a mapping, such as {field: value}"),
        ("needs={1: {}}", "needs.1: 1 found: input should be a valid string"),
        ("executor=slurm", "executor.kind: 'slurm' found: input should be 'local', 'ray' or 'submitit'"),
        ("executor=3", "executor: 3 found: input should be a mapping, such as {field: value}"),
        ("executor={}", "executor.kind: is missing; add it"),
        (
            "executor={kind: submitit, options: {a: [1]}}",
            "executor.options.a: [1] found: input should be a valid string, or a valid boolean, or a valid integer",
        ),
    ],
)
def test_a_field_of_several_types_has_one_line_without_the_names_of_pydantic(change: str, line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        demo_config([f"execution.{change}"])
    assert str(raised.value) == f"demo.yaml:\nexecution.{line}"
