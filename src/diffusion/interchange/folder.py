"""A trained model as a folder that diffusers' `DiffusionPipeline.from_pretrained` loads, written and read.

A folder from elsewhere is data: of it are read two or three small JSON files and one file of safetensors, and none of
its code is run.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch

import unet
from diffusion.denoiser.diffusion import GaussianDiffusion
from diffusion.inference.trained import Trained
from diffusion.interchange.scheduler import diffusion_of, scheduler_config
from diffusion.runs.small_files import MOST_BYTES, load_plain, require_regular

INDEX = "model_index.json"
NETWORK = "config.json"
SCHEDULER = "scheduler_config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
LIBRARIES = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
PIPELINE = "pipeline"  # the file of the pipeline for what the library's own does not draw
HOME = Path(__file__).parent


class Pretrained(NamedTuple):
    """What such a folder holds. Labels were left out in training for a share `label_dropout` of the images."""

    network: unet.UNet
    diffusion: GaussianDiffusion
    shape: tuple[int, int, int]
    classes: list[str] | None
    label_dropout: float


def write_folder(model: Trained, folder: Path, name: str) -> None:
    """Write the model to an existing folder that will be called `name`. ValueError says why it cannot be one."""
    network, channels = model.network, model.shape[0]
    config, scheduler = unet.unet2d_config(network), scheduler_config(model.diffusion)  # type: ignore[arg-type]
    height, width = model.shape[1:]
    config |= {"sample_size": height if height == width else [height, width]}
    assert config["in_channels"] == channels, "a UNet sees what it draws"
    index = index_of(model)
    if config["num_class_embeds"] != num_labels(index):
        raise ValueError(
            f"this network is told one of {config['num_class_embeds']} labels, which are not the classes of its images"
        )
    (folder / "unet").mkdir()
    (folder / "scheduler").mkdir()
    tensors = {key: tensor.cpu().contiguous() for key, tensor in unet.unet2d_tensors(network).items()}  # type: ignore[arg-type]
    (folder / "unet" / WEIGHTS).write_bytes(safetensors.torch.save(tensors, metadata={"format": "pt"}))
    write_json(folder / "unet" / NETWORK, config)
    write_json(folder / "scheduler" / SCHEDULER, scheduler)
    write_json(folder / INDEX, index)
    (folder / "README.md").write_text(card(model, name, index, scheduler), encoding="utf-8")
    if isinstance(index["_class_name"], list):
        (folder / f"{PIPELINE}.py").write_text((HOME / f"{PIPELINE}.txt").read_text())


def index_of(model: Trained) -> dict[str, Any]:
    """What model_index.json holds: the library's own pipeline where it draws the same, else that of this program."""
    process, classes = model.diffusion, model.classes
    assert isinstance(process, GaussianDiffusion)
    scale = 1000 / process.steps if process.rescale_times else 1.0
    if classes is None and scale == 1:
        return {"_class_name": "DDPMPipeline", **LIBRARIES}
    return {
        "_class_name": [PIPELINE, "ClassPipeline"],
        **LIBRARIES,
        "id2label": None if classes is None else {str(number): name for number, name in enumerate(classes)},
        "time_scale": scale,
        "label_dropout": (model.config.get("train") or {}).get("label_dropout", 0.0),
    }


def num_labels(index: dict[str, Any]) -> int | None:
    """How many labels a network knows: its classes, and the one that stands for none of them."""
    names = index.get("id2label")
    return None if names is None else len(names) + (index["label_dropout"] > 0)


