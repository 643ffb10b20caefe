"""A schema is what the constructor says: names, types, defaults, and what the program gives."""

from __future__ import annotations

import dataclasses
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import hydra
import pytest
import torch
from hydra.errors import ConfigCompositionException
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import ValidationError

import diffusion
from diffusion.config.schema_source import schema
from diffusion.config.signature import signature
from unet import UNet

if TYPE_CHECKING:
    from nowhere import Ghost

MODULE = "tried_classes"


class Typed:
    def __init__(
        self,
        network: torch.nn.Module | None = None,
        *,
        size: int,
        sizes: tuple[int, ...] = (1, 2),
        spacing: int | str | None = None,
        ends: Literal["clamp", "dpm++"] = "clamp",
        order: Literal[1, 2] = 1,
        ghost: Ghost | None = None,
        table: dict[str, float] | None = None,
        place: Path | None = None,
    ) -> None: ...


class Parent(torch.nn.Module):
    def __init__(self, *, width: int = 4, act: str = "relu", **kwargs) -> None: ...


class Child(Parent):
    def __init__(self, *, depth: int = 2, act: str = "gelu", **kwargs) -> None: ...


class Hidden(torch.nn.Module):
    def __init__(self, **kwargs) -> None: ...


class Objects:
    def __init__(self, *, act: torch.nn.Module = torch.nn.SiLU()) -> None: ...  # noqa: B008


class Words:
    def __init__(self, *, kind: Enum = Enum("Kind", "A").A) -> None: ...  # noqa: B008


class Partial:
    def __init__(self, parameters, /, *, lr: float = 0.1) -> None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    sizes: list[int] = dataclasses.field(default_factory=lambda: [8])
    rate: float = 0.5


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, MODULE, sys.modules[__name__])


def config(name):
    return OmegaConf.structured(schema(name))


def test_each_argument_is_a_setting_with_its_default():
    found = config(f"{MODULE}.Typed")
    assert found._target_ == f"{MODULE}.Typed"
    assert OmegaConf.is_missing(found, "size")
    assert found.sizes == [1, 2] and found.spacing is None and found.network is None and found.ends == "clamp"
    assert "_partial_" not in found


@pytest.mark.parametrize(
    "key, right, wrong",
    [
        ("size", 3, "big"),
        ("sizes", [4], ["a"]),
        ("spacing", "ddim50", [1]),
        ("spacing", None, {}),
        ("ends", "dpm++", "both"),
        ("order", 2, "two"),
        ("table", {"a": 1.5}, {"a": "x"}),
    ],
)
def test_the_type_of_an_argument_is_checked(key, right, wrong):
    found = config(f"{MODULE}.Typed")
    found[key] = right
    assert found[key] == right
    with pytest.raises(ValidationError):
        found[key] = wrong


def test_what_cannot_be_checked_may_be_anything():
    found = config(f"{MODULE}.Typed")
    found.ghost, found.place, found.network = {"a": 1}, "/tmp", {"_target_": "unet.UNet"}


def test_arguments_of_parents_are_settings_where_kwargs_hand_them_on():
    assert signature(f"{MODULE}.Child").settings.keys() == {"depth", "act", "width"}
    assert config(f"{MODULE}.Child").act == "gelu"
    assert signature("unet.SuperResolutionUNet").settings.keys() == signature("unet.UNet").settings.keys()


def test_what_a_constructor_does_not_say_is_one_line():
    for name, message in {
        "Hidden": r"hides its arguments behind \*\*kwargs; name them in __init__",
        "Objects": r"the default of act is an object \(SiLU\(\)\); make it None",
        "Words": "the default of kind is an object",
        "Nothing": "does not exist",
    }.items():
        with pytest.raises(ValueError, match=rf"^{MODULE}\.{name}:? {message}"):
            schema(f"{MODULE}.{name}")
    with pytest.raises(ValueError, match="there is no module nowhere; put its folder on PYTHONPATH, or pip install it"):
        schema("nowhere.Ghost")


def test_a_module_that_lacks_another_is_told_apart_from_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "needy").mkdir()
    (tmp_path / "needy" / "inner.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"needy.inner needs the module nowhere_at_all; put"):
        schema("needy.inner.Net")


def test_arguments_by_position_only_are_given_by_the_program():
    assert config(f"{MODULE}.Partial") == {"_target_": f"{MODULE}.Partial", "lr": 0.1, "_partial_": True}
    assert config("diffusion.AdamW")._partial_ and config("diffusion.AdamW").betas == [0.9, 0.999]
    sgd = config("torch.optim.SGD")
    assert sgd._partial_ and "params" not in sgd and sgd.momentum == 0


def test_a_root_is_its_own_schema_and_another_dataclass_a_choice():
    assert schema("diffusion.config.roots.TrainConfig").__name__ == "TrainConfig"
    assert config(f"{MODULE}.Choice") == {"_target_": f"{MODULE}.Choice", "sizes": [8], "rate": 0.5}


def test_facts_of_the_data_are_left_open():
    assert all(config("unet.UNet")._get_node(key)._is_missing() for key in (*UNet.given_by_data, "image_size"))
    assert schema("unet.UNet") is schema("unet.UNet") and MISSING == "???"


def test_a_defaults_list_asks_for_a_schema_and_hears_of_mistakes(tmp_path):
    (tmp_path / "right.yaml").write_text("defaults: [/schema/diffusion.Cosine@_here_, _self_]\noffset: 0.5\n")
    (tmp_path / "wrong.yaml").write_text("defaults: [/schema/diffusion.Sine@_here_, _self_]\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        right = hydra.compose("right")
        assert right == {"_target_": "diffusion.Cosine", "offset": 0.5, "max_beta": 0.999}
        assert isinstance(hydra.utils.instantiate(right), diffusion.Cosine)
        with pytest.raises(ConfigCompositionException, match=r"^/schema/diffusion.Sine does not exist$"):
            hydra.compose("wrong")
