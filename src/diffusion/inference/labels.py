"""Which class each drawn image is asked to show."""

from collections.abc import Sequence

from torch import Tensor

Labels = str | int | Sequence[str | int] | Tensor | None


def chosen_labels(labels: Labels, classes: Sequence[str] | None) -> list[int] | None:
    """The class numbers to cycle through, or None for a model without classes.

    `labels` is None or "all" (every class), one class, or a list of them: by name, or by number where no class is
    called so. ValueError for a class that the model does not know, and for any class if it knows none.
    """
    if isinstance(labels, Tensor):
        labels = labels.tolist()
    if classes is None:
        if labels is not None:
            raise ValueError(
                f"labels={labels} was given, but the model is unconditional; "
                "leave labels out, or let a classifier lead to them: guidance.classifier=runs/NAME"
            )
        return None
    if labels is None or labels == "all":
        return list(range(len(classes)))
    wanted = list(labels) if isinstance(labels, list | tuple) else [labels]
    if not wanted:
        raise ValueError("labels=[] asks for no class; give labels=all or a list such as labels=[0]")
    return [class_number(label, classes) for label in wanted]


def class_number(label: object, classes: Sequence[str]) -> int:
    """The number of the class called `label`, or numbered so; true and 1.5 are no numbers of classes."""
    if str(label) in classes:
        return list(classes).index(str(label))
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(classes):
        return label
    known = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
    raise ValueError(f"the model has no class {label!r}; it has {len(classes)}: {known}")


def numbers_of(classes: list[str], known: list[str]) -> list[int]:
    """Which `known` class each of `classes` is: by name, or by place where the known ones only have numbers."""
    numbered = known == [str(number) for number in range(len(known))]
    if numbered and len(classes) == len(known) and not set(classes) <= set(known):
        return list(range(len(known)))
    return [class_number(name, known) for name in classes]
