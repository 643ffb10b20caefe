from pathlib import Path

from diffusion import Logger


class LossTable(Logger):
    """Writes the loss of each logged step to loss.csv in the run folder."""

    def start(self, folder: Path, **_) -> None:
        self.path = folder / "loss.csv"

    def log(self, step: int, values, panel: str | None = None) -> None:
        if "loss" in values:
            with open(self.path, "a") as file:
                file.write(f"{step},{values['loss']}\n")
