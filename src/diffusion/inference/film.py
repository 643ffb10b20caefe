"""The way from noise to images as a film."""

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffusion.pictures.grid import grid
from diffusion.pictures.lettering import titled
from diffusion.runs.files import atomic_write
from diffusion.samplers.sampler import Step

IMAGES = 16  # that it shows
FRAMES = 60  # at most
PER_SECOND = 15
WIDTH = 400  # pixels at least: noise takes many bytes in a .gif
WORDS = "x_t, and beside it the x_0 predicted in it"
HOLD = 1.5  # seconds that the last frame stays


class Film:
    """x_t on the left, and on the right the x_0 expected in it, of up to 16 images: an animated .gif, or an .mp4."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix not in WRITERS:
            raise ValueError(f"film={path} must end with .gif or .mp4; set film=way.gif")
        if self.path.suffix == ".mp4" and importlib.util.find_spec("av") is None:
            raise ValueError(f'film={path} needs PyAV; type: pip install -e ".[film]", or set film=way.gif')
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.steps: list[tuple[int, Step]] = []

    def watch(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The same steps; enough of them, evenly spread, are kept, and the last."""
        every, last = 1, None
        for number, step in enumerate(steps):
            last = number, Step(*(images[:IMAGES].float().cpu() for images in step))
            if number % every == 0:
                self.steps.append(last)
            if len(self.steps) > FRAMES:
                self.steps, every = self.steps[::2], 2 * every
            yield step
        if last is not None and self.steps[-1][0] != last[0]:
            self.steps.append(last)

    def frames(self, title: str) -> list[np.ndarray]:
        """Each uint8 (height, width, C), below its title and its step."""
        title, total = f"{title}\n{WORDS}", self.steps[-1][0] + 1
        return [titled(side_by_side(*step), f"{title}\nstep {n + 1} of {total}") for n, step in self.steps]

    def save(self, title: str) -> None:
        """Writes the film to its file."""
        with atomic_write(self.path) as path:
            WRITERS[self.path.suffix](path, self.frames(title))


def side_by_side(x: Tensor, x_0: Tensor) -> np.ndarray:
    """Two squares of images (N, C, H, W) beside each other; x is brought to the size of an image where it is larger."""
    columns = math.ceil(math.sqrt(len(x)))
    blank = x.new_ones(-len(x) % columns, *x.shape[1:])
    left, right = (torch.cat([images, blank]).unflatten(0, (-1, columns)) for images in (x / x.std().clamp(min=1), x_0))
    heads = ["x_t"] * columns + ["x_0"] * columns
    tiles = torch.cat([left, right], dim=1).flatten(0, 1)
    return grid(tiles, columns=2 * columns, labels=heads * len(left), width=WIDTH)


def write_gif(path: Path, frames: list[np.ndarray]) -> None:
    """An endless animation."""
    images = [Image.fromarray(frame.squeeze(-1) if frame.shape[-1] == 1 else frame) for frame in frames]
    milliseconds = [1000 // PER_SECOND] * (len(images) - 1) + [int(1000 * HOLD)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, loop=0, disposal=1)


def write_mp4(path: Path, frames: list[np.ndarray]) -> None:
    """H.264 in its most widely played form, whose sides are even."""
    import av

    height, width = (side + side % 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in [*frames, *frames[-1:] * int(HOLD * PER_SECOND)]:
            colours = np.broadcast_to(frame, (*frame.shape[:2], 3))
            even = np.pad(colours, ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)), mode="edge")
            film.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        film.mux(stream.encode())


WRITERS = {".gif": write_gif, ".mp4": write_mp4}
