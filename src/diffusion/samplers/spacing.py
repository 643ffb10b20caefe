"""Which levels of a process a sampler walks through."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion.process.process import Process
from diffusion.process.respacing import Steps


class Spacing(ABC):
    """Sees the process, and names `steps` of its levels."""

    to_image: bool = True
    """Whether the walk goes on from the last of them to the image itself."""

    @property
    def name(self) -> str:
        """A part of the name of what was drawn with it: its kind, and each argument that is not as usual."""
        usual = inspect.signature(type(self)).parameters
        given = {name: vars(self)[name] for name in usual if name in vars(self)}
        unusual = [
            f"{name}_{value:g}" if isinstance(value, float) else f"{name}_{value}"
            for name, value in given.items()
            if value != usual[name].default
        ]
        return "_".join([type(self).__name__.removesuffix("Spacing").lower(), *unusual]).replace(" ", "")

    @abstractmethod
    def t(self, process: Process, steps: Steps) -> Tensor:
        """The t of the levels, from noise on, (K,). ValueError for steps that the process does not have."""


class EvenSpacing(Spacing):
    """Evenly in t, the first and the last step among them.

    With `skip_first`, one step more is spaced out and the one nearest to the image left out (Lu et al. 2022). Steps
    given as text ("10,15,20", "ddim50") are taken as `SectionSpacing` takes them.
    """

    def __init__(self, *, skip_first: bool = False) -> None:
        self.skip_first = skip_first

    @property
    def name(self) -> str:
        return "even_skip_first" if self.skip_first else ""  # what everyone expects

    def t(self, process: Process, steps: Steps) -> Tensor:
        if not self.skip_first:
            return process.evenly(steps)
        return process.evenly(whole_number(process, steps, more=1))[:-1]


class SectionSpacing(Spacing):
    """Several counts of steps, one for each of so many equal sections of a chain: "10,15,20", from the image on.

    Also the one integer stride that gives exactly 50 steps, "ddim50" (Nichol & Dhariwal 2021, section 4; see
    `process.respacing`).
    """

    def t(self, process: Process, steps: Steps) -> Tensor:
        return process.evenly(steps)


class TrailingSpacing(Spacing):
    """Evenly in t, counted from pure noise: the last step always, the first only if all are taken (Lin et al. 2024)."""

    def t(self, process: Process, steps: Steps) -> Tensor:
        count = whole_number(process, steps)
        share = 1 - torch.arange(count, dtype=torch.float64) / count
        return process.t((share - 1e-9).clamp(min=0)) if process.length is None else trailing(process.length, count)


class LeadingSpacing(Spacing):
    """Every (T // steps)-th step of a chain, counted from the first one, plus `offset`.

    With `skip_first` the stride is T // (steps + 1), and the one nearest to the image is left out (Lu et al. 2022).
    """

    def __init__(self, *, offset: int = 0, skip_first: bool = False) -> None:
        self.offset, self.skip_first = offset, skip_first

    def t(self, process: Process, steps: Steps) -> Tensor:
        if process.length is None:
            raise ValueError("sampler/spacing=leading counts the steps of a chain; set sampler/spacing=even")
        count = whole_number(process, steps)
        t = torch.arange(self.skip_first, count + self.skip_first).flip(0) * (
            process.length // (count + self.skip_first)
        )
        return falling_steps(process, t + self.offset, f"sampler.spacing.offset={self.offset}")


class RatioSpacing(Spacing):
    """Along a grid of sigma / alpha, which runs between the process's first and last level, or `high` and `low`.

    Levels beyond `limit` are left out where `high` is not given: a cosine chain spends half its log-SNR where
    nothing of an image is left. A chain has levels between its steps (see `Chain`), so that the grid is met exactly.
    """

    def __init__(self, *, low: float | None = None, high: float | None = None, limit: float | None = None) -> None:
        if low is not None and high is not None and not 0 < low < high:
            raise ValueError(f"low={low} must lie between 0 and high={high}; set sampler.spacing.low and high")
        if limit is not None and not limit > 0:
            raise ValueError(f"limit={limit} must be above 0; set sampler.spacing.limit=80, or null")
        self.low, self.high, self.limit = low, high, limit

    @abstractmethod
    def grid(self, high: Tensor, low: Tensor, u: Tensor) -> Tensor:
        """sigma / alpha from `high` to `low` at the shares u of the way, float64 (K,)."""

    def t(self, process: Process, steps: Steps) -> Tensor:
        count, all_t = whole_number(process, steps), process.evenly(None)
        own = process.level(all_t)
        ratio = own.sigma / own.alpha
        ends = ratio[ratio.isfinite()]
        highest = ends.max() if self.limit is None else ends.max().clamp(max=self.limit)
        low, high = (given_or(end, value) for end, value in ((ends.min(), self.low), (highest, self.high)))
        # Pure noise, where the process begins with it, lies at no ratio.
        begins = self.high is None and self.limit is None and not bool(ratio[0].isfinite())
        noise = all_t[: int(begins)].double()
        u = torch.linspace(0, 1, count - len(noise), dtype=torch.float64)
        return torch.cat([noise, at_ratio(process, self.grid(high, low, u), "sampler.spacing.low and high")])


class LogSNRSpacing(RatioSpacing):
    """Evenly in log-SNR (Lu et al. 2022)."""

    def grid(self, high: Tensor, low: Tensor, u: Tensor) -> Tensor:
        return torch.lerp(high.log(), low.log(), u).exp()


class KarrasSpacing(RatioSpacing):
    """Evenly in (sigma / alpha)^(1 / rho) (Karras et al. 2022, eq. 5)."""

    def __init__(
        self, *, rho: float = 7.0, low: float | None = None, high: float | None = None, limit: float | None = None
    ) -> None:
        if not rho > 0:
            raise ValueError(f"rho={rho} must be above 0; set sampler.spacing.rho=7")
        super().__init__(low=low, high=high, limit=limit)
        self.rho = rho

    def grid(self, high: Tensor, low: Tensor, u: Tensor) -> Tensor:
        return torch.lerp(high ** (1 / self.rho), low ** (1 / self.rho), u) ** self.rho


class ListSpacing(Spacing):
    """The levels themselves, from noise on: by their `t` on a chain, or by sigma / alpha, or by their log-SNR.

    Without `to_image` the last of them is where the walk ends. `sampler.steps` is then their number.
    """

    def __init__(
        self, *, t: Sequence[float] | None = None, ratio: Sequence[float] | None = None,
        log_snr: Sequence[float] | None = None, to_image: bool = True,
    ) -> None:  # fmt: skip
        given = [each for each in (t, ratio, log_snr) if each is not None]
        if len(given) != 1 or not len(given[0]):
            raise ValueError(
                f"a list of levels is one of t, ratio and log_snr, got {len(given)} of them; "
                "set 'sampler.spacing.t=[999,500,0]'"
            )
        self.given = {"t": t, "ratio": ratio, "log_snr": log_snr}
        self.to_image = to_image

    @property
    def name(self) -> str:
        (kind, values), *_ = [(kind, values) for kind, values in self.given.items() if values is not None]
        return "_".join(["list", kind, *(f"{value:g}" for value in values), *([] if self.to_image else ["to_last"])])

    def t(self, process: Process, steps: Steps) -> Tensor:
        (kind, values), *_ = [(kind, values) for kind, values in self.given.items() if values is not None]
        numbers = torch.tensor(list(values), dtype=torch.float64)
        if steps is not None and steps != len(numbers):
            raise ValueError(f"sampler.steps={steps}, but {len(numbers)} levels are listed; set sampler.steps=null")
        if kind == "t" and process.length is not None:
            whole = bool((numbers == numbers.round()).all())
            return falling_steps(process, numbers.long() if whole else numbers, "sampler.spacing.t")
        if kind == "t":
            raise ValueError("a process without steps has no t; set sampler.spacing.log_snr or ratio")
        ratio = numbers if kind == "ratio" else (-numbers / 2).exp()
        return at_ratio(process, ratio, f"sampler.spacing.{kind}")


def trailing(length: int, count: int) -> Tensor:
    """round(T - i T / count) - 1 for i = 0 .. count - 1."""
    return (torch.arange(count, dtype=torch.float64) * (-length / count) + length).round().long() - 1


def given_or(end: Tensor, value: float | None) -> Tensor:
    return end if value is None else torch.tensor(value, dtype=torch.float64)


def falling_steps(process: Process, t: Tensor, setting: str) -> Tensor:
    """t where they are steps of the chain that lead towards the image; ValueError otherwise."""
    last = (process.length or 1) - 1
    if bool((t < 0).any() | (t > last).any() | (t.diff() >= 0).any()):
        raise ValueError(
            f"the levels {t.tolist()} do not fall within {last} to 0, as the steps of the process do; set {setting}"
        )
    return t


def at_ratio(process: Process, ratio: Tensor, setting: str) -> Tensor:
    """The t of levels with these sigma / alpha; ValueError where the process has none."""
    log_snr = -2 * ratio.log()
    t = process.at(log_snr)
    met = process.level(t).log_snr
    if not bool(torch.isclose(met, log_snr, rtol=1e-9, atol=1e-9).all()):
        ends = process.level(process.evenly(None))
        inside = (ends.sigma / ends.alpha)[[0, -1]].tolist()
        raise ValueError(
            f"sigma / alpha from {ratio[0]:g} to {ratio[-1]:g} lie outside of the process, which reaches from "
            f"{inside[0]:g} to {inside[1]:g}; set {setting}"
        )
    return t


def whole_number(process: Process, steps: Steps, *, more: int = 0) -> int:
    """`steps` as a number that the process has, and `more`."""
    count = len(process.evenly(None)) if steps is None else steps
    count = int(count) if isinstance(count, str) and count.isdigit() else count
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"sampler.steps={steps} must be a number of 1 or more; sampler/spacing=even reads others")
    process.evenly(count + more)
    return count + more
