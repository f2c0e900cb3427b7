import contextlib
import hashlib
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikequant.data.idx import FASHION_MNIST, MNIST, fashion_mnist, mnist, parse, read_set
from spikequant.errors import DataError

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
TRAIN_IMAGES = torch.arange(18, dtype=torch.uint8).reshape(3, 2, 3)
PUBLISHED_MD5 = {
    "MNIST": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "FashionMNIST": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
}


def test_parse_reads_the_values_last_axis_fastest():
    content = bytes([0, 0, 8, 3]) + bytes([0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]) + bytes([1, 2, 3, 4, 5, 255])
    tensor = parse(content, axes=3)
    assert tensor.dtype == torch.uint8
    assert tensor.tolist() == [[[1, 2, 3]], [[4, 5, 255]]]


def test_sizes_are_big_endian(idx):
    assert parse(idx([7] * 258), axes=1).shape == (258,)
    assert idx([7] * 258)[4:8] == bytes([0, 0, 1, 2])


@pytest.mark.parametrize("at", range(4))
def test_a_wrong_magic_number_is_refused(idx, at):
    content = bytearray(idx([1, 2]))
    content[at] ^= 1
    with pytest.raises(DataError, match=rf"here: magic number '{content[:4].hex()}' must be '00000801' \(unsigned bytes, 1 axes\)"):
        parse(bytes(content), axes=1, place="here")


def test_every_truncation_and_one_byte_too_many_are_refused(idx):
    content = idx([[1, 2], [3, 4]])
    for damaged in (*(content[:length] for length in range(len(content))), content + b"x"):
        with pytest.raises(DataError, match="here: "):
            parse(damaged, axes=2, place="here")


