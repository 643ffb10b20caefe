"""Removing keys and passwords from texts."""

import os
import re
from typing import Any

REMOVED = "[removed]"
# Nothing is removed across lines, so that a diff stays one.
NAMED = r"""(?i:\b\w*(?:api_?key|password|secret|access_token)\w*["']?[ \t]*[=:][ \t]*)"""
SERVICES = r"\b(?:hf_|gh[pousr]_|github_pat_|sk-|xox[abp]-|AKIA)[\w-]{16,}"
KEY = re.compile(rf"({NAMED})[^\s,;]+|(?<![\w/\\])[0-9a-fA-F]{{40}}(?![\w/\\])|\bwandb_v\d\w{{16,}}|{SERVICES}")
PRIVATE_KEY = re.compile(r"(?<=PRIVATE KEY-----)[^-]+")
SECRET_VARIABLE = re.compile(r".*(API_?KEY|TOKEN|PASSWORD|SECRET)")


def redact(text: str) -> str:
    """The text with `[removed]` for what looks like a key, follows api_key=, or is a secret of the environment."""
    for name, value in os.environ.items():
        if len(value) >= 8 and SECRET_VARIABLE.fullmatch(name):
            text = text.replace(value, REMOVED)
    text = PRIVATE_KEY.sub(lambda found: re.sub(r"\w[\w/=+]{7,}", REMOVED, found[0]), text)
    return KEY.sub(lambda found: (found[1] or "") + REMOVED, text)


def redact_values(node: Any) -> Any:
    """Plain values with every text in them redacted."""
    if isinstance(node, dict):
        return {key: redact_values(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [redact_values(value) for value in node]
    return redact(node) if isinstance(node, str) else node
