"""The names that a configuration asks for: of a run and its folder, of its sweep, of the group of a sweep's runs."""

import os
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffusion.config import data_choice
from diffusion.runs import naming
from diffusion.runs.former_names import former_run_name


def register_resolvers(sweep: str = "sweep") -> None:
    """Define `${run_name:}`, `${sweep_name:}` and `${sweep_group:}` in this process.

    Also `${runs_folder:...}` and `${run_folder:...}`, which refuse what names no folder before Hydra makes one.
    """

    def run_name(*, _root_: Any) -> str:
        try:
            ignored = data_choice.incidental({"_target_": _root_.data._target_})
        except (ValueError, AttributeError, OmegaConfBaseException):
            ignored = data_choice.USUAL  # what is wrong with the data is said when they are built
        overrides = HydraConfig.get().overrides.task
        names = [name_of(overrides, ignored) for name_of in (naming.run_name, former_run_name)]
        return next((name for name in names if os.path.exists(os.path.join(str(_root_.runs), name))), names[0])

    def sweep_group() -> str | None:
        return sweep if HydraConfig.get().mode == RunMode.MULTIRUN else None

    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("runs_folder", lambda runs: naming.check_runs(str(runs)), replace=True)
    OmegaConf.register_new_resolver("run_folder", lambda name: naming.check_name(str(name)), replace=True)
    OmegaConf.register_new_resolver("sweep_name", lambda: sweep, replace=True)
    OmegaConf.register_new_resolver("sweep_group", sweep_group, replace=True)
