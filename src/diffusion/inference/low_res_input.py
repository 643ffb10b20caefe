"""The small images that a super-resolution model is asked to enlarge."""

import torch

from diffusion.compute.distributed import print_once
from diffusion.data.conditions import arguments
from diffusion.data.images import UNLABELLED
from diffusion.data.stored_images import from_folder, from_npz, sizes
from diffusion.inference.labels import Labels, chosen_labels
from diffusion.inference.prompts import Prompts, by_label, image_names, needing_images, rows_in_turn
from diffusion.inference.trained import Trained
from diffusion.pictures.pixels import from_uint8


def low_res_prompts(model: Trained, *, labels: Labels, low_res: str | None) -> Prompts:
    """What `model` is asked to draw: the chosen classes, or the images at `low_res`, a folder or an npz, enlarged.

    Images of the large size are shrunk first, and kept to compare with. Those without labels are told every class in
    turn, which is printed: beside the small image the class matters little. A model with other conditions that take an
    image is told of them what training would have told it.
    """
    needed = {name: model.conditions[name] for name in needing_images(model.conditions)}
    in_turn = rows_in_turn(model.conditions, model.classes)
    if not needed:
        if low_res is not None:
            raise ValueError(f"low_res={low_res} was given, but the model enlarges no images; leave low_res out")
        asked = by_label(chosen_labels(labels, model.classes_to_ask))
        return Prompts({**in_turn, **asked}, classes=model.classes_to_ask)
    shapes = [told.image_shape(model.shape) for told in needed.values()]
    # Images that are themselves what the network is told, where there is one such size.
    accepted = [small[1:] for small in shapes if small is not None and len(shapes) == 1]
    if low_res is None:
        what = f"enlarges images of {sizes(accepted)}" if accepted else f"is told {', '.join(needed)} of an image"
        raise ValueError(f"the model {what}; give it some: low_res=FOLDER, or low_res=samples.npz")
    read = from_npz if low_res.endswith(".npz") else from_folder
    pixels, own_labels = read(low_res, model.shape[0])
    if labels is None and own_labels is None and model.classes_to_ask is not None:
        labels = "all"
        print_once(f"{low_res} has no labels, so its images are told every class in turn; labels=[...] names their own")
    classes = {**in_turn, **by_label(labels_of(own_labels, labels, model.classes_to_ask, low_res))}
    x, size, shown = from_uint8(pixels), tuple(pixels.shape[2:]), image_names(needed, model.shape)
    if size in accepted:
        return Prompts({**classes, **dict.fromkeys(needed, x)}, shown=shown, classes=model.classes_to_ask)
    if size == model.shape[1:]:
        y = classes.get("y", torch.tensor([UNLABELLED]))
        told = arguments(needed, x, y[torch.arange(len(x)) % len(y)])
        return Prompts({**classes, **told}, shown=shown, true=x, classes=model.classes_to_ask)
    raise ValueError(
        f"the images in {low_res} are {sizes([size])}; give "
        + (f"{sizes(accepted)} to enlarge, or " if accepted else "")
        + f"{sizes([model.shape[1:]])} to shrink and compare with"
    )


def labels_of(given: list[int] | None, asked: Labels, classes: list[str] | None, place: str) -> list[int] | None:
    """The class of each image: those asked for, else those that came along; None for a model without classes."""
    if asked is not None or classes is None:
        return chosen_labels(asked, classes)
    if given is None:
        raise ValueError(
            f"the model is class-conditional and {place} has no labels; "
            "name the class of each image: labels=[...] (an npz brings them as arr_1)"
        )
    return chosen_labels(given, [str(number) for number in range(len(classes))])
