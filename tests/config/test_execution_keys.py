"""Settings of execution as keys of caches."""

from __future__ import annotations

from burnish.config import Execution


def test_settings_with_mappings_have_a_hash_and_are_told_apart() -> None:
    executor = {"kind": "submitit", "options": {"slurm_partition": "gpu"}}
    settings = {"needs": {"models": {"cpus": 4}}, "executor": executor, "workers": 2}
    one, same = (Execution.model_validate(settings) for _ in range(2))
    assert (one == same, hash(one) == hash(same)) == (True, True)
    assert len({one, same, Execution(), Execution.model_validate({**settings, "needs": {}})}) == 3


def test_one_process_is_not_written() -> None:
    """So results folders from before keep their bytes."""
    needs = Execution.model_validate({"needs": {"train": {"cpus": 2}}}).model_dump(mode="json")["needs"]["train"]
    assert needs == {"gpus": "auto", "cpus": 2, "memory_gb": None}
