"""From a configuration to objects."""

import sys

import pytest
from omegaconf import OmegaConf

from diffusion.config import instantiate

CHOOSY = """
from typing import Any, Optional
from diffusion import Schedule
class Choosy:
    def __init__(self, *, unhinted=3, any: Any = 3, optional: Optional[int] = 3, either: int | None = 3,
                 unset: int = None, needed: Schedule, count: int = 3): self.got = locals()
"""


@pytest.fixture
def node(tmp_path, monkeypatch):
    """node(setting=value, ...) -> the configuration of a class where what may be null is null."""
    (tmp_path / "choosy.py").write_text(CHOOSY)
    monkeypatch.syspath_prepend(tmp_path)
    nulls = dict.fromkeys(("unhinted", "any", "optional", "either", "unset"))
    cosine = {"_target_": "diffusion.Cosine"}
    inner = {"_target_": "choosy.Choosy", **nulls, "needed": cosine}
    yield lambda **changes: OmegaConf.create({"part": {**inner, "any": [{**inner, **changes}]}}).part
    sys.modules.pop("choosy", None)


def test_null_is_refused_where_neither_hint_nor_default_has_it(node):
    assert instantiate.instantiate(node()).got["unhinted"] is None
    for name in ("needed", "count"):
        message = rf"part\.any\.0\.{name} is null, .*Choosy cannot be built without it; leave part\.any\.0\.{name}=null"
        with pytest.raises(ValueError, match=message):
            instantiate.instantiate(node(**{name: None}))
