"""Sources of worse answers for SEAM. Each has a file of its own, and build.py makes a source from its settings."""

from __future__ import annotations

from burnish.perturbations.build import build, register_perturbation
from burnish.perturbations.picking import LeftOut
from burnish.perturbations.resources import Checker, EmbeddedBy, SourceResources, Writes

__all__ = ["Checker", "EmbeddedBy", "LeftOut", "SourceResources", "Writes", "build", "register_perturbation"]
