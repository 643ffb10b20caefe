"""A folder with what the pages speak of as the user's: photographs, arrays, tables, parts of one's own."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

EXTENSION = Path(__file__).parents[1] / "tests" / "extension"
CHANCE = np.random.default_rng(0)


def images(count: int, size: int, *channels: int) -> np.ndarray:
    return CHANCE.integers(0, 256, (count, size, size, *channels), dtype=np.uint8)


def fill(place: Path) -> None:
    """Make the folder, and all of it."""
    for folder in ("photos", "images", "lsun", "pictures"):
        photographs(place / folder)
    small_images(place)
    arrays(place)
    parquet(place / "tables" / "cifar10.parquet")
    for parts in ("mine", "conf"):
        shutil.copytree(EXTENSION / parts, place / parts)
    shutil.copytree(place / "conf", place / "mine" / "conf")
    (place / "mine/conf/model/convnet.yaml").rename(place / "mine/conf/model/dit.yaml")


def photographs(place: Path) -> None:
    """Images of two classes, by sub-folder and by the beginnings of their names."""
    for name in ("cat", "dog"):
        (place / name).mkdir(parents=True)
        for number, pixels in enumerate(images(8, 64, 3)):
            Image.fromarray(pixels).save(place / name / f"{name}_{number}.png")


def small_images(place: Path) -> None:
    """Images of the default network's size, a folder of them, and a mask that keeps the upper half."""
    (place / "FOLDER").mkdir(parents=True)
    for path in ("a.png", "b.png", "FOLDER/a.png", "FOLDER/b.png"):
        Image.fromarray(images(1, 16)[0]).save(place / path)
    Image.fromarray(np.repeat(np.array([255, 0], np.uint8), 128).reshape(16, 16)).save(place / "mask.png")


def arrays(place: Path) -> None:
    np.save(place / "images.npy", images(16, 32, 3))
    np.savez(place / "images.npz", images=images(16, 32, 3), labels=np.arange(16) % 2)
    x, y = images(16, 28), np.arange(16) % 10
    np.savez(place / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)


def parquet(path: Path) -> None:
    import datasets  # takes seconds

    path.parent.mkdir()
    kinds = datasets.Features(img=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"]))
    rows = {"img": [Image.fromarray(pixels) for pixels in images(16, 32, 3)], "label": [0, 1] * 8}
    datasets.Dataset.from_dict(rows, features=kinds).to_parquet(path)
