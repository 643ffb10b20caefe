"""How soon it is good: python benchmarks/time_to_quality.py --original FOLDER --recipe experiment=digits_modern

Trains by the released code's own loop, in a checkout of the user's, and by recipes of train.py, a few seconds each in
turns, so that what slows the machine slows all of them alike. Both begin with the same weights and see the same
batches; the seconds are those of training steps and of nothing else. --common 'data=cifar10 ...' are words of train.py
for all of them, such as other images than digits. At --marks seconds the averaged weights of the original are judged,
and those of each recipe at its last step, since its rate may have fallen towards it.

What it is judged by: the Frechet distance of 500 drawn images, by the features of a recogniser of real images, beside
that of real test images; the share that is recognised as the class asked for; bits/dim of test images, by the bound.
What the original reached at the last mark, or --target, is the target: a line for each measure says how soon each
recipe reaches it, or its best. --drawing compares seconds to draw 64 images as well. --beside FILE.json adds what an
earlier call measured on this machine. Recipes that differ by train.max_steps alone are one line of the plot.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from quality_points import MEASURES, Point, given_targets, means, plot, table, verdicts
from race import machine
from timed_training import OriginalTraining, Training, composed
from torch import Tensor

from diffusion import ContinuousLikelihood, Likelihood, Sampler, Trained
from diffusion.cli.command import report_errors
from diffusion.config.subjects import subject_in_training
from diffusion.data.images import Images
from diffusion.evaluation.features import FEATURE_BATCH, RealImages, concatenate
from diffusion.evaluation.measures import frechet_distance, gaussian
from diffusion.evaluation.quality import MOST_REAL
from diffusion.evaluation.recogniser import Recogniser
from diffusion.evaluation.result_cache import FOLDER
from diffusion.evaluation.subject import Subject, evenly_spaced
from diffusion.pictures.grid import save_picture
from diffusion.pictures.pixels import from_uint8
from diffusion.runs.naming import slugify

DRAWN = 64  # images, whose seconds are taken


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", metavar="FOLDER", help="a checkout of improved-diffusion")
    parser.add_argument("--recipe", action="append", default=[], metavar="OVERRIDES", help="of train.py, in one string")
    parser.add_argument("--common", default="", metavar="OVERRIDES", help="of train.py, for all, the original too")
    parser.add_argument("--marks", type=float, nargs="+", default=[100, 200, 400], help="seconds of the original")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--target", nargs="+", default=[], metavar="MEASURE=VALUE", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--images", type=int, default=500, help="how many are drawn")
    parser.add_argument("--measured", type=int, default=100, help="how many test images' bits/dim")
    parser.add_argument("--levels", type=int, help="bits/dim at so many levels an image, and not at all steps")
    parser.add_argument("--drawing", action="store_true", help="draw by 250 steps of the original as well")
    parser.add_argument("--beside", metavar="FILE", help="the points of an earlier call, as it wrote them")
    parser.add_argument("--out", default="time_to_quality")
    chosen = parser.parse_args()
    if not chosen.original and not chosen.recipe:
        raise ValueError("nothing is to be trained; give --original FOLDER, or --recipe 'OVERRIDES of train.py'")
    if min(chosen.marks) <= 0:
        raise ValueError(f"--marks {min(chosen.marks):g} is no time to train; give seconds above 0")
    return chosen


class Judges:
    """Draws images with a model, and measures them and its bits/dim."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.images, self.measured, self.levels, self.out = chosen.images, chosen.measured, chosen.levels, chosen.out
        _, run = composed(chosen.common.split())
        self.subject = subject_in_training(run.config["data"], run.images, batch_size=100, seed=0)
        subject = self.subject(run.trained(run.model, step=0))
        self.features, self.cache = Recogniser(), Path(FOLDER).expanduser()
        self.features.check(subject)
        self.extractor = self.features.extractor(subject, self.cache)
        self.known = gaussian(self.seen(run.images, MOST_REAL, subject.training_title))
        unseen = self.seen(subject.images, chosen.images, subject.title)
        assert self.extractor.accuracy is not None
        self.real = {
            "frechet": frechet_distance(gaussian(unseen), self.known), "recognised": self.extractor.accuracy.share
        }  # fmt: skip

    def seen(self, images: Images, most: int, title: str) -> Tensor:
        real = RealImages(images, evenly_spaced(len(images), most), title)
        return concatenate(real.extracted(self.features, self.extractor, self.cache)).features.double()

    def __call__(self, model: Trained, sampler: Sampler, *, name: str, bits: bool = True) -> dict[str, float]:
        """The measures; the first images are left in a file called after the `name`."""
        subject = self.subject(model)
        prompts = subject.prompts(self.images)
        pixels = subject.draw(sampler, prompts, self.images)
        save_picture(Path(f"{self.out}_{slugify(name)}.png"), prompts.picture(from_uint8(pixels[:DRAWN])))
        drawn = concatenate(self.extractor.see(part) for part in pixels.split(FEATURE_BATCH))
        asked = prompts.condition(range(self.images), torch.device("cpu"))["y"]
        assert drawn.logits is not None
        found = {
            "frechet": frechet_distance(gaussian(drawn.features.double()), self.known),
            "recognised": (drawn.logits.argmax(1) == asked).float().mean().item(),
        }
        return {**found, "bits_per_dim": self.bits_per_dim(subject)} if bits else found

    @torch.no_grad()
    def bits_per_dim(self, subject: Subject) -> float:
        """Of test images, evenly spread, by the bound of all steps of a chain, or of a process without steps."""
        numbers, process = evenly_spaced(len(subject.images), self.measured), subject.model.diffusion.process
        if self.levels is not None or process.length is None:
            bounds = [b.total for b in ContinuousLikelihood(levels=self.levels or 64).bounds(subject, numbers)]
        else:
            bounds = [bound.total for bound in Likelihood().bounds(subject, process, numbers)]
        return torch.cat(bounds).mean().item()


