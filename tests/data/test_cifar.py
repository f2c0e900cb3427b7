import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikequant.data.cifar import CIFAR10, CIFAR100, cifar10, cifar100, parse, read_set
from spikequant.errors import DataError

PUBLISHED_MD5 = (
    "5dd7e06a14cb22eb9f671a540d1b7c25",
    "5ea93a67294ea407fff1d09f752e9692",
    "942cd6a4bcdd0dd3c604fbe906cb4421",
    "ae636b3ba5c66a11e91e8cb52e771fcb",
    "53f37980c15c3d472c316c40844f3f0d",
    "803d5f7f4d78ea53de84dbe85f74fb6d",
)


def records(*labels: tuple[int, ...], fill: int = 0) -> bytes:
    """Binary records with these label bytes, all pixels of record k being fill + k."""
    return b"".join(bytes(label) + bytes(3072 * [fill + k]) for k, label in enumerate(labels))


def test_parse_reads_red_green_and_blue_planes_row_by_row():
    pixels = np.zeros((3, 32, 32), np.uint8)
    pixels[0, 0, 1], pixels[1, 1, 0], pixels[2, 31, 31] = 10, 20, 30
    plane_major = bytes([4]) + pixels.tobytes()
    assert plane_major[1 + 1] == 10
    assert plane_major[1 + 1024 + 32] == 20
    split = parse(plane_major, (10,))
    assert split.x.shape == (1, 3, 32, 32)
    assert [int(split.x[0, 0, 0, 1]), int(split.x[0, 1, 1, 0]), int(split.x[0, 2, 31, 31])] == [10, 20, 30]
    assert split.y.tolist() == [4]


def test_of_two_label_bytes_the_fine_one_is_used():
    split = parse(records((19, 99), (0, 7), fill=5), (20, 100))
    assert split.y.tolist() == [99, 7]
    assert split.x[:, 0, 0, 0].tolist() == [5, 6]


@pytest.mark.parametrize(
    ("labels", "limits", "told"),
    [
        ([(9,), (10,)], (10,), "label 10 of sample 1 must be at most 9"),
        ([(20, 5)], (20, 100), "label 20 of sample 0 must be at most 19"),
        ([(19, 100)], (20, 100), "label 100 of sample 0 must be at most 99"),
    ],
)
def test_a_label_out_of_range_is_refused(labels, limits, told):
    with pytest.raises(DataError, match=f"here: {told}"):
        parse(records(*labels), limits, "here")


@pytest.mark.parametrize("length", [1, 3072, 3074, 6145])
def test_a_part_of_a_record_is_refused(length):
    with pytest.raises(DataError, match=f"here: {length} bytes must be a multiple of the record of 3073 bytes"):
        parse(bytes(length), (10,), "here")


def test_no_record_at_all_is_refused():
    with pytest.raises(DataError, match="here: 0 samples"):
        parse(b"", (10,), "here")


@given(records=st.integers(0, 3), more=st.integers(0, 2), value=st.integers(0, 255), limits=st.sampled_from([(10,), (20, 100)]))
def test_any_content_is_parsed_or_refused(records, more, value, limits):
    try:
        assert len(parse(bytes([value]) * (records * (3072 + len(limits)) + more), limits).y) == records
    except DataError:
        assert more or not records or value >= min(limits)


@pytest.fixture
def small(tmp_path, publish):
    """A small set of two training files and one test file in the official layout."""

    def build(folder="cifar10", train=((1,), (0,)), test=((0,), (1,))):
        names = ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin")
        contents = (records(train[0]), records(*train[1:], fill=100), records(*test, fill=200))
        files = [publish(tmp_path / folder, name, content) for name, content in zip(names, contents, strict=True)]
        return read_set("cifar10", [file._replace(gz=None) for file in files], "cifar-10-batches-bin", (len(set(train)),), tmp_path)

    return build


@pytest.mark.parametrize("folder", ["cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"])
def test_a_set_is_read_from_each_layout_in_the_order_of_its_files(small, folder):
    data = small(folder)
    assert (data.name, data.classes, data.shape, data.scale) == ("cifar10", 2, (3, 32, 32), 255.0)
    assert data.train.y.tolist() == [1, 0]
    assert data.train.x[:, 0, 0, 0].tolist() == [0, 100]
    assert data.test.y.tolist() == [0, 1]
    assert data.test.x[:, 2, 31, 31].tolist() == [200, 201]
    assert data.sha256["test_batch.bin"] == hashlib.sha256(records((0,), (1,), fill=200)).hexdigest()


