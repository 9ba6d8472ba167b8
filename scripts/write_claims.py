"""Compute the verdicts on docs/claims.yaml from committed results: python scripts/write_claims.py.

It writes docs/results/claims.json and docs/claims.md.
"""

from __future__ import annotations

from pathlib import Path

from burnish.evidence.page import claims_page
from burnish.evidence.registry import read_registry
from burnish.evidence.verdicts import as_record, decide
from burnish.store.files import pretty

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS / "results"


def written() -> dict[Path, bytes]:
    """Return {path: what the committed results give}."""
    decided = decide(read_registry(DOCS / "claims.yaml"), RESULTS)
    records = {"claims": [as_record(one) for one in decided]}
    return {RESULTS / "claims.json": pretty(records), DOCS / "claims.md": claims_page(decided).encode()}


def main() -> None:
    """Write both files."""
    for path, content in written().items():
        path.write_bytes(content)
        print(f"wrote {path.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
