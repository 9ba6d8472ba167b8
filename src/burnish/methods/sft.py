"""Supervised finetuning (SFT): the model that every method starts from. On gold labels it is the ceiling."""

from __future__ import annotations

from burnish.config import SftMethod
from burnish.steps.setting import Round, Setting
from burnish.types import Artifact


def sft(setting: Setting, method: SftMethod) -> list[Round]:
    """Finetune once, on the demonstrations as they are or on the references of the same rows."""
    demonstrations = setting.demonstrations
    if method.demonstrations == "gold":
        assert setting.gold is not None, "the method trains on gold labels, but there are none"
        demonstrations = setting.gold
    return [start(setting, demonstrations, method.name)]


def start(setting: Setting, demonstrations: Artifact, name: str = "sft") -> Round:
    """Return round 0 of a method: the SFT model and the labels that it was trained on."""
    model = learned(setting, demonstrations, name, last=setting.models == "ends")
    return Round(number=0, model=model, demonstrations=demonstrations)


def learned(setting: Setting, demonstrations: Artifact, name: str, *, last: bool) -> Artifact:
    """Finetune the base model on all rows.

    Unless `setting.models` is `every`, nothing is trained if this is not the `last` round, because nobody uses the
    model. The base model is returned in its place. With `none`, nothing is trained at all.
    """
    if setting.models == "none" or (setting.models != "every" and not last):
        return setting.base
    return setting.steps.train(setting.base, setting.rows, demonstrations, setting.train, name)