def test_classes_that_are_not_equally_many_are_refused(small):
    with pytest.raises(DataError, match=r"train files in folder .*: class 0 has 1 images and class 1 has 2; all must have equally many"):
        small(train=((1,), (0,), (1,)))
    with pytest.raises(DataError, match=r"test files in folder .*: class 1 has 0 images and class 0 has 2"):
        small(test=((0,), (0,)))


def test_the_published_files_have_the_sizes_of_their_layout():
    assert [file.size for file in CIFAR10] == 6 * [10_000 * 3073]
    assert [file.size for file in CIFAR100] == [50_000 * 3074, 10_000 * 3074]
    assert len({file.sha256 for file in CIFAR10}) == 6


def write_cifar100(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, count in (("train.bin", 50_000), ("test.bin", 10_000)):
        block = np.zeros((count, 3074), np.uint8)
        block[:, 1] = np.arange(count) % 100
        block[:, 0] = block[:, 1] // 5
        (folder / name).write_bytes(block.tobytes())


def test_cifar100_of_the_official_size_is_read_and_its_hashes_recorded(tmp_path):
    write_cifar100(tmp_path / "cifar-100-binary")
    data = cifar100(tmp_path)
    assert data.classes == 100
    assert data.train.x.shape == (50_000, 3, 32, 32)
    assert data.test.y.tolist() == 100 * list(range(100))
    content = (tmp_path / "cifar-100-binary" / "test.bin").read_bytes()
    assert data.sha256["test.bin"] == hashlib.sha256(content).hexdigest()
    (tmp_path / "cifar-100-binary" / "test.bin").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"test.bin in folder .* has 30739999 bytes, sha256 \w+; must have 30740000 bytes; put"):
        cifar100(tmp_path)


@pytest.fixture(scope="session")
def cifar10_root(official_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that holds the real binary batches, made from lossless sheets where only these are there."""
    if any((official_root / place / CIFAR10[0].name).is_file() for place in ("cifar10", "cifar-10-batches-bin")):
        return official_root
    image = pytest.importorskip("PIL.Image", reason="real CIFAR-10 lies as WebP sheets here and needs Pillow to be unpacked")
    sheets = official_root / "cifar10"
    if not (sheets / "labels.npz").is_file():
        pytest.skip(f"real CIFAR-10: no official batches and no sheets in {sheets}")
    labels = np.load(sheets / "labels.npz", allow_pickle=False)
    root = tmp_path_factory.mktemp("official")
    (root / "cifar10").mkdir()
    for file, own in zip(CIFAR10, [*labels["train"].reshape(5, -1), labels["test"]], strict=True):
        with image.open(sheets / file.name.replace(".bin", ".webp")) as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        tiles = pixels.reshape(100, 32, 100, 32, 3).transpose(0, 2, 4, 1, 3).reshape(10_000, 3072)
        (root / "cifar10" / file.name).write_bytes(np.concatenate([own[:, None], tiles], axis=1).astype(np.uint8).tobytes())
    return root


def test_cifar10_is_what_it_is_known_to_be(cifar10_root):
    data = cifar10(cifar10_root)
    assert data.train.y[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert data.train.x.shape == (50_000, 3, 32, 32)
    assert data.train.y.bincount().tolist() == 10 * [5000]
    assert data.test.y.bincount().tolist() == 10 * [1000]
    mean = torch.stack([data.train.x[:, channel].double().mean() / 255 for channel in range(3)])
    assert mean.tolist() == pytest.approx([0.49140, 0.48216, 0.44653], abs=1e-5)
    assert data.sha256 == {file.name: file.sha256 for file in CIFAR10}


def test_our_hashes_are_of_the_files_with_the_known_md5(cifar10_root):
    for file, md5 in zip(CIFAR10, PUBLISHED_MD5, strict=True):
        [path] = [path for path in cifar10_root.glob(f"**/{file.name}") if path.is_file()]
        assert hashlib.md5(path.read_bytes()).hexdigest() == md5


def test_a_real_batch_in_the_place_of_another_is_refused(cifar10_root, tmp_path):
    (tmp_path / "cifar10").mkdir()
    [second] = cifar10_root.glob(f"**/{CIFAR10[1].name}")
    (tmp_path / "cifar10" / CIFAR10[0].name).write_bytes(second.read_bytes())
    with pytest.raises(DataError, match=f"data_batch_1.bin in folder .* sha256 {CIFAR10[1].sha256}; must have .*{CIFAR10[0].sha256}"):
        cifar10(tmp_path)
