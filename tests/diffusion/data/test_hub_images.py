"""Tables of images through the library `datasets`, from files made here: no test asks the hub."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.config.data_choice import absolute_paths, from_checkpoint, identity, title_of, with_split
from diffusion.data.hub_images import HubImages

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
LABELS = [0, 2, 1, 0, 1, 2]
NAMES = ["cat", "dog", "eel"]


def encoded(levels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def rows(**columns) -> dict:
    return {"picture": [{"bytes": encoded(image), "path": None} for image in COLOURS], "label": LABELS, **columns}


def table(columns: dict, **features):
    import datasets

    of_images = {"picture": datasets.Image(), "label": datasets.ClassLabel(names=NAMES), **features}
    found = datasets.Dataset.from_dict(columns)
    return found.cast(datasets.Features({name: of_images.get(name) or found.features[name] for name in columns}))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parquet(place, columns: dict, **features) -> str:
    table(columns, **features).to_parquet(place / "images.parquet")
    return str(place / "images.parquet")


def hub(name, **options) -> HubImages:
    return HubImages(name=str(name), **{"workers": 0, "cache": "off", **options})


def everything(images):
    return images.read(range(len(images)))


FORMS = {
    "parquet": lambda place: table(rows()).to_parquet(place / "x.parquet") and place / "x.parquet",
    "arrow": lambda place: table(rows()).save_to_disk(place / "saved") or place / "saved" / "data-00000-of-00001.arrow",
    "saved": lambda place: table(rows()).save_to_disk(place / "saved") or place / "saved",
    "folder of parquet": lambda place: table(rows()).to_parquet(place / "train-0.parquet") and place,
    "folder of images": lambda place: folder_of_images(place / "pictures"),
}


def folder_of_images(place):
    for number, (image, label) in enumerate(zip(COLOURS, LABELS, strict=True)):
        path = place / "train" / NAMES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return place


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same_images_and_classes(place, form):
    images = hub(FORMS[form](place))
    pixels, labels = everything(images)
    order = np.argsort(LABELS, kind="stable") if form == "folder of images" else np.arange(6)
    assert torch.equal(pixels, torch.tensor(COLOURS[order]).permute(0, 3, 1, 2))
    assert labels.tolist() == [LABELS[i] for i in order] and images.classes == tuple(NAMES)


def test_images_are_packed_once_and_again_when_the_table_has_changed(place, caplog):
    caplog.set_level("INFO")
    options = {"cache": str(place / "cache"), "image_size": 4, "channels": 1, "labels": "none"}
    for shade, packings in ((1, 1), (1, 1), (2, 2)):
        if caplog.text.count("Packed the") < packings:
            name = parquet(place, rows(picture=[{"bytes": encoded(image // shade), "path": None} for image in COLOURS]))
        images = hub(name, **options)
        images.prepare()
        assert images.pixels is not None and images.shape == (1, 4, 4) and images.classes is None
        assert torch.equal(everything(images).pixels, everything(hub(name, **{**options, "cache": "off"})).pixels)
        assert caplog.text.count("Packed the") == packings


def test_the_splits_of_what_was_saved_are_told_apart_and_a_file_has_none(place):
    import datasets

    parts = {"train": table(rows()), "test": table(rows()).select([0, 1])}
    datasets.DatasetDict(parts).save_to_disk(place / "both")
    assert [len(hub("./both", split=split)) for split in parts] == [6, 2]
    data = {"_target_": "diffusion.HubImages", "name": "./both"}
    assert with_split(data, "test")["split"] == "test" and title_of(data) == "both train"
    with pytest.raises(ValueError, match=r"cannot read /.*both, data\.split=val \(there are train, test\)$"):
        hub("./both", split="val")
    file = {**data, "name": parquet(place, rows())}
    assert with_split(file, "test") == file and title_of(file) == "images.parquet"
    with pytest.raises(ValueError, match=r"it is not divided; leave data\.split=test out"):
        hub(file["name"], split="test")


def test_a_path_is_kept_absolute_and_a_name_of_the_hub_as_it_is(place, monkeypatch):
    name = parquet(place, rows())
    data = {"_target_": "diffusion.HubImages", "name": "images.parquet", "download": True}
    assert absolute_paths(data) == {"name": name} and hub("images.parquet").settings["name"] == name
    assert identity(data) == identity({**data, "name": name, "workers": 3})
    assert absolute_paths({**data, "name": "uoft-cs/cifar10"}) == {}
    assert from_checkpoint(data)["download"] is False


def test_what_lies_here_makes_no_path_of_a_name_on_the_hub(place):
    data = {"_target_": "diffusion.HubImages", "name": "uoft-cs/cifar10"}
    elsewhere = identity(data), with_split(data, "test"), title_of(data)
    table(rows()).save_to_disk(place / "uoft-cs" / "cifar10")
    assert elsewhere == (identity(data), with_split(data, "test"), title_of(data)) and absolute_paths(data) == {}
    with pytest.raises(
        ValueError, match=r"^data\.name=uoft-cs/cifar10 is a name .*; type data\.name=\./uoft-cs/cifar10"
    ):
        hub("uoft-cs/cifar10")
    assert len(hub("./uoft-cs/cifar10")) == 6


def test_the_name_of_a_format_does_not_stand_for_the_working_directory(place):
    folder_of_images(place)
    with pytest.raises(ValueError, match=r"^data\.name=imagefolder is a format, .*; type data\.name=\./FOLDER"):
        hub("imagefolder")


def test_an_image_that_a_row_names_by_an_address_is_not_fetched(place):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = rows()
    columns["picture"][2] = {"bytes": None, "path": "https://example.org/image.png"}
    columns["picture"][4] = {"bytes": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "path": None}
    pq.write_table(pa.table(columns), place / "images.parquet")  # without the library, which fetches what it writes
    images = hub("images.parquet", on_error="skip", cache=str(place / "cache"))
    images.prepare()
    chosen = [0, 1, 3, 3, 5, 5]
    assert torch.equal(everything(images).pixels, torch.tensor(COLOURS[chosen]).permute(0, 3, 1, 2))
    assert everything(images).labels.tolist() == [LABELS[i] for i in chosen]
    with pytest.raises(
        ValueError, match=r"cannot read image 2 of .*\(it lies at https://.*, not in the table\); set data"
    ):
        everything(hub(images.settings["name"]))


def test_names_of_classes_cannot_steer_a_terminal(place):
    import datasets

    names = ["cat", "\x1b[2J", "eel"]
    assert hub(parquet(place, rows(), label=datasets.ClassLabel(names=names))).classes == ("cat", "\\x1b[2J", "eel")


def test_labels_are_numbers_or_names_where_there_are_no_classes(place):
    import datasets

    words = {"label": [NAMES[label] for label in LABELS]}
    named = hub(parquet(place, rows(**words), label=datasets.Value("string")))
    assert named.classes == tuple(NAMES) and named.labels.tolist() == LABELS
    counted = hub(parquet(place, rows(n=[5, 0, 1, 2, 3, 4])), labels="n")
    assert counted.classes == tuple("012345") and counted.labels.tolist() == [5, 0, 1, 2, 3, 4]
    hidden = hub(parquet(place, rows(label=[-1] * 6)))
    assert hidden.classes is None and hidden.labels.tolist() == [-1] * 6


REFUSED = {
    "no images": (
        lambda: {"text": ["a"], "n": [1]},
        {},
        r"no column of images; its columns are text \(string\), n \(int",
    ),
    "two images": (
        lambda: rows(mask=rows()["picture"]),
        {},
        r"has several columns of images; .*picture \(Image\), .* mask \(I",
    ),
    "named": (
        rows,
        {"images": "label"},
        r"has no column label of images; its columns are picture \(Image\), label \(Cl",
    ),
    "no label": (rows, {"labels": "kind"}, r"data\.labels=kind is no column of .*; its columns are picture, label"),
    "floats": (
        lambda: rows(x=[0.5] * 6),
        {"labels": "x"},
        r"x of .* holds float32, such as 0\.5, which are no classes",
    ),
    "lists": (lambda: rows(x=[[1]] * 6), {"labels": "x"}, r"x of .* holds List, which is no class; name others"),
    "an image": (rows, {"labels": "picture"}, r"picture of .* holds Image, which is no class"),
    "no size": (rows, {"image_size": 0}, r"^data\.image_size=0 must lie between 1 and"),
    "no width": (rows, {"image_size": 8, "width": -8}, r"^data\.width=-8 must lie between 1 and"),
    "subset": (rows, {"subset": "plain"}, r"a path has no subsets; leave data\.subset=plain out"),
    "channels": (rows, {"channels": 2}, r"images have 1 \(grey\) or 3 \(RGB\) channels, not 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_does_not_fit_names_its_columns(place, name):
    columns, options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        hub(parquet(place, columns()), **options)
    assert "\n" not in str(caught.value)


def test_images_of_several_sizes_need_one(place):
    columns = rows()
    columns["picture"][3]["bytes"] = encoded(COLOURS[3][:6])
    with pytest.raises(ValueError, match=r"image 3 of .* \(it is 8x6 pixels, the first 8x8: set data\.image_size=8\)"):
        everything(hub(parquet(place, columns)))
    assert everything(hub(parquet(place, columns), image_size=8)).pixels.shape == (6, 3, 8, 8)


@pytest.mark.parametrize(
    "name, message",
    [
        ("uoft-cs/cifar10", r"cannot read uoft-cs/cifar10, .* on the Hub.*\); set data\.download=true to fetch it$"),
        (
            "none.parquet",
            r"cannot read /.*none\.parquet, data\.split=train \(there is no /.*none\.parquet; a name on the",
        ),
        ("/dev/zero", "there is no /dev/zero"),
        ("./words.txt", r"a file must be one of \.parquet, \.arrow; for arrays of NumPy there is data=npz"),
        ("broken.parquet", r"cannot read /.*broken\.parquet"),
        ("./script", r"cannot read /.*script, data\.split=train"),
        ("./lying", r"cannot read /.*lying, data\.split=train"),
    ],
)
def test_what_is_no_table_is_one_line_and_no_code_runs(place, name, message, capsys):
    for file, content in {
        "words.txt": "words", "broken.parquet": "PAR1 no table PAR1", "script/script.py": "print('code ran')",
        "lying/state.json": json.dumps({"_data_files": [{"filename": "../broken.parquet"}]}),
    }.items():  # fmt: skip
        (place / file).parent.mkdir(exist_ok=True)
        (place / file).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        hub(name)
    assert "\n" not in str(caught.value) and capsys.readouterr() == ("", "")


def test_without_the_package_it_is_refused_with_what_to_type(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r'^data=hub needs its package; type: pip install -e "\.\[hub\]"$'):
        hub("uoft-cs/cifar10")