def contestants(chosen: argparse.Namespace, seed: int) -> list[Training]:
    common = chosen.common.split()
    recipes = [Training(words or "train.py", [*common, *words.split()], seed) for words in chosen.recipe]
    return [*([OriginalTraining(chosen.original, common, seed)] if chosen.original else []), *recipes]


def train_all(chosen: argparse.Namespace, seed: int, judges: Judges) -> Iterator[Point]:
    """All of one seed in turns, each judged where it is due."""
    training = contestants(chosen, seed)
    while training:
        for one in list(training):
            marks = chosen.marks if one.last is None else []
            if not one.advance(marks):
                continue
            model, ends = one.trained(), not marks or one.seconds >= max(marks)
            name = f"{one.name}, {max(m for m in marks if m <= one.seconds):g} s" if marks else one.name
            yield Point(name, seed, one.seconds, one.steps, judges(model, one.run.sampler, name=f"{name} seed {seed}"))
            if ends:
                training.remove(one)
                if chosen.drawing:
                    yield drawing(one, model, judges, seed)


def drawing(one: Training, model: Trained, judges: Judges, seed: int) -> Point:
    """How good the images are that it draws, and how many seconds 64 of them take."""
    draw_them = one.drawing(model, torch.arange(DRAWN) % 10)
    begun = time.perf_counter()
    draw_them()
    seconds = time.perf_counter() - begun
    found = judges(model, one.drawn_by, name=f"{one.name} drawing seed {seed}", bits=False)
    return Point(f"{one.name}, drawing {DRAWN} images", seed, seconds, one.drawn_by.steps, found)


def main() -> None:
    chosen = arguments()
    targets, judges, points = given_targets(chosen.target), Judges(chosen), []
    of_real = ", ".join(f"{measure} {value:.3f}" for measure, value in judges.real.items())
    print(f"{chosen.images} images; real test images: {of_real}", flush=True)
    for seed in chosen.seeds:
        for point in train_all(chosen, seed, judges):
            points.append(point)
            measured = ", ".join(f"{measure} {value:.3f}" for measure, value in point.found.items())
            print(f"seed {seed}  {point.name}: {point.seconds:.1f} s, {point.steps} steps; {measured}", flush=True)
    if chosen.beside:
        points = [Point(**point) for point in json.loads(Path(chosen.beside).read_text())["points"]] + points
    found = means(points)
    print(table(found))
    originals = [mean for name, mean in found.items() if name.endswith(" s") and name.startswith("original, ")]
    if originals and not targets:
        targets = {m: value for m, (value, _) in max(originals, key=lambda mean: mean.seconds[0]).found.items()}
    if recipes := [words or "train.py" for words in chosen.recipe]:
        print("\n".join(verdicts(found, targets, recipes)))
    record = {"real": judges.real, "targets": targets, **machine(torch.device("cpu"))}
    record["points"] = [point._asdict() for point in points]
    Path(f"{chosen.out}.json").write_text(json.dumps(record, indent=1) + "\n")
    plot(found, judges.real, Path(f"{chosen.out}.png"))
    print(f"Look at {chosen.out}.png")


if __name__ == "__main__":
    with report_errors("time_to_quality"):
        main()
