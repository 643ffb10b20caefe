from pathlib import Path

from diffusion import Evaluation, Findings, Sampler, write_result


class Brightness(Evaluation):
    """The mean level of `num_images` drawn images, beside that of the real ones."""

    def __init__(self, *, sampler: Sampler, num_images: int = 16) -> None:
        self.sampler, self.num_images = sampler, num_images

    @property
    def name(self) -> str:
        return f"brightness_{self.num_images}_images"

    def check(self, subject) -> None:
        self.sampler.levels(subject.model.diffusion.process)

    def __call__(self, subject, folder: Path) -> Findings:
        pixels = subject.draw(self.sampler, subject.prompts(self.num_images), self.num_images)
        numbers = {"brightness": pixels.float().mean().item()}
        real = subject.images.read(range(len(subject.images))).pixels.float().mean().item()
        write_result(folder, {**numbers, "real": real, **subject.facts(self.sampler)})
        return Findings(f"mean level {numbers['brightness']:.1f}, of real images {real:.1f}", numbers)
