"""The film of images that come out of noise."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from diffusion.inference.prompts import Prompts
from diffusion.runs.files import atomic_write
from diffusion.samplers.sampler import Step

FORMATS = ("gif", "mp4")
SECONDS, REST = 4.0, 1.0  # of the way, and at its end
MOST_IMAGES, MOST_FRAMES = 64, 100


class Film:
    """Watches the steps of a sampler, and writes what it saw: x_t of the first images, their expected x_0 beside."""

    def __init__(self, path: Path) -> None:
        self.path, self.frames = path, list[np.ndarray]()

    def watch(self, steps: Iterator[Step], prompts: Prompts, total: int) -> Iterator[Step]:
        """The steps, about `total` of them, which pass through unchanged."""
        every = -(-total // MOST_FRAMES)
        for number, step in enumerate(steps):
            if number % every == 0 or number == total - 1:
                halves = [prompts.picture(images[:MOST_IMAGES]) for images in (step.x, step.x_0)]
                gap = np.full((halves[0].shape[0], 8, halves[0].shape[2]), 255, np.uint8)
                self.frames.append(np.concatenate([halves[0], gap, halves[1]], axis=1))
            yield step

    def write(self) -> None:
        """Write the film; ValueError where an MP4 is asked for and imageio is not installed."""
        with atomic_write(self.path) as path:
            if self.path.suffix == ".mp4":
                write_mp4(path, self.frames)
            else:
                write_gif(path, self.frames)


def check_format(film: str | None) -> None:
    """Raise ValueError unless a film can be written in this format."""
    if film is None:
        return
    if film not in FORMATS:
        raise ValueError(f"film={film} is unknown; set film={' or film='.join(FORMATS)}")
    if film == "mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError:
            raise ValueError("film=mp4 needs imageio: pip install 'hydra-diffusion[film]', or set film=gif") from None


def write_gif(path: Path, frames: list[np.ndarray]) -> None:
    images = [Image.fromarray(frame.squeeze(-1) if frame.shape[-1] == 1 else frame) for frame in frames]
    each = max(20, round(1000 * SECONDS / len(images)))
    times = [*[each] * (len(images) - 1), each + round(1000 * REST)]
    images[0].save(path, format="GIF", save_all=True, append_images=images[1:], duration=times, loop=0)


def write_mp4(path: Path, frames: list[np.ndarray]) -> None:
    import imageio_ffmpeg

    rate = max(len(frames) / SECONDS, 1)
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])  # the codec takes even sides
    even = [np.broadcast_to(frame[:height, :width], (height, width, 3)).copy() for frame in frames]
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=rate, macro_block_size=2)
    writer.send(None)
    for frame in [*even, *[even[-1]] * round(rate * REST)]:
        writer.send(frame)
    writer.close()
