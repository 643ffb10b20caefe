"""The names that a configuration asks for: of the run, of its sweep, and of the group that a sweep's runs share."""

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
        try:
            ignored = data_choice.incidental({"_target_": _root_.data._target_})
        except (ValueError, AttributeError, OmegaConfBaseException):
            ignored = data_choice.USUAL  # what is wrong with the data is said when they are built
        return naming.run_name(HydraConfig.get().overrides.task, ignored)

    def sweep_group() -> str | None:
        return sweep if HydraConfig.get().mode == RunMode.MULTIRUN else None

    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("sweep_name", lambda: sweep, replace=True)
    OmegaConf.register_new_resolver("sweep_group", sweep_group, replace=True)
