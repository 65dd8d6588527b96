"""The preparation of a data set: decoded, split by content, and stored under its fingerprint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from photo_sets import CLASSES, array_of, photo, write_folder
from PIL import Image

from cifar_core.common.progress import Reporter
from cifar_core.datasets import decode as decoding
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.known import about_of, forget
from cifar_core.datasets.prepare import find_prepared, prepare
from cifar_core.datasets.stored import Prepared, read_names, read_part
from cifar_core.image_file import read_image


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    forget()


def prepared(source: str = "folder:photos", *, image_size: int = 16, test_share: float = 0.3) -> Prepared:
    return prepare(source, image_size=image_size, test_share=test_share)


def parts(found: Prepared) -> dict[str, str]:
    """Return the part of each image by its name."""
    return {name: part for part in ("train", "validation", "test") for name in read_names(found.folder, part)}


def test_each_image_is_in_one_part_as_predict_would_read_it() -> None:
    write_folder(Path("photos"))

    found = prepared()

    assert found.about.class_names == CLASSES
    assert found.about.train_images + found.about.test_images == 24 == len(parts(found))
    for part in ("train", "test"):
        arrays = read_part(found.folder, part)
        for name, pixels, label in zip(
            read_names(found.folder, part), arrays.images_NHWC, arrays.labels_N, strict=True
        ):
            assert np.array_equal(pixels, read_image(Path("photos", name), size=16)), name
            assert CLASSES[label] == name.partition("/")[0]


def test_an_added_image_moves_no_other() -> None:
    write_folder(Path("photos"))
    before = parts(prepared())
    for seed in range(5000, 5006):
        photo(seed).save(Path("photos", "dogs", f"new-{seed}.png"))

    after = parts(prepared())

    assert len(after) == len(before) + 6
    assert {name: after[name] for name in before} == before


def test_the_split_does_not_depend_on_names_folders_or_image_size() -> None:
    write_folder(Path("photos"))
    write_folder(Path("others"))
    for file in sorted(Path("others").rglob("*.png")):
        file.rename(file.with_stem(f"z{9999 - int(file.stem)}"))
    first, second, larger = prepared(), prepared("folder:others"), prepared(image_size=32)

    tested = [len(read_names(each.folder, "test")) for each in (first, second, larger)]
    assert tested[0] == tested[1] == tested[2]
    assert parts(larger) == parts(first)


def test_near_duplicates_are_in_one_part_whatever_their_hashes() -> None:
    write_folder(Path("photos"))
    for name in CLASSES:
        for index in range(8):
            original = Image.open(f"photos/{name}/{index:03}.png")
            original.resize((original.width * 2, original.height * 2)).save(f"photos/{name}/{index:03}-large.png")
            original.save(f"photos/{name}/{index:03}-poor.jpg", quality=60)

    found = prepared()

    where = parts(found)
    assert found.report.near_copies == 48
    assert {where["cats/000.png"]} == {where["cats/000-large.png"], where["cats/000-poor.jpg"]}
    for name in CLASSES:
        for index in range(8):
            copies = {where[f"{name}/{index:03}{end}"] for end in (".png", "-large.png", "-poor.jpg")}
            assert len(copies) == 1, (name, index)


def test_the_same_images_have_one_fingerprint_and_a_changed_pixel_another() -> None:
    write_folder(Path("photos"))
    first = prepared()
    write_folder(Path("moved/here"))
    assert prepared("folder:moved/here").about.fingerprint == first.about.fingerprint

    photo(77).save("photos/cats/000.png")

    assert prepared().about.fingerprint != first.about.fingerprint
    assert first.folder.is_dir()  # its runs still need it


def test_what_is_prepared_is_found_without_reading_images(monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(Path("photos"))
    first = prepared()
    monkeypatch.setattr(decoding, "read_image_and_size", lambda *_, **__: pytest.fail("an image was read"))

    again = prepared()

    assert again.already_there
    assert again.about == first.about == about_of("folder:photos", image_size=16, test_share=0.3)


def test_a_changed_folder_is_noticed() -> None:
    write_folder(Path("photos"))
    prepared()
    photo(4000).save("photos/cats/more.png")

    with pytest.raises(DataError, match="has changed since it was prepared: run `sweeps data folder:photos"):
        find_prepared("folder:photos", image_size=16, test_share=0.3)


def test_an_interrupted_preparation_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 4)
    write_folder(Path("photos"))
    read: list[int] = []
    real = decoding.read_image_and_size

    def stopping(*args: object, **options: object) -> object:
        if len(read) == 10:
            raise KeyboardInterrupt
        read.append(1)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "read_image_and_size", stopping)
    with pytest.raises(KeyboardInterrupt):
        prepared()
    monkeypatch.setattr(decoding, "read_image_and_size", real)
    counted: list[int] = []
    monkeypatch.setattr(
        decoding, "read_image_and_size", lambda *args, **options: (counted.append(1), real(*args, **options))[1]
    )

    found = prepared()

    assert len(counted) == 24 - 8  # two chunks were complete
    monkeypatch.setattr(decoding, "read_image_and_size", real)
    assert prepare("folder:photos", image_size=16, test_share=0.3, force=True).about == found.about


def test_unreadable_images_are_named_counted_and_left_out() -> None:
    write_folder(Path("photos"))
    Path("photos/dogs/broken.jpg").write_bytes(b"no image")
    content = Path("photos/cats/000.png").read_bytes()
    Path("photos/cats/cut.png").write_bytes(content[: len(content) // 2])

    found = prepared()

    assert [name for name, _ in found.report.unreadable] == ["cats/cut.png", "dogs/broken.jpg"]
    assert "format is unknown" in found.report.unreadable[1][1]
    assert "dogs/broken.jpg" not in parts(found)


def test_the_constants_are_those_of_the_training_images() -> None:
    write_folder(Path("photos"))
    found = prepared()

    pixels = read_part(found.folder, "train").images_NHWC.reshape(-1, 3) / 255

    assert found.about.mean == pytest.approx(pixels.mean(axis=0), abs=1e-6)
    assert found.about.std == pytest.approx(pixels.std(axis=0), abs=1e-6)


def test_a_class_with_too_few_images_is_refused_with_its_counts() -> None:
    write_folder(Path("photos"))
    write_folder(Path("photos"), classes=("yaks",), images=1)

    with pytest.raises(DataError, match=r"too few images: 'yaks' has 1 image \(\d to train, \d to test\)"):
        prepared()


def test_a_small_class_has_images_in_both_parts_whatever_the_share() -> None:
    write_folder(Path("photos"), classes=tuple(f"class-{number:02}" for number in range(30)), images=3)

    for share in (0.01, 0.99):
        train, _, test = np.array(prepared(test_share=share).report.counts)
        assert (train.min(), test.min()) == (2, 1)


def test_a_single_class_is_refused() -> None:
    write_folder(Path("photos"), classes=("cats",))

    with pytest.raises(DataError, match="has one class, 'cats'"):
        prepared()


def test_one_image_in_two_classes_is_reported() -> None:
    write_folder(Path("photos"))
    Path("photos/dogs/same.png").write_bytes(Path("photos/cats/003.png").read_bytes())

    found = prepared()

    assert found.report.copies == 1
    assert found.report.contradictory == [["cats/003.png", "dogs/same.png"]]


def test_a_sources_own_parts_stay_and_what_they_share_is_reported() -> None:
    for part, first in (("train", 0), ("val", 100), ("test", 200)):
        write_folder(Path("photos", part), images=4, first_seed=first)
    Path("photos/test/cats/same.png").write_bytes(Path("photos/train/cats/000.png").read_bytes())

    found = prepared()

    about = found.about
    assert (about.train_images, about.validation_images, about.test_images) == (12, 12, 13)
    assert found.report.test_share is None
    assert found.report.shared == [["test/cats/same.png", "train/cats/000.png"]]
    assert all(name.startswith(part.replace("validation", "val")) for name, part in parts(found).items())


def test_a_damaged_file_is_noticed_before_training() -> None:
    write_folder(Path("photos"))
    found = prepared()
    file = found.folder / "train_images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)

    with pytest.raises(DataError, match=r"train_images\.npy is damaged"):
        read_part(found.folder, "train")


def test_a_truncated_file_is_prepared_again() -> None:
    write_folder(Path("photos"))
    found = prepared()
    file = found.folder / "test_images.npy"
    file.write_bytes(file.read_bytes()[:-10])

    again = prepared()

    assert not again.already_there
    assert again.about == found.about
    assert len(read_part(again.folder, "test").labels_N) == found.about.test_images


def test_orientation_and_grey_values_are_respected() -> None:
    write_folder(Path("photos"))
    rotated = photo(500, width=40, height=40)
    exif = rotated.getexif()
    exif[0x0112] = 6  # to be rotated by 90° clockwise
    rotated.rotate(90).save("photos/cats/turned.png", exif=exif)
    photo(501).convert("L").save("photos/cats/grey.png")

    found = prepared(image_size=40)

    images = {
        name: pixels
        for part in ("train", "test")
        for name, pixels in zip(read_names(found.folder, part), read_part(found.folder, part).images_NHWC, strict=True)
    }
    assert np.array_equal(images["cats/turned.png"], array_of(500, size=40))
    assert (images["cats/grey.png"].max(axis=2) == images["cats/grey.png"].min(axis=2)).all()


def test_the_report_is_stored_with_the_data() -> None:
    write_folder(Path("photos"))
    found = prepared()

    meta = json.loads((found.folder / "meta.json").read_text())

    assert meta["about"]["class_names"] == list(CLASSES)
    assert np.array(meta["report"]["counts"]).sum() == 24


def test_sources_with_the_same_images_have_reports_of_their_own() -> None:
    write_folder(Path("photos"))
    write_folder(Path("others"))
    Path("others/cats/broken.png").write_bytes(b"-")

    for _ in ("prepared", "found"):
        first, second = prepared(), prepared("folder:others")
        assert first.folder == second.folder
        assert (first.report.source, len(first.report.unreadable)) == ("folder:photos", 0)
        assert (second.report.source, len(second.report.unreadable)) == ("folder:others", 1)


def test_a_class_whose_images_cannot_be_read_names_one() -> None:
    write_folder(Path("photos"))
    for file in Path("photos/cats").iterdir():
        file.write_bytes(b"-")

    with pytest.raises(DataError, match=r"'cats' has 0 images .*8 images cannot be read, such as cats/000.png"):
        prepared()


def test_an_interrupted_preparation_says_that_it_resumes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(Path("photos"))
    with monkeypatch.context() as patch:
        patch.setattr("cifar_core.datasets.prepare.group_images", lambda *_, **__: _interrupt())
        with pytest.raises(KeyboardInterrupt):
            prepare("folder:photos", image_size=16, test_share=0.3, reporter=Reporter())
    assert "run the same command again to resume" in capsys.readouterr().err

    prepare("folder:photos", image_size=16, test_share=0.3, reporter=Reporter())

    assert "reading 24 images of folder:photos, resuming after 24" in capsys.readouterr().err


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_nothing_is_left_next_to_the_prepared_data() -> None:
    write_folder(Path("photos"))
    found = prepare("folder:photos", image_size=16, test_share=0.3, reporter=Reporter(enabled=False))

    assert {each.name for each in found.folder.parent.iterdir()} == {found.folder.name, "sources"}
