import contextlib
import gzip
import hashlib
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikequant.data.official import Official, locate, read, root_folder
from spikequant.errors import DataError

CONTENT = b"the content of an official file"


def test_root_is_the_argument_then_the_variable_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert root_folder() == tmp_path / ".cache" / "spikequant"
    monkeypatch.setenv("SPIKEQUANT_DATA", "")
    assert root_folder() == tmp_path / ".cache" / "spikequant"
    monkeypatch.setenv("SPIKEQUANT_DATA", "~/sets")
    assert root_folder() == tmp_path / "sets"
    assert root_folder("other") == Path("other")


def test_a_home_that_is_not_there_is_told():
    with pytest.raises(DataError, match=r"no home folder to expand '~nobody-of-this-name/sets'.*SPIKEQUANT_DATA"):
        root_folder("~nobody-of-this-name/sets")


def test_the_first_folder_that_holds_a_file_is_taken(tmp_path, publish):
    file = publish(tmp_path / "second", "a", CONTENT)
    (tmp_path / "first").mkdir()
    assert locate(tmp_path, ("first", "second"), [file]) == tmp_path / "second"
    publish(tmp_path / "first", "a", CONTENT, packed=True)
    assert locate(tmp_path, ("first", "second"), [file]) == tmp_path / "first"


def test_a_missing_folder_and_a_missing_file_say_what_to_get_and_where_to_put_it(tmp_path, publish):
    file = publish(tmp_path / "elsewhere", "a", CONTENT)
    remedy = f"put the official file a.gz .* bytes, sha256 {file.gz.sha256}.* into {tmp_path}/first, or set SPIKEQUANT_DATA"
    with pytest.raises(DataError, match=f"^no folder {tmp_path}/first, and none in {tmp_path}/second; {remedy}.*also needs b"):
        locate(tmp_path, ("first", "second"), [file, Official("b", 1)])
    (tmp_path / "first").mkdir()
    with pytest.raises(DataError, match=f"^no official file in folder {tmp_path}/first, .*{remedy}"):
        locate(tmp_path, ("first", "second"), [file])
    with pytest.raises(DataError, match=f"^no file a.gz in folder {tmp_path}/first; {remedy}"):
        read(file, tmp_path / "first")


def test_a_place_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*File name too long.*SPIKEQUANT_DATA"):
        locate(tmp_path / ("x" * 300), ("first",), [Official("a", 1)])


def test_a_folder_in_the_place_of_a_file_is_no_file(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="no file a in folder"):
        read(Official("a", 1), tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_plain_and_packed_give_the_same_content_and_hash(tmp_path, publish, packed):
    file = publish(tmp_path, "a", CONTENT, packed)
    assert read(file, tmp_path) == (CONTENT, hashlib.sha256(CONTENT).hexdigest())


def test_a_damaged_packed_file_is_not_passed_over_for_the_plain_one(tmp_path, publish):
    file = publish(tmp_path, "a", CONTENT)
    (tmp_path / "a.gz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"file a\.gz in folder"):
        read(file, tmp_path)


def test_an_unpublished_hash_is_found(tmp_path, publish):
    publish(tmp_path, "a", CONTENT)
    assert read(Official("a", len(CONTENT)), tmp_path)[1] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("packed", [False, True])
def test_every_flipped_bit_is_seen(tmp_path, publish, packed):
    file = publish(tmp_path, "a", CONTENT, packed)
    form = file.gz if packed else file
    whole = (tmp_path / form.name).read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / form.name).write_bytes(damaged)
        found = hashlib.sha256(damaged).hexdigest()
        with pytest.raises(DataError) as error:
            read(file, tmp_path)
        for part in (f"file {form.name} in folder {tmp_path}", f"sha256 {found}", f"sha256 {form.sha256}", "SPIKEQUANT_DATA"):
            assert part in str(error.value)


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation_and_one_byte_too_many_are_seen(tmp_path, publish, packed):
    file = publish(tmp_path, "a", CONTENT, packed)
    form = file.gz if packed else file
    whole = (tmp_path / form.name).read_bytes()
    for length in range(len(whole)):
        (tmp_path / form.name).write_bytes(whole[:length])
        with pytest.raises(DataError, match=f"has {length} bytes, sha256 .*must have {len(whole)} bytes, sha256 {form.sha256}"):
            read(file, tmp_path)
    (tmp_path / form.name).write_bytes(whole + b"x")
    with pytest.raises(DataError, match=f"has more than {len(whole)} bytes; must have"):
        read(file, tmp_path)


def unhashed(folder: Path, packed: bytes, size: int) -> Official:
    """A packed file whose hashes nobody published: the unpacking itself must be safe."""
    (folder / "a.gz").write_bytes(packed)
    return Official("a", size, None, Official("a.gz", len(packed)))


def test_every_truncated_gzip_stream_is_seen_without_its_hash(tmp_path):
    packed = gzip.compress(CONTENT)
    for length in range(len(packed)):
        with pytest.raises(DataError, match=r"the gzip stream of file a\.gz in folder .* ends early"):
            read(unhashed(tmp_path, packed[:length], len(CONTENT)), tmp_path)


@pytest.mark.parametrize("more", [b"x", gzip.compress(b"second member", mtime=0)], ids=["a byte", "a second member"])
def test_bytes_behind_a_gzip_stream_are_refused(tmp_path, more):
    with pytest.raises(DataError, match="is followed by other bytes"):
        read(unhashed(tmp_path, gzip.compress(CONTENT) + more, len(CONTENT)), tmp_path)


@pytest.mark.parametrize("packed", [CONTENT, zlib.compress(CONTENT), b"<html>not found</html>"])
def test_what_is_no_gzip_stream_is_refused(tmp_path, packed):
    with pytest.raises(DataError, match=r"file a\.gz in folder .* is not a gzip stream"):
        read(unhashed(tmp_path, packed, len(CONTENT)), tmp_path)


@pytest.mark.parametrize(("size", "has"), [(len(CONTENT) - 1, "more than 30 bytes"), (len(CONTENT) + 1, "31 bytes, sha256")])
def test_unpacked_content_must_have_its_size(tmp_path, size, has):
    with pytest.raises(DataError, match=rf"file a\.gz unpacked in folder .* has {has}.*; must have {size} bytes"):
        read(unhashed(tmp_path, gzip.compress(CONTENT), size), tmp_path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    bomb = unhashed(tmp_path, gzip.compress(bytes(1 << 26)), size=100)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="has more than 100 bytes; must have 100 bytes"):
            read(bomb, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_no_more_is_read_than_the_published_size(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="has more than 100 bytes"):
        read(Official("a", 100), tmp_path)


@given(packed=st.binary(max_size=200) | st.binary(max_size=200).map(gzip.compress), size=st.integers(0, 100))
def test_any_bytes_are_read_or_refused(tmp_path_factory, packed, size):
    folder = tmp_path_factory.mktemp("any")
    file = unhashed(folder, packed, size)
    with contextlib.suppress(DataError):
        assert len(read(file, folder)[0]) == size
