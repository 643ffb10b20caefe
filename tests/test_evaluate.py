"""evaluate.py on a run of seconds."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(script, *overrides):
    words = [sys.executable, str(ROOT / script), *overrides]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def test_a_run_is_measured_on_the_test_split_of_its_data_and_what_does_not_fit_is_one_line(tmp_path):
    small = ["data.image_size=8", "model.attention_resolutions=[]", "model.channel_mult=[1]", "train.max_steps=1"]
    command("train.py", "train=debug", "train.preview.every=0", *small, "logger.mode=disabled",
            f"runs={tmp_path}", "name=a")  # fmt: skip
    run = f"checkpoint={tmp_path / 'a'}"
    done = command("evaluate.py", run, "evaluation.steps=3", "evaluation.num_images=4")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "a" / "evaluation").iterdir()
    assert {file.name for file in folder.iterdir()} == {"result.json", "terms.npz", "terms.png"}
    result = json.loads((folder / "result.json").read_text())
    assert result["data"]["split"] == "test" and result["held_out"]
    assert f"{result['bits_per_dim']:.3f} +- " in done.stdout

    refused = command("evaluate.py", run, "data=digits", "data.image_size=16")
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1
    assert "data.image_size=8" in refused.stderr
    assert list((tmp_path / "a" / "evaluation").iterdir()) == [folder]
