"""push and its cards: to a folder, and to a hub that is played by a fake module."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from folders import GIVEN, PROPOSED, Made, made
from pydantic import TypeAdapter

from burnish.cli import main as cli
from burnish.config.annotators import AnnotatorSettings, RefineAnnotator
from burnish.errors import BackendError, ConfigError, DataError
from burnish.ledger.naming import annotator_words, public_host
from burnish.ledger.pushing import push
from burnish.ledger.reverting import revert
from burnish.store.files import tree_checksums

JUDGE = {
    "kind": "judge",
    "base_url": "http://localhost:8000/v1",
    "model": "big/judge [click](http://evil.example) <img src=x>",
    "criteria": "Correct | complete.",
    "extra": {"secret": "sk-1234"},
    "api_key_env": "MY_KEY",
}


@pytest.fixture
def there(tmp_path: Path) -> Made:
    return made(tmp_path, model=True)


def front(card: Path) -> dict[str, Any]:
    _, values, _ = card.read_text().split("---\n", 2)
    return yaml.safe_load(values)


# To a folder


def test_a_folder_gets_dataset_and_model_with_cards(there: Made, tmp_path: Path):
    to = tmp_path / "out"
    assert push(there.path, None, to) == [str(to / "dataset"), str(to / "model")]
    assert set(tree_checksums(to)) == {
        "dataset/README.md",
        "dataset/refined.jsonl",
        "dataset/ledger.jsonl",
        "model/README.md",
        "model/config.json",
        "model/tokenizer_config.json",
        "model/model.safetensors",
    }
    assert (to / "dataset/refined.jsonl").read_bytes() == (there.path / "refined.jsonl").read_bytes()
    assert sorted(path.name for path in to.iterdir()) == ["dataset", "model"]


def test_without_a_model_there_is_the_dataset_alone(tmp_path: Path):
    there = made(tmp_path)
    assert push(there.path, None, tmp_path / "out") == [str(tmp_path / "out" / "dataset")]


def test_places_of_this_machine_stay_here(there: Made, tmp_path: Path):
    push(there.path, None, tmp_path / "out")
    config = json.loads((tmp_path / "out/model/config.json").read_text())
    assert config == {"_name_or_path": "base", "hidden_size": 8, "eos": [1, "/</s>"]}
    assert json.loads((there.path / "model/config.json").read_text())["_name_or_path"] != "base"
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_pushing_again_replaces_what_was_written(there: Made, tmp_path: Path):
    to = tmp_path / "out"
    push(there.path, None, to)
    (to / "model" / "stale.safetensors").write_bytes(b"")
    revert(there.path, 1, [])
    push(there.path, None, to)
    assert not (to / "model" / "stale.safetensors").exists()
    assert (to / "dataset/refined.jsonl").read_bytes() == (there.path / "refined.jsonl").read_bytes()


def test_a_folder_with_other_files_is_left_alone(there: Made, tmp_path: Path):
    (tmp_path / "out" / "dataset").mkdir(parents=True)
    (tmp_path / "out" / "dataset" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files; name another folder"):
        push(there.path, None, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["dataset", "mine.txt"]


@pytest.mark.parametrize("name", ["refined.jsonl", "ledger.jsonl", "model/config.json"])
def test_a_folder_that_lacks_something_is_not_pushed(there: Made, tmp_path: Path, name: str):
    (there.path / name).unlink()
    with pytest.raises(DataError, match="run the same `burnish refine` again, then push"):
        push(there.path, None, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_setting_that_names_a_place_is_refused(tmp_path: Path):
    there = made(tmp_path, annotator={**JUDGE, "criteria": f"See {tmp_path}/my_guide.md"})
    with pytest.raises(DataError, match=r"dataset/README\.md: names '.*', a file or folder of this machine") as caught:
        push(there.path, None, tmp_path / "out")
    assert "take it out of the settings" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_models_file_that_names_a_place_is_refused_and_a_vocabulary_is_none(there: Made, tmp_path: Path):
    (there.path / "model/tokenizer.json").write_text(json.dumps({"vocab": {str(tmp_path): 0}}))
    push(there.path, None, tmp_path / "out")
    (there.path / "model/chat_template.jinja").write_text(f"{{# from {tmp_path} #}}")
    with pytest.raises(DataError, match=r"model/chat_template\.jinja: names"):
        push(there.path, None, tmp_path / "out")


# Cards


def test_the_datasets_card_says_what_the_hub_expects_and_keeps_the_ledger_apart(there: Made, tmp_path: Path):
    push(there.path, None, tmp_path / "out")
    values = front(tmp_path / "out/dataset/README.md")
    assert values["configs"] == [
        {"config_name": "default", "data_files": "refined.jsonl", "default": True},
        {"config_name": "ledger", "data_files": "ledger.jsonl"},
    ]
    assert "synthetic" in values["tags"]
    assert "source_datasets" not in values


def test_the_datasets_card_says_what_was_done(there: Made, tmp_path: Path):
    push(there.path, None, tmp_path / "out")
    card = (tmp_path / "out/dataset/README.md").read_text()
    assert "4 of 8 labels are not those of" in card
    assert "written by a model" in card
    assert "- Method: ilr (accept both-orders, alpha 0.5, cross\\_label True, rounds 2, splits 2)" in card
    share = "1 (12.5 %)"
    assert f"| 1 | {share} | {share} | {share} | {share} | {share} | 3 (37.5 %) |" in card
    assert "50.0 % (n 8, 95 % interval 21.5 to 78.5) at first" in card
    assert "| 1 | 3 | 3 | 1 | 33.3 % (at 97.5 %) | yes |" in card
    assert 'load_dataset("json", data_files="refined.jsonl", split="train")' in card
    assert "- Dataset: data.jsonl (local), 8 rows, prompt/completion" in card


def test_no_text_of_the_dataset_is_in_a_card(there: Made, tmp_path: Path):
    push(there.path, None, tmp_path / "out")
    cards = "".join(path.read_text() for path in (tmp_path / "out").rglob("README.md"))
    long = [text for text in (*GIVEN.values(), *PROPOSED[1].values(), *PROPOSED[2].values()) if len(text) > 9]
    assert len(long) > 5
    assert [text for text in long if text in cards] == []


def test_a_model_that_is_not_of_the_labels_as_they_stand_says_so(there: Made, tmp_path: Path):
    push(there.path, None, tmp_path / "out")
    assert "before the user took changes back" not in (tmp_path / "out/model/README.md").read_text()
    revert(there.path, 1, [])
    push(there.path, None, tmp_path / "out")
    assert (
        "**This model was trained before the user took changes back**" in (tmp_path / "out/model/README.md").read_text()
    )
    assert (
        "3 rows were taken back with `burnish revert`. The figures of the rounds still count"
        in (tmp_path / "out/dataset/README.md").read_text()
    )


def test_the_models_card_tells_how_to_load_it(there: Made, tmp_path: Path):
    push(there.path, None, tmp_path / "out")
    assert front(tmp_path / "out/model/README.md")["library_name"] == "transformers"
    assert "AutoModelForCausalLM.from_pretrained" in (tmp_path / "out/model/README.md").read_text()
    (there.path / "model/adapter_config.json").write_text('{"base_model_name_or_path": "/nowhere/base"}')
    push(there.path, None, tmp_path / "out")
    assert front(tmp_path / "out/model/README.md")["library_name"] == "peft"
    assert "AutoPeftModelForCausalLM.from_pretrained" in (tmp_path / "out/model/README.md").read_text()


def test_what_a_stranger_named_cannot_format_a_card(tmp_path: Path):
    there = made(tmp_path, annotator=JUDGE)
    push(there.path, None, tmp_path / "out")
    card = (tmp_path / "out/dataset/README.md").read_text()
    assert "- Annotator: judge, the model big/judge \\[click\\](http://evil.example) \\<img src=x\\>; " in card
    assert "criteria: Correct \\| complete." in card
    for secret in ("localhost", "8000", "sk-1234", "MY_KEY"):
        assert secret not in card


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://localhost:8000/v1", ""),
        ("http://127.0.0.1/v1", ""),
        ("http://[::1]:8000/v1", ""),
        ("http://10.1.2.3/v1", ""),
        ("http://gpu7:8000/v1", ""),
        ("http://gpu7.cluster.internal/v1", ""),
        ("https://api.example.com/v1?key=abc", "api.example.com"),
    ],
)
def test_a_server_is_named_where_it_is_public(address: str, host: str):
    assert public_host(address) == host


@pytest.mark.parametrize(
    ("annotator", "words"),
    [
        (None, "nobody"),
        ({"kind": "people"}, "people"),
        ({"kind": "command", "command": ["/home/me/judge.py", "--key", "sk-1"]}, "command, the program judge.py"),
        ({"kind": "oracle", "column": "gold"}, "oracle, right answers in the column gold"),
        ({"kind": "likelihood", "model": {"source": "/home/me/qwen"}}, "likelihood, the model qwen (local)"),
        ({"kind": "classifier", "model": {"source": "owner/name"}}, "classifier, the model owner/name"),
        ({"kind": "majority", "of": [{"kind": "people"}, {"kind": "people"}]}, "a vote of people; people"),
    ],
)
def test_annotators_in_words(annotator: dict[str, Any] | None, words: str):
    read = None if annotator is None else TypeAdapter[AnnotatorSettings](RefineAnnotator).validate_python(annotator)
    assert annotator_words(read) == words


# To the hub


class FakeHub:
    """Takes uploads as `huggingface_hub.HfApi` does, or fails with `error`."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, bool]] = []
        self.files: dict[str, dict[str, bytes]] = {}
        self.error: Exception | None = None

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        if self.error is not None:
            raise self.error
        self.made.append((repo_id, repo_type, private))
        return f"https://hub.example/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: str, repo_type: str, commit_message: str) -> None:
        assert commit_message
        self.files[repo_id] = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake, module = FakeHub(), types.ModuleType("huggingface_hub")
    module.HfApi = lambda: fake  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return fake


