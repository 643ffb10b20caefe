"""Write a trained model for other programs: python export.py checkpoint=runs/NAME out=model.pt, or format=diffusers"""

if __name__ == "__main__":  # before the imports below, which take seconds
    from diffusion.cli.help import answer_help

    answer_help(__file__)

from pathlib import Path

from omegaconf import DictConfig

import unet
from diffusion.cli.command import command
from diffusion.config import load, preflight
from diffusion.inference.trained import Trained
from diffusion.interchange import folder
from diffusion.runs.files import atomic_folder, atomic_write, make_folder


@command(__file__)
def main(config: DictConfig) -> None:
    if config.format not in FORMATS:
        raise ValueError(f"format={config.format} is unknown; set format={' or '.join(FORMATS)}")
    check, write = FORMATS[config.format]
    out = Path(config.out)
    preflight.check_sampler(config)
    check(out, overwrite=config.overwrite)
    model = load.load_choice(config)
    print(f"Wrote {write(model, out)} of {model.origin} to {out}")


def check_file(out: Path, *, overwrite: bool) -> None:
    """Raise ValueError if no file can or may be written to `out`."""
    if out.suffix not in (".pt", ".safetensors"):
        raise ValueError(f"{out} must end in .pt or .safetensors; a folder is written with format=diffusers")
    if out.is_dir() or (out.exists() and not overwrite):
        raise ValueError(f"{out} exists; give another out=...{'' if out.is_dir() else ', or overwrite=true'}")


def write_file(model: Trained, out: Path) -> str:
    """Write the weights under the original's names to `out`, or leave what was there as it was."""
    tensors = unet.export_released(model.network)
    with make_folder(out.parent), atomic_write(out) as path:
        unet.save_released(model.network, path)
    return f"the {len(tensors)} tensors"


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Raise ValueError if no folder of diffusers can or may be written to `out`."""
    if out.exists() and not (out.is_dir() and (overwrite or not any(out.iterdir()))):
        raise ValueError(f"{out} exists; give another out=...{', or overwrite=true' if out.is_dir() else ''}")


def write_folder(model: Trained, out: Path) -> str:
    """Write the model as diffusers loads it to the folder `out`, whose other files stay."""
    with atomic_folder(out) as partial:
        folder.write_folder(model, partial, out.resolve().name)
    return "the pipeline"


FORMATS = {"released": (check_file, write_file), "diffusers": (check_folder, write_folder)}

if __name__ == "__main__":
    main()
