"""Text from files and from errors, as a terminal may show it."""

from typing import Any


def printable(text: str) -> str:
    r"""The text with escapes, such as \x1b, for the characters that a terminal obeys instead of showing them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def single_line(text: str) -> str:
    """The text in one line that a terminal shows as it is."""
    return printable(" ".join(text.split()))


def printable_values(node: Any) -> Any:
    """Plain values with every text in them printable."""
    if isinstance(node, dict):
        return {printable(key): printable_values(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [printable_values(value) for value in node]
    return printable(node) if isinstance(node, str) else node


def reason(error: BaseException, length: int = 200) -> str:
    """What an error says, in one line of at most `length` characters; its class where it says nothing."""
    return single_line(str(error))[:length] or type(error).__name__
