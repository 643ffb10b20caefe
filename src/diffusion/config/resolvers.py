"""The names that a configuration asks for: of the run, of its sweep, and of the group that a sweep's runs share."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffusion.config import data_choice
from diffusion.runs import naming


def register_resolvers(sweep: str = "sweep") -> None:
    """Define `${run_name:}`, `${sweep_name:}` and `${sweep_group:}` in this process."""

    def run_name(*, _root_: Any) -> str:
        return naming.run_name(HydraConfig.get().overrides.task, incidental_settings(_root_))

    def sweep_group() -> str | None:
        return sweep if HydraConfig.get().mode == RunMode.MULTIRUN else None

    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("sweep_name", lambda: sweep, replace=True)
    OmegaConf.register_new_resolver("sweep_group", sweep_group, replace=True)


def incidental_settings(config: Any) -> tuple[str, ...]:
    """The settings of the data that make no other experiment; the usual ones while no set can be told."""
    try:
        return data_choice.incidental({"_target_": config.data._target_})
    except (ValueError, AttributeError, OmegaConfBaseException):
        return data_choice.USUAL  # what is wrong with the data is said when they are built
