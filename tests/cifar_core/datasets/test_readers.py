"""Each kind of source with a small copy of its format, and what it says of faults."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photo_sets import CLASSES, array_of, photo, write_folder

from cifar_core.datasets.errors import DataError
from cifar_core.datasets.known import forget
from cifar_core.datasets.prepare import prepare
from cifar_core.datasets.source import READERS, reader_of
from cifar_core.datasets.stored import Prepared, read_names, read_part
from cifar_core.image_file import read_image

IMAGES = 12
"""Of each class."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()


def arrays(*, first_seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    seeds = [first_seed + 1000 * k + index for k in range(3) for index in range(IMAGES)]
    return np.stack([array_of(seed) for seed in seeds]), np.repeat(np.arange(3), IMAGES)


def png(seed: int) -> bytes:
    content = io.BytesIO()
    photo(seed, width=32, height=32).save(content, "PNG")
    return content.getvalue()


def a_folder() -> str:
    write_folder(Path("photos"), images=IMAGES)
    return "folder:photos"


def a_csv() -> str:
    write_folder(Path("somewhere/photos"), images=IMAGES)
    with Path("somewhere/labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for name in CLASSES:
            rows.writerows((f"photos/{name}/{index:03}.png", name) for index in range(IMAGES))
    return "csv:somewhere/labels.csv"


def an_npz() -> str:
    images, labels = arrays()
    np.savez("photos.npz", images=images, labels=labels, class_names=np.array(CLASSES))
    return "npz:photos.npz"


def a_parquet() -> str:
    columns = {
        "image": [{"bytes": png(1000 * k + index), "path": None} for k in range(3) for index in range(IMAGES)],
        "label": [k for k in range(3) for _ in range(IMAGES)],
    }
    about = {"info": {"features": {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, "photos.parquet")
    return "parquet:photos.parquet"


def a_cifar() -> str:
    root = Path("cifar-10-batches-py")
    root.mkdir()
    for number in range(1, 7):
        images, labels = arrays(first_seed=100 * number)
        content = {"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1), "labels": labels.tolist()}
        name = f"data_batch_{number}" if number < 6 else "test_batch"
        (root / name).write_bytes(pickle.dumps(content, protocol=2))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CLASSES)}))
    return f"cifar:{root}"


def a_torchvision() -> str:
    """Write FashionMNIST's files with other images."""
    root = Path("files/FashionMNIST/raw")
    root.mkdir(parents=True)
    for part, first in (("train", 0), ("t10k", 500)):
        images = arrays(first_seed=first)[0][..., 0][:, :28, :28]
        labels = (np.arange(len(images)) % 10).astype(np.uint8)
        head = struct.pack(">BBBBIII", 0, 0, 8, 3, *images.shape)
        (root / f"{part}-images-idx3-ubyte").write_bytes(head + np.ascontiguousarray(images).tobytes())
        (root / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + labels.tobytes()
        )
    return "torchvision:FashionMNIST:files"


def a_function() -> str:
    np.savez("kept.npz", images=arrays()[0], labels=arrays()[1])
    Path("mine.py").write_text(
        "import numpy as np\n\ndef load():\n    kept = np.load('kept.npz')\n"
        f"    return kept['images'], kept['labels'], {CLASSES!r}\n"
    )
    sys.modules.pop("mine", None)
    return "mine:load"


WRITE: dict[str, Callable[[], str]] = {
    "folder": a_folder,
    "csv": a_csv,
    "npz": an_npz,
    "parquet": a_parquet,
    "cifar": a_cifar,
    "torchvision": a_torchvision,
    "function": a_function,
}


def prepared(source: str, *, size: int = 32) -> Prepared:
    return prepare(source, image_size=size, test_share=0.3)


def test_every_kind_is_tried_here() -> None:
    assert WRITE.keys() == READERS.keys()


@pytest.mark.parametrize("kind", WRITE)
def test_a_source_is_read_with_its_classes_and_found_again(kind: str) -> None:
    source = WRITE[kind]()

    found = prepared(source)

    about = found.about
    assert about.classes == (10 if kind == "torchvision" else 3)
    assert kind == "torchvision" or about.class_names == CLASSES
    assert min(about.train_images, about.test_images) > 0
    assert found.report.unreadable == []
    assert prepared(source).already_there
    train = read_part(found.folder, "train")
    assert train.images_NHWC.shape == (about.train_images, 32, 32, 3)
    assert set(train.labels_N.tolist()) == set(range(about.classes))


@pytest.mark.parametrize("kind", ["npz", "parquet", "function"])
def test_the_images_of_arrays_and_files_are_the_very_ones(kind: str) -> None:
    found = prepared(WRITE[kind]())

    expected, labels = arrays()
    known = {image.tobytes(): label for image, label in zip(expected, labels.tolist(), strict=True)}
    for part in ("train", "test"):
        stored = read_part(found.folder, part)
        assert [known[image.tobytes()] for image in stored.images_NHWC] == stored.labels_N.tolist()


@pytest.mark.parametrize(
    ("text", "kind"),
    [("photos", "folder"), ("photos.npz", "npz"), ("photos.parquet", "parquet"), ("cifar-10-batches-py", "cifar")],
)
def test_a_path_alone_is_recognised(text: str, kind: str) -> None:
    WRITE[kind]()

    assert reader_of(text)[0].kind == kind


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("foldr:photos", "unknown data source 'foldr:photos': did you mean 'folder'?"),
        ("folder:", "names no data: write folder:PATH"),
        ("folder:nowhere", r"nowhere does not exist: correct the path"),
        ("npz:nowhere.npz", r"does not exist"),
        ("mine.txt", "unknown data source 'mine.txt'"),
        ("", "unknown data source ''"),
        ("a\0b", "unknown data source"),
        ("x" * 5000, "cannot be used"),
        ("other:load", r"there is no other.py in .* nor such a module installed. Write one of"),
        ("torchvision:Nope", "torchvision has no data set 'Nope': write one such as FashionMNIST"),
        ("torchvision:FashionMNISTT", "torchvision has no data set 'FashionMNISTT': did you mean 'FashionMNIST'"),
    ],
)
def test_a_wrong_source_is_refused_with_what_to_write(source: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        prepared(source)


class TestFolders:
    def test_images_without_class_folders_are_refused(self) -> None:
        Path("photos").mkdir()
        photo(1).save("photos/1.png")

        with pytest.raises(DataError, match=r"contains 1\.png without a folder for each class: put the images"):
            prepared("folder:photos")

    def test_a_class_without_images_is_refused_by_name(self) -> None:
        a_folder()
        Path("photos/yaks").mkdir()

        with pytest.raises(DataError, match="yaks has no image: add images, or delete it"):
            prepared("folder:photos")

    def test_other_files_and_loose_images_are_counted(self) -> None:
        a_folder()
        Path("photos/cats/notes.txt").write_text("-")
        Path("photos/.DS_Store").write_text("-")
        photo(9).save("photos/loose.png")

        notes = prepared("folder:photos").report.notes

        assert any("1 .txt" in note for note in notes)
        assert any("loose.png" in note for note in notes)
        assert not any("DS_Store" in note for note in notes)

    def test_a_folder_without_permission_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        a_folder()
        scan = os.scandir

        def forbidden(path: Any) -> Any:
            if Path(path).name == "cats":
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", forbidden)
        with pytest.raises(
            DataError, match=r"photos/cats cannot be read \(Permission denied\): change its permissions"
        ):
            prepared("folder:photos")

    def test_a_class_called_train_is_not_taken_for_a_part(self) -> None:
        write_folder(Path("photos"), classes=("train", "bus"))

        with pytest.raises(DataError, match="contains train/ and also bus"):
            prepared("folder:photos")

    def test_a_link_that_leads_back_is_followed_once(self) -> None:
        a_folder()
        Path("photos/cats/again").symlink_to(Path("photos/cats").absolute())

        assert sum(map(sum, prepared("folder:photos").report.counts)) == 3 * IMAGES


class TestTables:
    def test_all_wrong_lines_are_named_at_once(self) -> None:
        Path("labels.csv").write_text("path,label,split\na.png,cat,train\nb.png,,train\n,dog,train\nc.png,dog,tst\n")

        with pytest.raises(DataError) as error:
            prepared("csv:labels.csv")

        assert "line 3: the label is missing; line 4: the path is missing; line 5: split 'tst'" in str(error.value)

    def test_other_columns_are_refused_with_their_names(self) -> None:
        Path("labels.csv").write_text("picture,kind\na.png,cat\n")

        with pytest.raises(DataError, match="line 1: no column path and label among 'picture', 'kind'"):
            prepared("csv:labels.csv")

    def test_one_image_with_two_labels_is_refused(self) -> None:
        Path("labels.csv").write_text("path,label\na.png,cat\na.png,dog\n")

        with pytest.raises(DataError, match=r"line 3: a\.png is 'dog' here, and 'cat' in line 2"):
            prepared("csv:labels.csv")

    def test_a_missing_image_is_named_with_its_line(self) -> None:
        a_csv()
        with Path("somewhere/labels.csv").open("a") as file:
            file.write("photos/gone.png,cats\n")

        (name, why), *others = prepared("csv:somewhere/labels.csv").report.unreadable

        assert (name, why) == (
            f"somewhere/photos/gone.png (labels.csv line {3 * IMAGES + 2})",
            "No such file or directory",
        )
        assert not others

    def test_semicolons_a_byte_order_mark_and_parts_are_read(self) -> None:
        write_folder(Path("photos"), images=4)
        lines = [
            f"{'test' if index == 0 else 'train'};photos/{name}/{index:03}.png;{name}"
            for name in CLASSES
            for index in range(4)
        ]
        Path("labels.csv").write_text("\ufeffSplit;Filename;Class\n" + "\n".join(lines), encoding="utf-8")

        found = prepared("csv:labels.csv")

        assert (found.about.train_images, found.about.test_images) == (9, 3)

    def test_a_changed_image_is_noticed(self) -> None:
        a_csv()
        first = prepared("csv:somewhere/labels.csv")
        photo(4242).save("somewhere/photos/cats/000.png")

        assert prepared("csv:somewhere/labels.csv").about.fingerprint != first.about.fingerprint


class TestArrays:
    def refused(self, **stored: Any) -> str:
        np.savez("photos.npz", **stored)
        with pytest.raises(DataError) as error:
            prepared("npz:photos.npz")
        return str(error.value)

    def test_a_label_out_of_range_is_named(self) -> None:
        images, labels = arrays()
        labels[7] = 3

        said = self.refused(images=images, labels=labels, class_names=np.array(CLASSES))

        assert "image 7 has label 3, but class_names has 3 names: number the classes from 0 to 2" in said

    def test_a_class_without_images_is_refused(self) -> None:
        images, labels = arrays()

        said = self.refused(images=images, labels=labels, class_names=np.array([*CLASSES, "yaks"]))

        assert "'yaks' has 0 images" in said

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda images: images / 255, "images are float64, not uint8 from 0 to 255: multiply by 255"),
            (lambda images: images.transpose(0, 3, 1, 2), "channels first: save images.transpose(0, 2, 3, 1)"),
            (lambda images: images[0], "give one label per image"),
            (lambda images: images[:-1], "35 images, but labels of shape (36,)"),
        ],
    )
    def test_images_of_another_form_are_refused(self, change: Callable[[np.ndarray], np.ndarray], says: str) -> None:
        images, labels = arrays()

        assert says in self.refused(images=change(images), labels=labels)

    def test_an_archive_without_images_lists_what_it_has(self) -> None:
        assert "contains a, b: save it as np.savez" in self.refused(a=np.zeros(2), b=np.zeros(2))

    def test_objects_are_not_unpickled(self) -> None:
        images, labels = arrays()

        said = self.refused(images=images, labels=labels, class_names=np.array(["a", None], dtype=object))

        assert "contains Python objects" in said

    def test_grey_images_and_parts_are_read(self) -> None:
        parts = {}
        for part, first in (("train", 0), ("val", 300), ("test", 600)):
            images, labels = arrays(first_seed=first)
            parts |= {f"{part}_images": images[..., 0], f"{part}_labels": labels[:, None]}
        np.savez("medical.npz", **parts)

        about = prepared("npz:medical.npz").about

        assert (about.train_images, about.validation_images, about.test_images) == (36, 36, 36)
        assert about.class_names == ("0", "1", "2")


