"""Finds what is wrong with a local model by reading its files.

This needs no model library, and is done before anything is spent.
"""

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
MODULES = "modules.json"
_OBJECTS = frozenset({TOKENIZER_CONFIG, TOKENIZER, "generation_config.json"})
"""Files that a library reads as JSON objects. `config.json` is read as one in any case."""
_INDEX = ".index.json"
"""The ending of the name of a file that says which weights are in which file."""
# The names that transformers and PEFT give to files of weights. Other .bin files, such as training_args.bin, hold no
# weights.
_PICKLED = ("pytorch_model*.bin", "adapter_model.bin")
# The setting with the number of layers: in most architectures, in GPT-2 and its relatives, and in T5.
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_AGAIN = "copy or download the model again, or give another one"


def check_files(model: ModelConfig, path: Path, field: str) -> None:
    """Check the files of a local model.

    Raises ConfigError, which names `field` and the file, if one is damaged or does not fit.
    """
    _check_whole(path, field)
    if path.is_dir() and (path / CONFIG).is_file():
        config = read_mapping(path / CONFIG, field)
        _check_special_tokens(path, config, field)
        _check_layers(model, config, path, field)


def check_embedder(path: Path, field: str) -> None:
    """Check the folder of a sentence-transformers model and the folders of its modules.

    Raises ConfigError, which names `field` and the file, if a file is damaged.
    """
    try:
        modules: Any = orjson.loads((path / MODULES).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigError(f"{field}: {str(path / MODULES)!r} is no readable JSON ({error}); {_AGAIN}") from None
    paths = [_mapping(one).get("path") for one in cast(list[object], modules)] if isinstance(modules, list) else [None]
    if not all(isinstance(one, str) for one in paths):
        raise ConfigError(f"{field}: {str(path / MODULES)!r} is not a list of modules that have a path; {_AGAIN}")
    # The path of a module names a folder inside this one. It is empty if the files of the module lie in this folder
    # itself.
    for folder in dict.fromkeys([path, *(path / str(one) for one in paths)]):
        # A module without settings of its own, such as one that normalises, may come without its empty folder.
        try:
            is_there = folder.is_dir()
        except OSError as error:  # the system refuses such a name
            raise ConfigError(f"{field}: {str(path / MODULES)!r}: a path in it: {error.strerror}; {_AGAIN}") from None
        if is_there:
            _check_whole(folder, field)
            if (folder / CONFIG).is_file():
                read_mapping(folder / CONFIG, field)


def _check_whole(path: Path, field: str) -> None:
    """Check a file of weights, or all files of a folder, for damage. Raises ConfigError, which names `field`."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    # The time and the size are arguments because the answer is cached by the arguments.
    if flaw := _first_flaw(tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)):
        file, why = flaw
        raise ConfigError(f"{field}: {str(file)!r}: {why}; {_AGAIN}")


@functools.cache
def _first_flaw(files: tuple[tuple[Path, int, int], ...]) -> tuple[Path, str] | None:
    """Return the first damaged file and what is wrong with it.

    Each file comes with its time and its size. A file that has not changed since is not read again in this process.
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
    elif file.name in _OBJECTS:
        _object_in(file)
    elif file.name.endswith(_INDEX):
        _check_index(file)


def _object_in(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises FlawError if there is none."""
    try:
        value: Any = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise FlawError(f"it is no readable JSON ({error})") from None
    if not isinstance(value, dict):
        raise FlawError(f"it holds a {type(value).__name__} and no JSON object")
    return cast(dict[str, Any], value)


def _check_index(file: Path) -> None:
    """Raise FlawError if an index names a file that does not exist, for example after a download that broke off."""
    named = _mapping(_object_in(file).get("weight_map")).values()
    for name in sorted({str(one) for one in named}):
        if not (file.parent / name).is_file():
            raise FlawError(f"it names {name!r}, which is not there")


def read_mapping(path: Path, field: str) -> dict[str, Any]:
    """Read a JSON object from a file of a model.

    Raises ConfigError, which names `field` and the file, if there is none.
    """
    try:
        value: Any = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigError(f"{field}: {str(path)!r} is no readable JSON ({error}); {_AGAIN}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{field}: {str(path)!r} holds a {type(value).__name__} and no JSON object; {_AGAIN}")
    return cast(dict[str, Any], value)


def _mapping(value: object) -> dict[str, Any]:
    """Return a value that should be a JSON object. If it is something else, return an empty object."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _check_special_tokens(path: Path, config: Mapping[str, Any], field: str) -> None:
    """Check that the embedding has a row for each special token that rows are built with."""
    # Models of several media keep the settings of their language model in `text_config`.
    rows = config.get("vocab_size", _mapping(config.get("text_config")).get("vocab_size"))
    if not isinstance(rows, int) or not (path / TOKENIZER_CONFIG).is_file():
        return
    settings = read_mapping(path / TOKENIZER_CONFIG, field)
    # Tokens of the vocabulary itself always have a row. Only added tokens can lie beyond it, for example if somebody
    # adds `<pad>` to the tokenizer and does not enlarge the embedding.
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
    """Return the text of a token. A token is written as a text, or as an object with its `content`."""
    return token if isinstance(token, str) else str(_mapping(token).get("content", ""))


def _added_tokens(path: Path, settings: Mapping[str, Any], field: str) -> dict[str, int]:
    """Return {text: id} of the tokens that a tokenizer has beside its vocabulary. Special tokens are among them."""
    # Fast tokenizers list them in tokenizer.json, slow ones in tokenizer_config.json alone.
    listed: list[object] = []
    try:
        if (path / TOKENIZER).is_file():
            listed += read_mapping(path / TOKENIZER, field).get("added_tokens") or []
        listed += [{**_mapping(one), "id": id_} for id_, one in _mapping(settings.get("added_tokens_decoder")).items()]
        return {_text(one): int(_mapping(one).get("id", -1)) for one in listed}
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{field}: {str(path)!r}: its tokenizer's added tokens are damaged ({error}); {_AGAIN}"
        ) from None


def _check_layers(model: ModelConfig, config: Mapping[str, Any], path: Path, field: str) -> None:
    there = next((config[name] for name in _LAYERS if isinstance(config.get(name), int)), None)
    if model.layers is not None and there is not None and model.layers > there:
        raise ConfigError(
            f"{field}: layers: {model.layers} asked for, {str(path / CONFIG)!r} has {there}; ask for at most {there}"
        )