def card(model: Trained, name: str, index: dict[str, Any], scheduler: dict[str, Any]) -> str:
    """The text of README.md, which the hub shows as the model's page."""
    channels, height, width = model.shape
    own, classes = isinstance(index["_class_name"], list), model.classes
    steps = scheduler["num_train_timesteps"]
    arguments = f"class_labels={classes[:1]!r}" if classes else "batch_size=4"
    return (HOME / "card.md").read_text().format(
        name=name,
        size=f"{height}x{width} {'grey' if channels == 1 else 'colour'}",
        classes=f" of {len(classes)} classes" if classes else "",
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        prediction=scheduler["prediction_type"],
        steps=steps,
        trained="" if model.step is None else f", after {model.step:,} steps of training",
        trust=", trust_remote_code=True" if own else "",
        arguments=arguments if own else f"{arguments}, num_inference_steps={steps}",
        code=f"The code that is trusted is `{PIPELINE}.py`, beside this file. " if own else "",
        weights=model.weights,
    )  # fmt: skip


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write what `read_folder` can read again; ValueError if that would be too long."""
    text = json.dumps(content, indent=2) + "\n"
    if len(text) > MOST_BYTES:
        raise ValueError(
            f"{path.name} would have {len(text):,} bytes, and of more than {MOST_BYTES:,} none is read again; "
            "out=model.pt keeps the weights"
        )
    path.write_text(text)


def is_pipeline_folder(path: Path) -> bool:
    """Whether `path` is a folder as diffusers writes one, of a pipeline or of a network alone, and no run."""
    return not (path / "checkpoints").is_dir() and any((path / name).exists() for name in (INDEX, NETWORK))


def read_folder(path: Path) -> Pretrained:
    """The model in a folder of a UNet2DModel and its scheduler. ValueError if it is another, or damaged."""
    if not (path / INDEX).exists():
        raise ValueError(f"{path} holds a network alone; give the folder that holds {INDEX}, such as the one above it")
    index = load_plain(path / INDEX, dict)
    check_components(path, index)
    # The parts of an old folder lie beside its index.
    places = {part: path / part if (path / part).is_dir() else path for part in LIBRARIES}
    network_file, scheduler_file = places["unet"] / NETWORK, places["scheduler"] / SCHEDULER
    config, scheduler = load_plain(network_file, dict), load_plain(scheduler_file, dict)
    try:
        network = unet.read_unet2d(config, weights_file(places["unet"]))
    except ValueError as error:
        raise ValueError(f"{network_file} is no network of this program: {error}") from error
    try:
        diffusion = diffusion_of(scheduler, time_scale=index.get("time_scale", 1.0))
    except ValueError as error:
        raise ValueError(f"{scheduler_file} is no process of this program: {error}") from error
    if (outputs := diffusion.outputs(network.in_channels)) != network.out_channels:
        raise ValueError(
            f"{path} has a network of {network.out_channels} output channels, and with its scheduler's variance "
            f"{type(diffusion.variance).__name__} it would have {outputs}"
        )
    shape = (network.in_channels, *unet.image_sides(config))
    return Pretrained(network, diffusion, shape, *classes_of(path, index, network.num_classes))


def check_components(path: Path, index: dict[str, Any]) -> None:
    """Raise ValueError unless a pipeline is made of a UNet2DModel and a scheduler, and of no more."""
    parts = {name: part for name, part in index.items() if isinstance(part, list) and not name.startswith("_")}
    others = [name for name, part in parts.items() if part != [None, None] and name not in LIBRARIES]
    *_, kind = [None, *parts.get("unet", [])]
    if others or kind != "UNet2DModel" or "scheduler" not in parts:
        held = f"with a part {others[0]!r:.60}" if others else f"with unet={kind!r:.60}" if kind else "without a unet"
        raise ValueError(
            f"{path} holds a {index.get('_class_name')!r:.60} {held}; only pipelines of a UNet2DModel and a scheduler, "
            "and of nothing else, are read"
        )


def classes_of(path: Path, index: dict[str, Any], num_classes: int | None) -> tuple[list[str] | None, float]:
    """The names of the classes, which are their numbers if nobody named them, and how often labels were left out."""
    dropout, names = index.get("label_dropout", 0.0), index.get("id2label")
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ValueError(f"{path / INDEX} says label_dropout={dropout!r:.60}, which must lie in [0, 1)")
    if num_classes is None:
        return None, 0.0
    known = [str(number) for number in range(num_classes - (dropout > 0))]
    names = dict(zip(known, known, strict=True)) if names is None else names
    if not isinstance(names, dict) or list(names) != known or not all(isinstance(n, str) for n in names.values()):
        raise ValueError(
            f"{path / INDEX} does not name the {len(known)} classes of its network, from 0 on, in id2label"
        )
    return list(names.values()), dropout


def weights_file(folder: Path) -> Path:
    """The file of weights in a folder; an error if there is none that can be read to its end."""
    path = folder / WEIGHTS
    if not path.exists():
        raise ValueError(f"there is no {path}, and only weights in safetensors are read")
    require_regular(str(path), path.stat())
    return path