class TestCifar:
    def test_files_that_python_3_has_written_are_read(self) -> None:
        before = prepared(a_cifar())
        for file in Path("cifar-10-batches-py").iterdir():
            content = pickle.loads(file.read_bytes())
            names = [name.encode() for name in content.pop("label_names", [])]
            content |= {"label_names": names} if names else {}
            file.write_bytes(pickle.dumps({name.encode(): value for name, value in content.items()}))
        forget()

        assert prepared("cifar:cifar-10-batches-py").about == before.about

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ({"labels": [0]}, "data_batch_3 is not a file of CIFAR: it has no data of uint8 in rows of 3072 bytes"),
            ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "it has no label for each image"),
            ([1], "data_batch_3 is not a file of CIFAR"),
        ],
    )
    def test_other_pickles_are_refused(self, content: Any, says: str) -> None:
        source = a_cifar()
        Path("cifar-10-batches-py/data_batch_3").write_bytes(pickle.dumps(content))

        with pytest.raises(DataError, match=says):
            prepared(source)


def test_labels_that_are_numbers_are_in_their_order() -> None:
    write_folder(Path("photos"), classes=tuple(map(str, range(12))), images=8)

    assert prepared("folder:photos").about.class_names == tuple(map(str, range(12)))


def test_parts_of_parquet_files_follow_their_names() -> None:
    for part, first in (("train", 0), ("validation", 300), ("test", 600)):
        rows = {
            "img": [{"bytes": png(first + 50 * k + index)} for k in range(3) for index in range(4)],
            "label": [name for name in CLASSES for _ in range(4)],
        }
        Path("data").mkdir(exist_ok=True)
        pq.write_table(pa.table(rows), f"data/{part}-00000-of-00001.parquet")

    found = prepared("parquet:data")

    assert found.about.class_names == CLASSES
    assert (found.about.train_images, found.about.validation_images, found.about.test_images) == (12, 12, 12)
    assert np.array_equal(read_part(found.folder, "validation").images_NHWC[0], read_image(png(300)))
    assert read_names(found.folder, "test")[0] == "test-00000-of-00001.parquet row 0"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return 3", "returned a int: let it return (images, labels, class_names)"),
        ("raise OSError('no disk')", "raised OSError: no disk"),
        ("return {'tain': ([], [])}", "returned 'tain'"),
    ],
)
def test_a_function_that_returns_something_else_is_refused(body: str, says: str) -> None:
    Path("mine.py").write_text(f"def load():\n    {body}\n")
    sys.modules.pop("mine", None)

    with pytest.raises(DataError) as error:
        prepared("mine:load")

    assert says in str(error.value)


def test_an_edited_function_is_called_again() -> None:
    source = a_function()
    first = prepared(source)
    Path("mine.py").write_text(Path("mine.py").read_text().replace("kept['images']", "kept['images'][:, ::-1]"))

    assert prepared(source).about.fingerprint != first.about.fingerprint
