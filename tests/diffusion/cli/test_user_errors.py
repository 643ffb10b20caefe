"""What a user mistyped, and what he may have meant."""

import sys
from pathlib import Path

from diffusion.cli.user_errors import known_keys, unknown_setting

ROOT = Path(__file__).parents[3]


def test_settings_of_the_commands_and_of_every_class_in_the_folders_are_known(tmp_path, monkeypatch):
    (tmp_path / "mistyped_pkg.py").write_text("class Net:\n    def __init__(self, *, wiggle: int = 1): ...\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("defaults: [/schema/mistyped_pkg.Net@_here_, _self_]\n")
    (tmp_path / "model" / "lost.yaml").write_text("defaults: [/schema/nowhere.Net@_here_, _self_]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), "--config-dir", str(tmp_path)])
    assert {"checkpoint", "num_images", "lr", "dropout", "offset", "wiggle", "trust"} <= known_keys()
    assert unknown_setting("model.wigle") == "there is no setting model.wigle; did you mean wiggle?"
    assert unknown_setting("zzz") == "there is no setting zzz; --cfg job lists what there is"