def test_both_go_to_the_hub(there: Made, hub: FakeHub):
    before = tree_checksums(there.path)
    assert push(there.path, "me/sums", None, private=True) == [
        "https://hub.example/me/sums",
        "https://hub.example/me/sums-model",
    ]
    assert hub.made == [("me/sums", "dataset", True), ("me/sums-model", "model", True)]
    assert set(hub.files["me/sums"]) == {"README.md", "refined.jsonl", "ledger.jsonl"}
    assert b'load_dataset("me/sums", split="train")' in hub.files["me/sums"]["README.md"]
    assert b'from_pretrained("me/sums-model")' in hub.files["me/sums-model"]["README.md"]
    assert b"datasets:\n- me/sums\n" in hub.files["me/sums-model"]["README.md"]
    assert hub.files["me/sums-model"]["model.safetensors"] == (there.path / "model/model.safetensors").read_bytes()
    assert tree_checksums(there.path) == before
    assert not list(there.path.glob(".push*"))


def test_a_folder_and_the_hub_get_the_same(there: Made, hub: FakeHub, tmp_path: Path):
    assert len(push(there.path, "me/sums", tmp_path / "out")) == 4
    assert hub.made[0] == ("me/sums", "dataset", False)
    assert hub.files["me/sums"]["README.md"] == (tmp_path / "out/dataset/README.md").read_bytes()