@pytest.mark.parametrize("sizes", [(0, 1), (0, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (2, 2)])
def test_sizes_that_are_empty_or_promise_more_than_there_is_are_refused(sizes):
    header = bytes([0, 0, 8, 2]) + b"".join(size.to_bytes(4, "big") for size in sizes)
    with pytest.raises(DataError, match="must be positive and their product the 0 bytes after the header"):
        parse(header, axes=2)


@given(content=st.binary(max_size=64), magic=st.booleans(), axes=st.integers(1, 3))
def test_any_content_is_parsed_or_refused(content, magic, axes):
    content = bytes([0, 0, 8, axes]) + content if magic else content
    with contextlib.suppress(DataError):
        assert parse(content, axes).numel() == len(content) - 4 - 4 * axes


@pytest.fixture
def small(tmp_path, idx, publish):
    """Writes a small set in the official layout and reads it; keywords replace a file's content."""

    def build(folder="mnist", packed=True, **replaced):
        contents = {
            "train_images": idx(TRAIN_IMAGES),
            "train_labels": idx([0, 9, 5]),
            "test_images": idx(TRAIN_IMAGES[:2] + 100),
            "test_labels": idx([3, 4]),
        } | replaced
        files = [publish(tmp_path / folder, name, content, packed) for name, content in zip(NAMES, contents.values(), strict=True)]
        return read_set("mnist", files, ("mnist", "MNIST/raw"), tmp_path)

    return build


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_set_is_read_from_either_layout_packed_or_plain(small, idx, folder, packed):
    data = small(folder, packed)
    assert (data.name, data.classes, data.shape, data.scale) == ("mnist", 10, (1, 2, 3), 255.0)
    assert torch.equal(data.train.x, TRAIN_IMAGES.unsqueeze(1))
    assert torch.equal(data.test.x, TRAIN_IMAGES[:2].unsqueeze(1) + 100)
    assert data.train.y.tolist() == [0, 9, 5]
    assert data.test.y.tolist() == [3, 4]
    assert data.sha256[NAMES[1]] == hashlib.sha256(idx([0, 9, 5])).hexdigest()
    assert tuple(data.sha256) == NAMES


def test_the_folder_of_the_name_comes_before_the_layout_of_torchvision(small, idx):
    small("MNIST/raw")
    assert small("mnist", train_labels=idx([1, 1, 1])).train.y.tolist() == [1, 1, 1]


def test_label_files_that_were_swapped_are_refused(small, idx):
    with pytest.raises(DataError, match=r"train files in folder .*: 3 samples and 2 labels"):
        small(train_labels=idx([3, 4]), test_labels=idx([0, 9, 5]))


def test_images_in_the_place_of_labels_are_refused(small, idx):
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte in folder .*: magic number '00000803' must be '00000801'"):
        small(train_labels=idx(TRAIN_IMAGES))


def test_a_label_above_nine_is_refused(small, idx):
    with pytest.raises(DataError, match=r"t10k files in folder .*: label 10 of sample 1 must be at most 9"):
        small(test_labels=idx([3, 10]))


def test_images_of_two_sizes_are_refused(small, idx):
    with pytest.raises(DataError, match=r"\(1, 2, 3\) and t10k images of shape \(1, 3, 2\)"):
        small(test_images=idx(TRAIN_IMAGES[:2].reshape(2, 3, 2)))


def test_the_published_files_have_the_sizes_of_their_layout():
    for files in (MNIST, FASHION_MNIST):
        assert [file.name for file in files] == list(NAMES)
        assert [file.size for file in files] == [16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000]
        hashes = [form.sha256 for file in files for form in (file, file.gz)]
        assert len({*hashes}) == 8
        assert all(len(value) == 64 for value in hashes)


@pytest.mark.parametrize(("folder", "files"), [("MNIST", MNIST), ("FashionMNIST", FASHION_MNIST)])
def test_our_hashes_are_of_the_files_with_the_published_md5(official_root, folder, files):
    for file, md5 in zip(files, PUBLISHED_MD5[folder], strict=True):
        packed = (official_root / folder / "raw" / file.gz.name).read_bytes()
        assert hashlib.md5(packed).hexdigest() == md5
        assert hashlib.sha256(packed).hexdigest() == file.gz.sha256


def test_mnist_is_what_it_is_known_to_be(official_root):
    data = mnist(official_root)
    assert data.train.x.shape == (60_000, 1, 28, 28)
    assert data.test.x.shape == (10_000, 1, 28, 28)
    assert data.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.y.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert float(data.train.x.double().mean() / 255) == pytest.approx(0.1307, abs=5e-5)
    assert data.sha256 == {file.name: file.sha256 for file in MNIST}


def test_fashion_mnist_is_what_it_is_known_to_be(official_root):
    data = fashion_mnist(official_root)
    assert data.train.y[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert data.train.y.bincount().tolist() == 10 * [6000]
    assert data.test.y.bincount().tolist() == 10 * [1000]
    assert float(data.train.x.double().mean() / 255) == pytest.approx(0.2860, abs=5e-5)
    assert data.sha256 == {file.name: file.sha256 for file in FASHION_MNIST}


@pytest.fixture
def copied(official_root, tmp_path):
    """The real MNIST in a folder of the test, writable."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for file in MNIST:
        shutil.copyfile(official_root / "MNIST" / "raw" / file.gz.name, folder / file.gz.name)
    return folder


@pytest.mark.parametrize("at", [0, 5, 100_000, 1_648_876])
def test_a_bit_flipped_in_the_real_file_is_seen(copied, at):
    path = copied / MNIST[2].gz.name
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path.name} in folder {copied} has .*must have .*{MNIST[2].gz.sha256}"):
        mnist(copied.parent)


@pytest.mark.parametrize("length", [0, 1, 20, 28_880])
def test_the_real_file_truncated_is_seen(copied, length):
    path = copied / MNIST[1].gz.name
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=f"{path.name} in folder {copied} has {length} bytes, sha256"):
        mnist(copied.parent)


def test_real_label_files_swapped_are_seen(copied):
    train, test = copied / MNIST[1].gz.name, copied / MNIST[3].gz.name
    train.rename(copied / "aside")
    test.rename(train)
    (copied / "aside").rename(test)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz in folder .* has 4542 bytes"):
        mnist(copied.parent)


def test_one_real_file_missing_is_named(copied):
    (copied / MNIST[3].gz.name).unlink()
    with pytest.raises(DataError, match=f"no file t10k-labels-idx1-ubyte.gz in folder {copied}; put .*{MNIST[3].gz.sha256}"):
        mnist(copied.parent)
