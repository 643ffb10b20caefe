"""Write a model's weights as the original's code reads them: python export.py checkpoint=runs/NAME out=model.pt"""

if __name__ == "__main__":  # before the imports below, which take seconds
    from diffusion.cli.help import answer_help

    answer_help(__file__)

from pathlib import Path

import torch
from omegaconf import DictConfig

import unet
from diffusion.cli.command import command
from diffusion.config import load
from diffusion.runs.files import atomic_write, make_folder


@command(__file__)
def main(config: DictConfig) -> None:
    out = Path(config.out)
    check(out, overwrite=config.overwrite)
    model = load.load_choice(config)
    tensors = unet.export_released(model.network)
    write(model.network, out)
    print(f"Wrote the {len(tensors)} tensors of {model.origin} to {out}")


def check(out: Path, *, overwrite: bool) -> None:
    """Raise ValueError if nothing can or may be written to `out`."""
    if out.suffix not in (".pt", ".safetensors"):
        raise ValueError(f"{out} must end in .pt or .safetensors")
    if out.is_dir() or (out.exists() and not overwrite):
        raise ValueError(f"{out} exists; give another out=...{'' if out.is_dir() else ', or overwrite=true'}")


def write(network: torch.nn.Module, out: Path) -> None:
    """Writes the weights to `out`, or leaves what was there as it was."""
    with make_folder(out.parent), atomic_write(out) as path:
        unet.save_released(network, path)


if __name__ == "__main__":
    main()
