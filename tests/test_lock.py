"""The lock names one version of all that `make` installs, and the ranges of pyproject.toml allow it."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11.0", "3.12.0", "3.13.0", "3.14.0")


def requirements_in(name: str) -> list[Requirement]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [Requirement(line) for line in (re.sub(r"(^| )#.*", "", line) for line in lines) if line]


def wanted() -> list[Requirement]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists: list[list[str]] = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
    ]
    given = [Requirement(text) for texts in lists for text in texts]
    return given + requirements_in("make.in") + requirements_in("models.in")


@pytest.mark.parametrize("python", PYTHONS)
def test_each_package_has_one_version_that_its_range_allows(python: str) -> None:
    here = {"python_version": python[:4], "python_full_version": python}
    locked: dict[str, list[str]] = defaultdict(list)
    for one in requirements_in("lock.txt"):
        (pin,) = one.specifier
        assert pin.operator == "=="
        if one.marker is None or one.marker.evaluate(here):
            locked[canonicalize_name(one.name)].append(pin.version)
    assert {name: versions for name, versions in locked.items() if len(versions) > 1} == {}
    for one in wanted():
        (version,) = locked[canonicalize_name(one.name)]
        assert one.specifier.contains(version), (one, version)


def test_the_lock_brings_no_cuda() -> None:
    names = [one.name for one in requirements_in("lock.txt")]
    assert [name for name in names if name.startswith(("nvidia", "cuda", "triton"))] == []
