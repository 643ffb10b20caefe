"""The log of a run, in its folder."""

import logging
from typing import Any

from diffusion.runs.small_files import regular


class RunLog(logging.FileHandler):
    """Appends to a regular file; OSError at the first line if something else lies there, which could wait for ever."""

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=regular)
