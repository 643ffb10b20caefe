"""The commands of the pages, as they are typed, and what makes them short."""

from __future__ import annotations

import re
import shlex
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from diffusion.config.data_choice import USUAL
from diffusion.runs.naming import run_name, short_hash

ROOT = Path(__file__).parents[1]
TOP = ("README.md", "README.ko.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
PAGES = (*TOP, *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
PROGRAM = re.compile(
    r"(?:\w+=\S+ )*(?:(?:srun )?torchrun .*?|python )((?:train|sample|evaluate|export)\.py|-m diffusion\.report)\b"
)
LEFT_OUT = {
    r"^(sample|evaluate|export)\.py $": "names the script",
    r" \.\.\.": "stands for a whole line",
    r"download=true": "downloads a data set",
    r"checkpoint=\S+\.pt\b": "needs OpenAI's weights",
    r"evaluation=fid|features=inception": "needs the weights of FID's network",
    r"hydra/launcher=slurm ": "needs Slurm",
}
TELLS_ONLY = re.compile(r"--help|--cfg|-sc |^-m ")
SEVERAL = re.compile(r" -m |hydra/(launcher|sweeper)=| name=")  # runs, each named by its own settings, or a name
# What is added behind the commands of a script in which a sign is found; the last of several values counts.
SHORTER = {
    "train": {
        "": "device=cpu train.max_steps=2 train.batch_size=4 train.preview.images=2 sampler.steps=2",
        # No sampler or measure is asked for more.
        r"^(?!.*diffusion=(edm|flow|continuous))": "diffusion.steps=100",
        r"microbatch": "train.batch_size=16",
        r"model=unet_|experiment=(imagenet|lsun)": "model.base_channels=32",
        r"lsun256|image_size=256": "data.image_size=64",
        r"digits_upsample": "conditions.low_res.size=16",  # of the images in FOLDER
        r"likelihood|digits_ablation": "train.evaluations.likelihood.num_images=4",
        r"quality|digits_ablation": "train.evaluations.quality.num_images=100",
        r"hydra/sweeper=search": "hydra.sweeper.n_trials=2",
    },
    "sample": {
        "": "device=cpu",
        r"^(?!.* num_images=\d\d?\b)": "num_images=2",
        r"compile=true": "compile=false",
        r"task=inpaint": "task.jump_n_sample=2",
    },
    "evaluate": {
        "": "device=cpu evaluation.num_images=4",
        r"evaluation=likelihood": "evaluation.steps=10",
        r"quality|recognition|memorisation": "evaluation.num_images=100 sampler.steps=2",
    },
    "export": {"": "device=cpu"},
}


class Command(NamedTuple):
    """A command as it is typed on a page: its script or -m and a module, and what follows."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)

    @property
    def script(self) -> str:
        return self.words[0].removesuffix(".py")

    @property
    def left_out(self) -> str | None:
        """Why it cannot be run here; None where it can."""
        return next((reason for sign, reason in LEFT_OUT.items() if re.search(sign, f"{' '.join(self.words)} ")), None)

    @property
    def stage(self) -> int:
        """0 for what needs no trained run, 1 for training that does, 2 for the use of runs, 3 for training on that."""
        if self.script != "train":
            return 2
        begins = [word for word in self.words if word.startswith("init_from=") and "=runs/" not in word]
        return 3 if begins else int(any("=runs/" in word for word in self.words))


def commands(page: str) -> list[Command]:
    """Those in the shell blocks and between the backticks of a page, in its order."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for language, block, span in re.findall(r"^```(\w*)\n(.*?)^```|`([^`]+)`", text, re.MULTILINE | re.DOTALL):
        lines = re.split(r"\n|&&?", block) if language == "bash" else [span.replace("\n", " ")]
        for line in map(str.strip, lines):
            if start := PROGRAM.match(line):
                found.append(Command(page, tuple(shlex.split(start[1] + line[start.end() :], comments=True))))
    return found


def shortened(command: Command, place: Path) -> tuple[str, ...]:
    """The words of a command in the user's folder `place`, and behind them those that make it short."""
    words = tuple(re.sub("=/", f"={place}/", word) for word in command.words)
    typed = " ".join(command.words)
    if TELLS_ONLY.search(typed):
        return words
    more = [added.split() for sign, added in SHORTER[command.script].items() if re.search(sign, typed)]
    return (*words, *chain.from_iterable(more), *run_named(command))


def run_named(command: Command) -> list[str]:
    """The name that a run would have without what is added; another where the run of that name is finished."""
    typed = " ".join(command.words)
    if command.script != "train" or SEVERAL.search(typed):
        return []
    name = run_name([word for word in command.words if "=" in word], USUAL)
    return [f"name={short_hash(typed) if name == 'default' and len(command.words) > 1 else name}"]
