"""What becomes of a run whose folder is removed while it trains."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from diffusion.runs.files import lock_folder


class FolderGone(OSError):
    """The run folder was removed, or moved elsewhere, since the training began."""


def rescue(folder: Path, step: int, save: Callable[[], None] | None) -> OSError:
    """Have the step in hand saved where the folder was; an error that says what was lost and what was not.

    `save` is None if this process alone cannot save.
    """
    lost = f"{folder} was removed or moved while it trained, with all that it held"
    if save is None:
        return OSError(f"{lost}; step {step} is not saved, as its weights are spread over all processes")
    with ExitStack() as locked:
        try:
            locked.enter_context(lock_folder(folder))
        except ValueError:
            return OSError(f"{lost}, and another process trains there now: step {step} is not saved")
        save()
    return OSError(f"{lost}; step {step} is saved there anew, and the same command goes on from it")
