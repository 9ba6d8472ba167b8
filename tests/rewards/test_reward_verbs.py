"""`burnish reward train` and `reward test`, on the fake backend and on a built-in model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from refinement import PROBLEMS, RIGHT, fake
from refused import check_refused

from burnish.backends.fake import FakeBackend
from burnish.cli import main
from burnish.config import LoraConfig, ModelConfig
from burnish.config.rewards import BUILTIN, REAL
from burnish.errors import BackendError, DataError
from burnish.models.card import read_card
from burnish.protocols import Score
from burnish.rewards.options import training_of
from burnish.rewards.report import RewardReport
from burnish.rewards.verbs import Workplace, measure, train_and_test
from burnish.steps.rewarding import TESTED_ON, TRAINED_ON
from burnish.store.files import read_rows
from burnish.types import PreferenceRow

STRONG = "builtin:strong"


def pairs(where: Path, count: int = 60, **extra: Any) -> Path:
    """Write pairs of a right and a wrong answer; every second one names another source."""
    path = where / "pairs.jsonl"
    rows = [
        {
            "prompt": problem.question,
            "chosen": f"#### {problem.answer}",
            "rejected": f"so it is #### {problem.answer + 1}",
            "source": "even" if number % 2 == 0 else "odd",
            **extra,
        }
        for number, problem in enumerate(PROBLEMS[:count])
    ]
    rows.append({"prompt": "p", "first": "a", "second": "b", "label": "tie"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def place(where: Path, backend: FakeBackend | None = None) -> Workplace:
    return Workplace(store=where / "store", own_backend=lambda: backend or fake())


def trained(where: Path, backend: FakeBackend | None = None, **options: Any) -> RewardReport:
    return train_and_test(pairs(where), training_of(STRONG, options), where / "rm", place(where, backend))


def parts(store: Path) -> tuple[list[PreferenceRow], list[PreferenceRow]]:
    (cut,) = [path.parent for path in store.rglob(TRAINED_ON)]
    return read_rows(cut / TRAINED_ON, PreferenceRow), read_rows(cut / TESTED_ON, PreferenceRow)


def test_a_reward_model_is_trained_and_tested_on_other_prompts(tmp_path: Path) -> None:
    report = trained(tmp_path, held_out=0.25)
    learned, tested = parts(tmp_path / "store")
    assert (len(learned), len(tested)) == (45, 15)
    assert not {row.prompt for row in learned} & {row.prompt for row in tested}
    assert (report.trained, report.tested, report.left_out) == (45, 15, {"tie": 1})
    # The fake backend rewards right answers with 1 and wrong ones with 0.
    assert (report.accuracy.value, report.accuracy.n) == (1.0, 15)
    assert {name: metric.value for name, metric in report.by_source.items()} == {"even": 1.0, "odd": 1.0}
    assert sum(metric.n for metric in report.by_source.values()) == 15
    assert report.mean_reward.value == 0.5
    assert (report.reliability.n, len(report.curve)) == (15, 1)
    assert read_card(tmp_path / "rm").reward
    assert json.loads((tmp_path / "rm" / "reward.json").read_text()) == report.model_dump(mode="json")


def test_nothing_is_done_twice_and_a_kill_loses_no_finished_stage(tmp_path: Path) -> None:
    trained(tmp_path)
    done: list[str] = []
    backend = fake(done.append)
    again = train_and_test(pairs(tmp_path), training_of(STRONG, {}), tmp_path / "again", place(tmp_path, backend))
    assert done == []
    assert again.accuracy.value == 1.0

    def stop(unit: str) -> None:
        done.append(unit)
        if unit == "rewards":
            raise KeyboardInterrupt

    (tmp_path / "killed").mkdir()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", fake(stop))
    assert done == ["train_rewards", "rewards"]
    assert not (tmp_path / "killed" / "rm").exists()
    done.clear()
    trained(tmp_path / "killed", fake(done.append))
    assert set(done) == {"rewards"}


def test_without_held_out_prompts_it_is_not_tested(tmp_path: Path) -> None:
    report = trained(tmp_path, held_out=0)
    assert (report.trained, report.tested, report.accuracy.value) == (60, 0, None)
    assert "accuracy  not measured" in list(report.words())
    assert "<svg" not in (tmp_path / "rm" / "report.html").read_text()


def test_any_reward_model_is_tested_on_all_pairs(tmp_path: Path) -> None:
    report = measure(ModelConfig(source=STRONG), pairs(tmp_path), place(tmp_path))
    assert (report.trained, report.tested, report.accuracy.n) == (None, 60, 60)
    assert report.curve == ()


class Odd(FakeBackend):
    """Gives rewards that a real model should not give, or none."""

    value: float | None = None

    def rewards(self, model: Any, rows: Any, done: Any) -> Any:
        for batch in super().rewards(model, rows, done):
            yield [Score(id=s.id, value=self.value, tokens=s.tokens) for s in batch if self.value is not None]


def test_answers_without_a_reward_are_counted_and_nan_is_refused(tmp_path: Path) -> None:
    odd = Odd(RIGHT)
    report = measure(ModelConfig(source=STRONG), pairs(tmp_path), place(tmp_path, odd))
    assert (report.tested, report.without_reward, report.accuracy.value) == (60, 60, None)
    odd.value = float("nan")
    with pytest.raises(DataError, match="gives nan"):
        measure(
            ModelConfig(source=STRONG), pairs(tmp_path), Workplace(store=tmp_path / "other", own_backend=lambda: odd)
        )


def test_a_backend_that_cannot_train_reward_models_is_named(tmp_path: Path) -> None:
    class Bare:
        pass

    bare: Any = Bare()
    there = Workplace(store=tmp_path / "store", own_backend=lambda: bare)
    with pytest.raises(BackendError, match="Bare has no method train_rewards"):
        train_and_test(pairs(tmp_path), training_of(STRONG, {}), tmp_path / "rm", there)


def test_the_defaults_depend_on_the_model_and_options_come_before_them() -> None:
    assert training_of(STRONG, {}).train == BUILTIN
    assert training_of("me/model", {}).train == REAL
    options = {"epochs": 2.0, "lora_rank": 8, "held_out": 0.2, "centring": 0.0, "seed": 3, "learning_rate": None}
    found = training_of(STRONG, options, ["train.schedule=linear", "execution.threads=1"])
    assert (found.train.epochs, found.train.lora, found.train.learning_rate) == (2.0, LoraConfig(r=8, alpha=16), 2e-3)
    assert (found.held_out, found.centring, found.seed, found.execution.threads) == (0.2, 0.0, 3, 1)
    assert training_of("me/model", {"lora_rank": 0}).train.lora is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--held-out", "1"], ["held_out: 1.0"]),
        (["--held-out", "-0.1"], ["held_out: -0.1"]),
        (["--lora-rank", "-1"], ["--lora-rank: -1"]),
        (["--epochs", "0"], ["train.epochs: 0.0"]),
        (["--centring", "-1"], ["centring: -1.0"]),
        (["--set", "train.nothing=1"], ["train.nothing", "no such field"]),
        (["--base", "builtin:nothing"], ["builtin:nothing", "no built-in model"]),
        (["--held-out", "0.001"], ["held_out: 0.001 of 60 prompts"]),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, options: list[str], words: list[str]) -> None:
    base = [] if "--base" in options else ["--base", STRONG]
    arguments = ["reward", "train", str(pairs(tmp_path)), *base, *options, "--out", str(tmp_path / "rm")]
    done = CliRunner().invoke(main, [*arguments, "--store", str(tmp_path / "store")])
    check_refused(done, *words)
    assert not (tmp_path / "rm").exists()


def test_a_folder_that_holds_something_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "rm"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    done = CliRunner().invoke(main, ["reward", "train", str(pairs(tmp_path)), "--base", STRONG, "--out", str(out)])
    check_refused(done, "--out", "not empty", "--overwrite")
    train_and_test(pairs(tmp_path), training_of(STRONG, {}), out, place(tmp_path))
    assert Counter(path.name for path in out.iterdir()) >= Counter(["mine.txt", "model.json", "reward.json"])


def test_nothing_of_an_earlier_model_stays_in_a_folder_that_is_overwritten(tmp_path: Path) -> None:
    """The weights of an adapter, or some of several files, would be read in place of the new ones."""
    out = tmp_path / "rm"
    out.mkdir()
    names = ["adapter_config.json", "adapter_model.safetensors", "config.json", "model-00001-of-00002.safetensors"]
    for name in (*names, "model.safetensors.index.json", "mine.txt"):
        (out / name).write_text("old")
    train_and_test(pairs(tmp_path), training_of(STRONG, {}), out, place(tmp_path))
    assert {path.name for path in out.iterdir() if path.read_text(errors="replace") == "old"} == {"mine.txt"}
    assert (out / "model.json").is_file()


@pytest.mark.slow
def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = CliRunner().invoke(
        main, ["reward", "test", STRONG, str(pairs(tmp_path)), "--store", str(tmp_path / "store"), "--json"]
    )
    check_refused(done, "no trained head", "1 label")


@pytest.mark.slow
def test_a_reward_model_without_a_chat_template_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    from tiny_models import tiny_model

    for style, said in ((None, True), ("qwen", False)):
        folder = tiny_model(tmp_path / f"tiny-{style}", style)
        measure(ModelConfig(source=str(folder)), pairs(tmp_path, 4), place(tmp_path))
        told = capfd.readouterr().err
        assert ("has no chat template" in told) is said
        # The pad token of these tokenizers is the end of a sequence. With qwen's template an answer ends otherwise.
        assert ("pad token of the reward model is also its end token" in told) is said
    other = tiny_model(tmp_path / "tiny-pad")
    config = other / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pad_token": "a"}))
    measure(ModelConfig(source=str(other)), pairs(tmp_path, 4), place(tmp_path))
    assert "pad token" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_trained_reward_model_serves_as_an_annotator(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    store = ["--store", str(tmp_path / "store")]
    arguments = ["reward", "train", str(pairs(tmp_path)), "--base", STRONG, "--epochs", "4"]
    done = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "rm"), *store, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["accuracy"]["value"] == 1.0
    # The wrong answers have three words more than the right ones, which a head learns from a few pairs.
    labelled = tmp_path / "labelled.jsonl"
    rows = [
        {"prompt": p.question, "first": f"so it is #### {p.answer}", "second": f"#### {p.answer}", "label": 2}
        for p in PROBLEMS[:20]
    ]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    annotator = tmp_path / "annotator.yaml"
    annotator.write_text(f"kind: reward_model\nmodel: {tmp_path / 'rm'}\n")
    done = CliRunner().invoke(main, ["selftest", str(annotator), "--pairs", str(labelled), *store, "--json"])
    assert json.loads(done.stdout)["accuracy"]["value"] == 1.0, done.output
    done = CliRunner().invoke(main, ["reward", "test", str(tmp_path / "rm"), str(labelled), *store, "--json"])
    assert json.loads(done.stdout)["accuracy"]["value"] == 1.0, done.output
