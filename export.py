"""Write a model's weights as the original's code reads them: python export.py checkpoint=runs/NAME out=model.pt"""

from pathlib import Path

from omegaconf import DictConfig

import unet
from diffusion import restore
from diffusion.command import command


@command(__file__)
def main(config: DictConfig) -> None:
    out = Path(config.out)
    if out.exists() and not config.overwrite:
        raise ValueError(f"{out} exists; give another out=..., or overwrite=true")
    model = restore.chosen(config)
    out.parent.mkdir(parents=True, exist_ok=True)
    unet.save_released(model.network, out)
    print(f"Wrote the {len(unet.export_released(model.network))} tensors of {model.origin} to {out}")


if __name__ == "__main__":
    main()
