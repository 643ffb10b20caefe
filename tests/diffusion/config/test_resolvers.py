"""The names that a configuration asks for."""

from pathlib import Path

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from diffusion.config.resolvers import register_resolvers
from diffusion.runs.naming import LAST_WORD, TAKEN
from diffusion.runs.resuming import flatten

CONF = Path(__file__).parents[3] / "conf"


@pytest.fixture(scope="module", autouse=True)
def initialized():
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def test_the_same_command_finds_the_run_of_its_former_name_unless_there_is_one_of_its_own(tmp_path, monkeypatch):
    words = ["train=debug", "data.image_size=8", f"runs={tmp_path}"]
    config = hydra.compose("train", words, return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", config)
    assert config.name == "debug+image_size-8"
    (tmp_path / "data.image_size-8+train-debug").mkdir()
    assert config.name == "data.image_size-8+train-debug"
    (tmp_path / "debug+image_size-8").mkdir()
    assert config.name == "debug+image_size-8"


def test_what_stands_in_names_by_its_last_word_is_there_and_no_experiment_is_called_so():
    options = [known for known in LAST_WORD if "=" in known]
    groups = [known for known in LAST_WORD if "/" in known]
    settings = [known for known in LAST_WORD if "=" not in known and "/" not in known]
    assert all((CONF / option.replace("=", "/")).with_suffix(".yaml").exists() for option in options)
    assert all((CONF / group).is_dir() for group in groups)
    assert not TAKEN & {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    both = [hydra.compose("train", ["name=x", f"data={data}"]) for data in ("image_folder", "npz")]
    assert set(settings) <= {key for config in both for key in flatten(OmegaConf.to_container(config))}
