"""Loggers only watch: whatever they do, the training goes on."""

import logging

import numpy as np
import pytest

from diffusion.tracking.loggers import Logger, Loggers, first_line

PICTURE = np.zeros((8, 8, 3), np.uint8)
CALLS = {
    "start": lambda logger, folder: logger.start(folder, name="digits", config={}, resume=False),
    "log": lambda logger, folder: logger.log(1, {"loss": 0.5}, "quality"),
    "images": lambda logger, folder: logger.images(1, "raw", PICTURE, "step 1"),
    "checkpoint": lambda logger, folder: logger.checkpoint(folder / "step.pt", 1),
    "alert": lambda logger, folder: logger.alert("title", "text"),
    "finish": lambda logger, folder: logger.finish(3),
}


class Heard(Logger):
    """Notes which methods were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattribute__(self, name: str):
        if name in CALLS:
            self.calls.append(name)
        return super().__getattribute__(name)


class Broken(Logger):
    """Fails at everything."""

    def __getattribute__(self, name: str):
        if name in CALLS:
            raise OSError("no space\nleft")
        return super().__getattribute__(name)


def test_both_loggers_hear_everything_even_if_the_first_is_broken(tmp_path, caplog):
    second = Heard()
    loggers = Loggers(Broken(), second)
    with caplog.at_level(logging.WARNING):
        for call in CALLS.values():
            call(loggers, tmp_path)
    assert second.calls == list(CALLS)
    assert caplog.messages == ["Training goes on, but Broken misses records: no space left"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_wish_to_stop_is_no_failure_of_a_logger(error):
    class Stopped(Logger):
        def finish(self, exit_code: int = 0) -> None:
            raise error

    with pytest.raises(error):
        Loggers(Stopped()).finish()


def test_the_contract_is_all_that_the_loggers_of_a_run_are_asked(tmp_path):
    methods = {name for name in vars(Logger) if not name.startswith("_")}
    assert methods == set(CALLS) == {name for name in vars(Loggers) if not name.startswith("_")}
    for call in CALLS.values():
        assert call(Logger(), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_an_error_says_is_one_short_line():
    assert first_line(ValueError("a\n  b")) == "a b" and first_line(KeyError()) == "KeyError"
