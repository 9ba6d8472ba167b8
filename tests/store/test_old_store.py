"""A store and refinement folders that version 0.1.0 wrote, before modules moved: they are reused, not computed again.

`fixtures/store-0.1.0.tar.xz` was written by the code of commit 5859096 with the fake backend. It holds a store with
every kind of stage, the folders of results, small inputs, and `cases.json`, the configs that were run.
"""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from burnish.backends.fake import FakeBackend
from burnish.config import Config
from burnish.errors import ConfigError
from burnish.lab.inputs import resolve
from burnish.lab.running import planned, run
from burnish.ledger.folder import Folder
from burnish.ledger.history import changes
from burnish.refinery import RunOptions, refine_data
from burnish.refinery.options import Options, config_of
from burnish.results.records import REFERENCE_WIN_RATE
from burnish.steps import versions
from burnish.store.files import pretty
from burnish.store.stages import Store
from burnish.types import Effect

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "store-0.1.0.tar.xz"

REFINERS = {"bracket", "bout", "candidates", "last_bout", "passing", "sureness", "without"}
"""Kinds of stages that `golden/plan_refiners.json` pins."""
SEAM = {
    "answers_to_reward",
    "pairs_of_samples",
    "pairs_to_reward",
    "perturb",
    "prompts",
    "reward",
    "train_rewards",
}
"""Kinds of stages of reward models and of SEAM."""
RL = {"some_rows", "reward_samples", "preferences_to_reward", "train_policy"}
DISTRUST = {"edit", "distrust"}
"""Kinds of stages of a rule of acceptance that asks about edits."""
LATER = REFINERS | SEAM | RL | DISTRUST | {"stop", "holdout", "file_proposals", "propose", "route", "routed", "written"}
"""The kinds of stages that came after version 0.1.0 was pinned."""


class Unasked(FakeBackend):
    """Fails when it is asked to train, answer or score: a finished store needs none of it."""

    def __init__(self) -> None:
        super().__init__({}, self._refuse)

    def _refuse(self, unit: str) -> None:
        raise AssertionError(f"{unit} was asked for, but the store has all of it")


