"""The name of a run, made of its overrides: the same command finds the same folder again."""

import hashlib
import re
import shlex
from base64 import b32encode
from collections.abc import Collection, Iterable
from pathlib import Path

from diffusion.runs.resuming import same_experiment

MOST_LETTERS = 100
LONGEST_VALUE = 40
ITEM = r"(-?\d[\d.]*(e-?\d+)?|\w[\w.]*)"  # a number or a word

# What people know by its last word. All else is named in full, so that no part of one's own is mistaken for these.
WELL_KNOWN = (
    "data=cifar10", "data=digits", "data=fashion_mnist", "data=hub", "data=image_folder", "data=mnist", "data=npz",
    "data=synthetic", "model=classifier_tiny", "model=superres_64_256", "model=superres_tiny", "model=unet_256",
    "model=unet_32", "model=unet_64", "model=unet_tiny", "diffusion=continuous", "diffusion=cosine", "diffusion=edm",
    "diffusion=flow", "diffusion=linear", "train=debug", "train=paper",
    "diffusion/loss", "diffusion/objective", "diffusion/prediction", "diffusion/schedule", "diffusion/variance",
    "diffusion/weighting", "train/optimizer", "train/schedule_sampler",
    "data.flip", "data.image_size", "data.path", "data.root", "diffusion.steps",
    "model.attention_resolutions", "model.base_channels", "model.blocks_per_level", "model.channel_mult",
    "model.channels_per_head", "model.dropout", "model.heads", "model.norm_groups",
    "train.anneal_steps", "train.batch_size", "train.clip_grad_norm", "train.decay_steps", "train.ema_rates",
    "train.ema_widths", "train.label_dropout", "train.precision", "train.warmup_steps", "train.optimizer.betas",
    "train.optimizer.lr", "train.optimizer.weight_decay",
)  # fmt: skip
LAST_WORD = {known: re.split("[=/.]", known)[-1] for known in WELL_KNOWN}
TAKEN = {"default", "null", *LAST_WORD.values()}  # words that alone are no experiment's


def run_name(overrides: Iterable[str], also: Collection[str] = ()) -> str:
    """A folder name made of the overrides that make the experiment; "default" when there are none.

    model=unet_64, data.root=/a/photos and diffusion.steps=40 become unet_64+root-photos-dukbgo+steps-40, which a shell
    and Hydra take unquoted.
    """
    return shorten("+".join(words(overrides, also))) or "default"


def sweep_name(command: Iterable[str], also: Collection[str] = ()) -> str:
    """The name that the runs of one sweep share, made of what makes the experiments, as for `run_name`."""
    overrides = [word for word in command if "=" in word and not word.startswith("-")]
    return shorten("+".join(["sweep", *words(overrides, also)]))


def words(overrides: Iterable[str], also: Collection[str]) -> list[str]:
    """What makes the experiment, a word an override: the options first. Of a key given twice the last one counts."""
    last = {override.lstrip("+~").partition("=")[0]: override.lstrip("+") for override in overrides}
    found = [as_word(override) for key, override in last.items() if not same_experiment(key, also)]
    return sorted(found, key=lambda word: ("-" in word, word))


def as_word(override: str) -> str:
    """The override as a part of a name: image_folder, digits_classifier, steps-40, or in full model.width-8."""
    key, _, value = override.partition("=")
    if override in LAST_WORD:
        return LAST_WORD[override]
    if key == "experiment" and re.fullmatch(r"\w+", value, re.ASCII) and value not in TAKEN:
        return value
    if key.startswith("~"):
        return f"without-{slugify(override[1:])}"
    full = key.replace("/", ".")
    readable = full if re.fullmatch(r"[\w.]+", full, re.ASCII) else slugify(full)
    return f"{LAST_WORD.get(key, readable)}-{slugify(value)}"


def slugify(value: object) -> str:
    """A value in ASCII letters, digits, dots, underscores and hyphens, with a hash where it cannot be read back.

    Words, numbers and lists of them can: [8,4] becomes 8-4. Of a path the last part is shown, of a long text nothing.
    """
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if text == "[]":
        return "empty"
    if len(text) <= LONGEST_VALUE and re.fullmatch(rf"\[?{ITEM}(,{ITEM})*]?", text, re.ASCII):
        return text.strip("[]").replace(",", "-")
    shown = "-".join(re.findall(r"[\w.]+", text.rstrip("/'\"").rpartition("/")[2], re.ASCII))
    return f"{shown}-{short_hash(text)}" if 0 < len(shown) <= LONGEST_VALUE else short_hash(text)


def shorten(name: str, separator: str = "+") -> str:
    """`name`, or of a long one as many whole parts as there is room for and a hash of all."""
    if len(name) <= MOST_LETTERS:
        return name
    end = short_hash(name)
    beginning = name[: MOST_LETTERS - len(end)].rpartition(separator)[0]
    return separator.join([beginning, end]) if beginning else end


def short_hash(text: str) -> str:
    """Six letters and digits: 30 bits."""
    return b32encode(hashlib.blake2b(text.encode(), digest_size=5).digest()).decode()[:6].lower()


def check_name(name: str) -> str:
    """`name` where it is that of a folder below the runs folder; ValueError otherwise."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or not set(parts) - {"", "."} or not name.isprintable():
        raise ValueError(
            f"name={name} is no folder below the runs folder; set name=my_run, or runs=... to keep runs elsewhere"
        )
    return name


def check_runs(folder: str) -> str:
    """`folder` where it can hold runs; ValueError if it says nothing."""
    if not folder.strip() or not folder.isprintable():
        raise ValueError(f"runs={folder} names no folder; set runs=runs, or another folder to keep runs in")
    return folder


def run_folder_of(checkpoint: Path) -> Path:
    """The run folder of a checkpoint: itself, the one around its file, or the file's own folder if it is in no run."""
    if checkpoint.is_dir():
        return checkpoint
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def shell_override(key: str, value: object) -> str:
    """key=value as a shell and Hydra take it, quoted for both where it must be."""
    text = str(value)
    if re.fullmatch(r"[\w./+@%-]+", text, re.ASCII):
        return f"{key}={text}"
    # Hydra reads a backslash as such unless a quote follows, the closing one too.
    escaped = re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + found[2].replace("'", "\\'"), text)
    return shlex.quote(f"{key}='{escaped}'")
