"""Pages written from the code are fresh, every setting and option says what it does, links lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
import pytest

from burnish.cli import main as cli
from burnish.config import Config, RefineConfig
from burnish.config.lab import Execution
from burnish.config.reading import demo_config
from burnish.errors import ConfigError
from burnish.evidence.registry import read_registry
from burnish.evidence.verdicts import decide

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from write_docs import described, models, pages, verbs  # noqa: E402
from write_findings import findings, written  # noqa: E402

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("name", ["cli.md", "config.md", "refine-config.md", "seam-config.md", "study-config.md"])
def test_a_written_page_is_what_the_code_says(name: str):
    assert (ROOT / "docs" / name).read_text() == pages()[name], "stale: run python scripts/write_docs.py"


def test_the_findings_are_what_the_committed_results_say():
    pages_ = {name: (ROOT / "docs" / name).read_text() for name in ("findings.md", "one-rate.md")}
    assert pages_ == written(), "stale: run python scripts/write_findings.py"


@pytest.mark.parametrize("source", ["{{claims: no-such-claim}}\n", "no table at all\n"])
def test_findings_name_every_registered_claim_and_no_other(source: str):
    with pytest.raises(SystemExit, match="do not name the same claims"):
        findings(source, decide(read_registry(ROOT / "docs" / "claims.yaml"), ROOT / "docs" / "results"))


@pytest.mark.parametrize("root", [Config, RefineConfig])
def test_every_setting_is_described(root: type[Config | RefineConfig]):
    settings = [(model, name, field) for model in models(root) for name, field in model.model_fields.items()]
    assert len(settings) > 40
    assert [f"{model.__name__}.{name}" for model, name, field in settings if not described(name, field)] == []


def test_every_option_is_described():
    options = [
        (name, option)
        for name, command in verbs(cli, "burnish")
        for option in command.params
        if isinstance(option, click.Option)
    ]
    assert {"burnish refine", "burnish annotate export"} < {name for name, _ in options}
    assert [(name, option.opts) for name, option in options if not option.help] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_files_leads_somewhere(page: Path):
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def changes_in(text: str) -> list[str]:
    """Return the changes that a page gives to `--set` for fields of `execution` (a file of its own is not needed)."""
    return [
        quoted or plain
        for quoted, plain in re.findall(r"--set (?:'(execution\.[^']+)'|(execution\.[^\s`'\"|)]+))", text)
        if (quoted or plain).partition("=")[2]
    ]


def test_every_setting_of_execution_that_a_page_names_exists():
    changes = {(page.name, change) for page in PAGES for change in changes_in(page.read_text())}
    assert ("scale.md", "execution.workers=8") in changes
    for page, change in sorted(changes):
        try:
            # A page that changes one setting of an executor names its kind elsewhere.
            kind = ["execution.executor={kind: submitit}"] if change.startswith("execution.executor.") else []
            demo_config([*kind, change])
        except ConfigError as error:
            pytest.fail(f"{page}: --set {change}: {error}")
    named = {name for page in PAGES for name in re.findall(r"`execution\.([a-z_]+)", page.read_text())}
    assert named - set(Execution.model_fields) == set()


def test_committed_results_name_no_folder_of_a_machine():
    written = [
        path for path in (ROOT / "docs" / "results").rglob("*") if path.suffix in {".json", ".md", ".yaml", ".html"}
    ]
    assert len(written) > 200
    folder = re.compile(r"""(?<![\w./{}])/(?:tmp|home|root|Users|work|mnt)/\w""")
    assert [str(path.relative_to(ROOT)) for path in written if folder.search(path.read_text(encoding="utf-8"))] == []
