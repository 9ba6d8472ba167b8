"""No files of the package import each other in a circle, not even for types. import-linter compares rooms alone."""

from __future__ import annotations

import graphlib

import grimp
import pytest


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Return some files that import each other, or none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_two_files_that_import_each_other_are_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}


@pytest.mark.slow
def test_no_files_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("burnish", exclude_type_checking_imports=False, cache_dir=None)
    # What a package hands on is not what it needs.
    packages = {module for module in graph.modules if graph.find_children(module)}
    imports = {
        module: set(graph.find_modules_directly_imported_by(module)) - packages for module in graph.modules - packages
    }
    assert circle(imports) == []