def test_nothing_is_uploaded_that_names_a_place(tmp_path: Path, hub: FakeHub):
    there = made(tmp_path, annotator={**JUDGE, "criteria": f"See {tmp_path}"})
    with pytest.raises(DataError, match="a file or folder of this machine"):
        push(there.path, "me/sums", None)
    assert hub.made == []


class LocalTokenNotFoundError(OSError):
    pass


class HfHubHTTPError(OSError):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.response = types.SimpleNamespace(status_code=status)


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (LocalTokenNotFoundError("Token is required"), "log in with `hf auth login`"),
        (HfHubHTTPError("401 Unauthorized for hf_abcDEF123", 401), "log in with `hf auth login`"),
        (HfHubHTTPError("403 Forbidden", 403), "use a token that may write to 'me'"),
        (HfHubHTTPError("500 Server Error\nmore", 500), "run the same command again"),
        (ConnectionError("Name or service not known"), "check the network"),
    ],
)
def test_a_refusal_says_what_to_do(there: Made, hub: FakeHub, error: Exception, fix: str):
    hub.error = error
    with pytest.raises(BackendError) as caught:
        push(there.path, "me/sums", None)
    message = str(caught.value)
    assert message.startswith("push: the dataset me/sums was not uploaded (")
    assert fix in message
    assert "abcDEF123" not in message
    assert "\n" not in message


def test_a_mistake_of_ours_is_not_called_the_hubs(there: Made, hub: FakeHub):
    hub.error = AssertionError("ours")
    with pytest.raises(AssertionError, match="ours"):
        push(there.path, "me/sums", None)


def test_a_missing_library_is_said_first(there: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BackendError, match="pip install 'burnish"):
        push(there.path, "me/sums", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(push(there.path, None, tmp_path / "out")) == 2


@pytest.mark.parametrize("repo", ["sums", "me/", "me/a/b", "../x", "me/sums; rm"])
def test_a_name_that_is_no_hub_id_is_refused(there: Made, hub: FakeHub, repo: str):
    with pytest.raises(ConfigError, match="is no hub id; write OWNER/NAME"):
        push(there.path, repo, None)
    assert hub.made == []


def test_somewhere_is_named(there: Made):
    with pytest.raises(ConfigError, match="neither REPO nor --to is given"):
        push(there.path, None, None)


def test_the_verb_prints_where_things_are(there: Made, hub: FakeHub):
    result = CliRunner().invoke(cli, ["push", str(there.path), "me/sums", "--private"])
    assert (result.exit_code, result.stdout) == (
        0,
        "https://hub.example/me/sums\nhttps://hub.example/me/sums-model\n",
    )
    assert hub.made[0][2]
