"""Annotators: one file for each kind, and `build`, which makes an annotator from its settings."""

from __future__ import annotations

from burnish.annotators.build import build, register_annotator
from burnish.annotators.resources import GroundTruth, Resources

__all__ = ["GroundTruth", "Resources", "build", "register_annotator"]