@pytest.fixture
def first_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every stage its first version again, so that nothing but the versions may differ in identities."""
    monkeypatch.setattr(versions, "VERSIONS", {})


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    place = tmp_path / "store-0.1.0"
    monkeypatch.chdir(place)
    return place


def stages(store: Path) -> dict[str, str]:
    return {done.fingerprint: done.name for done in Store(store).every()}


def cases(place: Path) -> dict[str, Any]:
    return json.loads((place / "cases.json").read_text())


def parted(text: str) -> tuple[list[str], list[float]]:
    """Return what stands between the fractions of a JSON text, and the fractions.

    Everything else must have the same bytes. The length-controlled win rate is fitted by a linear solver, whose last
    digit depends on the processor, and the fixture was written on another one.
    """
    found = re.split(r"(-?\d+\.\d+(?:e[-+]?\d+)?)", text)
    return found[::2], [float(number) for number in found[1::2]]


def as_before(folder: Path) -> str:
    """Return results.json as version 0.1.0 wrote it.

    It did not write the counts of changes and of evidence, and nothing about noise. Its intervals of differences and of
    win rates against references were another method's, so they are left out. Where it wrote an interval without width,
    because all values were equal, there is none now.
    """
    found = json.loads((folder / "results.json").read_text())
    found.pop("noise", None)
    for row in found["paired"]:
        row.pop("ci95")
    for one in (*found["summary"], *(metric for run_ in found["runs"] for metric in run_["metrics"].values())):
        if one["ci95"] is not None and one["ci95"][0] == one["ci95"][1]:
            one["ci95"] = None
    for run_ in found["runs"]:
        run_.pop("by_order", None)
        run_.pop("rl_curve", None)
        for name, metric in run_["metrics"].items():
            if name.startswith(REFERENCE_WIN_RATE):
                metric.pop("ci95")
        for count in (*Effect, "preferred", "held"):
            run_["counts"].pop(count, None)
    return pretty(found).decode()


@pytest.mark.slow
def test_the_fixture_has_every_kind_of_stage(old: Path) -> None:
    written = [path.read_text() for path in (ROOT / "src" / "burnish").rglob("*.py")]
    # A `Stage` is made in one place alone, `Steps.stage`, whose callers give it the name first.
    assert sum(len(re.findall(r"\bStage\(\s*name=", text)) for text in written) == 1
    kinds = [name for text in written for name in re.findall(r'\.stage\(\s*"(\w+)"', text)]
    assert sum(len(re.findall(r"\bsteps\.stage\(|\bself\.stage\(", text)) for text in written) == len(kinds)
    assert set(kinds) - LATER == set(stages(old / "store").values())
    assert set(kinds) >= LATER


@pytest.mark.usefixtures("first_versions")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixed", "correct", "instructed"])
def test_an_experiment_reuses_all_stages(old: Path, name: str) -> None:
    config = Config.model_validate(cases(old)["experiments"][name])
    before = stages(Path("store"))
    run(config, out=Path("again"), store=Path("store"), backend=Unasked)
    assert stages(Path("store")) == before
    (texts, numbers), (old_texts, old_numbers) = (
        parted(as_before(place)) for place in (Path("again"), Path("out") / name)
    )
    assert texts == old_texts
    assert numbers == pytest.approx(old_numbers, rel=1e-12, abs=0)


@pytest.mark.usefixtures("first_versions")
# Not marked slow: `make check` sees whether a stage got another identity.
def test_a_refinement_reuses_all_stages_and_its_folder(old: Path) -> None:
    found = cases(old)
    options = Options(
        data="data.jsonl", model="models/strong", changes=found["changes"], **found["refinements"]["audited"]
    )
    out, before = Path("out") / "audited", stages(Path("store"))
    ledger, changed = (out / "ledger.jsonl").read_bytes(), len(changes(Folder(out), None))
    refine_data(config_of(options), RunOptions(out=out, store=Path("store"), backend=Unasked))
    assert stages(Path("store")) == before
    assert (out / "ledger.jsonl").read_bytes() == ledger
    assert len(changes(Folder(out), None)) == changed


@pytest.mark.parametrize("name", ["mixed", "correct", "instructed"])
def test_what_has_a_new_version_and_what_follows_from_it_runs_again_and_nothing_else(old: Path, name: str) -> None:
    config = Config.model_validate(cases(old)["experiments"][name])
    store = Store(Path("store"))
    records = planned(config, resolve(config, offline_ok=False), store)
    anew = {record.fingerprint for record in records if not record.reused}
    assert anew
    for record in records:
        stage = record.stage
        raised = stage.version > 1 or "version" in json.dumps(stage.config)
        follows = any(artifact.fingerprint.partition("/")[0] in anew for artifact in stage.inputs.values())
        assert (record.fingerprint in anew) == (raised or follows), stage.label


# A program is asked in two orders. Version 0.1.0 took their mean, which is no longer the default.
CHANGES: dict[str, list[str]] = {"voted": ["method.accept=mean"], "majority": []}
NUMBERS_2 = {
    "voted": ["compare", "judge", "judge", "refine", "train", "votes"],
    "majority": ["compare", "refine", "train", "vote", "vote_shares"],
}
"""What is run again where answers are told apart by number, since the second version reads more notations as numbers.

What compares answers, and all that follows from it. The models of the first round and their answers are kept: the
`train` is that of the refined model, which follows from the refined labels.
"""


@pytest.mark.usefixtures("first_versions")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["voted", "majority"])
def test_a_refinement_by_numbers_runs_again_what_reads_them_and_changes_no_label(old: Path, name: str) -> None:
    found = cases(old)
    settings = (*found["changes"], *CHANGES[name])
    options = Options(data="data.jsonl", model="models/strong", changes=settings, **found["refinements"][name])
    gold = {row["question"]: row["gold"] for row in map(json.loads, Path("data.jsonl").read_text().splitlines())}
    before, out, again = stages(Path("store")), Path("out") / name, Path("again")
    run_options = RunOptions(out=again, store=Path("store"), backend=lambda: FakeBackend(gold))
    refine_data(config_of(options), run_options)
    after = stages(Path("store"))
    assert sorted(kind for fingerprint, kind in after.items() if fingerprint not in before) == NUMBERS_2[name]
    # Its numbers are plain, and both versions read those alike.
    for file in ("ledger.jsonl", "answers.jsonl"):
        assert (again / file).read_bytes() == (out / file).read_bytes()
    new, old_rows = ((place / "refined.jsonl").read_text().splitlines() for place in (again, out))
    assert list(map(json.loads, new)) == list(map(json.loads, old_rows))  # changed lines keep their spaces now


@pytest.mark.parametrize("name", ["voted", "majority"])
def test_a_folder_that_the_first_reader_of_numbers_wrote_is_not_replaced_unasked(old: Path, name: str) -> None:
    found = cases(old)
    settings = (*found["changes"], *CHANGES[name])
    options = Options(data="data.jsonl", model="models/strong", changes=settings, **found["refinements"][name])
    out = Path("out") / name
    held = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match="rounds of another refinement; name another --out"):
        refine_data(config_of(options), RunOptions(out=out, store=Path("store"), backend=Unasked))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == held
