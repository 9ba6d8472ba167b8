"""What is wrong with a local model, found in its files before anything is spent and without a model library."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import orjson

from burnish.config import ModelConfig
from burnish.errors import ConfigError
from burnish.models.weights import FlawError, check_gguf, check_pickle, check_safetensors

CONFIG, TOKENIZER_CONFIG, TOKENIZER = "config.json", "tokenizer_config.json", "tokenizer.json"
# The names that transformers and PEFT give to weights. Other .bin files, such as training_args.bin, are none.
_PICKLED = ("pytorch_model*.bin", "adapter_model.bin")
# Most architectures, GPT-2 and its relatives, and T5.
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_AGAIN = "copy or download the model again, or give another one"


def check_files(model: ModelConfig, path: Path, field: str) -> None:
    """Look through a local model's files. Raises ConfigError naming `field` and the file."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    # The time and the size are arguments because the answer is remembered by them.
    if flaw := _first_flaw(tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)):
        file, why = flaw
        raise ConfigError(f"{field}: {str(file)!r}: {why}; {_AGAIN}")
    if path.is_dir() and (path / CONFIG).is_file():
        config = read_mapping(path / CONFIG, field)
        _check_special_tokens(path, config, field)
        _check_layers(model, config, path, field)


@functools.cache
def _first_flaw(files: tuple[tuple[Path, int, int], ...]) -> tuple[Path, str] | None:
    """Return the first damaged file of weights and why.

    A file comes with its time and its size: one that did not change since is not read again in this process.
    """
    for file, _, _ in files:
        try:
            _check(file)
        except FlawError as error:
            return file, str(error)
        except OSError as error:
            return file, f"it cannot be read ({error.strerror})"
    return None


def _check(file: Path) -> None:
    if file.suffix == ".gguf":
        check_gguf(file)
    elif file.suffix == ".safetensors":
        check_safetensors(file)
    elif any(file.match(pattern) for pattern in _PICKLED):
        check_pickle(file)


def read_mapping(path: Path, field: str) -> dict[str, Any]:
    """Read a JSON object from a model's folder. Raises ConfigError naming `field` and the file."""
    try:
        value: Any = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigError(f"{field}: {str(path)!r} is no readable JSON ({error}); {_AGAIN}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{field}: {str(path)!r} holds a {type(value).__name__} and no JSON object; {_AGAIN}")
    return cast(dict[str, Any], value)


def _mapping(value: object) -> dict[str, Any]:
    """Return a value that should be an object of JSON; an empty one where it is none."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _check_special_tokens(path: Path, config: Mapping[str, Any], field: str) -> None:
    """Check that the special tokens that rows are built with have a place in the embedding."""
    # Models of several media keep the settings of their language model in `text_config`.
    rows = config.get("vocab_size", _mapping(config.get("text_config")).get("vocab_size"))
    if not isinstance(rows, int) or not (path / TOKENIZER_CONFIG).is_file():
        return
    settings = read_mapping(path / TOKENIZER_CONFIG, field)
    # Tokens of the vocabulary itself always have a row. Only added ones can lie beyond: somebody adds `<pad>` to the
    # tokenizer and does not enlarge the embedding.
    ids = _added_tokens(path, settings, field)
    for name in ("pad_token", "eos_token", "bos_token"):
        text = _text(settings.get(name))
        id_ = ids.get(text, -1)
        if id_ >= rows:
            raise ConfigError(
                f"{field}: {str(path / TOKENIZER_CONFIG)!r}: {name} {text!r} has the id {id_}, but the embedding has "
                f"{rows} rows (vocab_size in {CONFIG}); name a token that the model knows, such as its eos_token"
            )


def _text(token: object) -> str:
    """Return a token's text: it is written as a text, or as an object with its content."""
    return token if isinstance(token, str) else str(_mapping(token).get("content", ""))


def _added_tokens(path: Path, settings: Mapping[str, Any], field: str) -> dict[str, int]:
    """Return {text: id} of the tokens that a tokenizer has beside its vocabulary, special ones among them."""
    # Fast tokenizers list them in tokenizer.json, slow ones in tokenizer_config.json alone.
    listed: list[object] = []
    if (path / TOKENIZER).is_file():
        listed += read_mapping(path / TOKENIZER, field).get("added_tokens") or []
    listed += [{**_mapping(one), "id": id_} for id_, one in _mapping(settings.get("added_tokens_decoder")).items()]
    return {_text(one): int(_mapping(one).get("id", -1)) for one in listed}


def _check_layers(model: ModelConfig, config: Mapping[str, Any], path: Path, field: str) -> None:
    there = next((config[name] for name in _LAYERS if isinstance(config.get(name), int)), None)
    if model.layers is not None and there is not None and model.layers > there:
        raise ConfigError(
            f"{field}: layers: {model.layers} asked for, {str(path / CONFIG)!r} has {there}; ask for at most {there}"
        )
