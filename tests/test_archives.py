import gzip
import io
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from spikequant.archives import members
from spikequant.errors import DataError, FormatError


def zipped(entries: list[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in entries:
            archive.writestr(name, content)
    return made.getvalue()


def tarred(*entries: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return made.getvalue()


def special(kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo("x")
    info.type, info.linkname = kind, target
    return info


def refusal(made: bytes, limit: int = 2**20) -> str:
    with pytest.raises(FormatError) as caught:
        list(members(made, limit))
    return str(caught.value)


FORMS: dict[str, Callable[[list[tuple[str, bytes]]], bytes]] = {
    "zip": lambda entries: zipped([*entries]),
    "tar": lambda entries: tarred(*entries),
    "tar.gz": lambda entries: gzip.compress(tarred(*entries)),
}
each_form = pytest.mark.parametrize("form", FORMS)


@each_form
@pytest.mark.parametrize("as_bytes", [False, True])
def test_files_come_by_name_and_folders_are_passed_over(form: str, as_bytes: bool, tmp_path: Path) -> None:
    made = FORMS[form]([("Train/0/1.bin", b"abc"), ("Train/0/2.bin", b"")])
    path = tmp_path / "set"
    path.write_bytes(made)
    assert list(members(made if as_bytes else path, 2**20)) == [("Train/0/1.bin", b"abc"), ("Train/0/2.bin", b"")]
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    assert list(members(tarred(folder, ("folder/a", b"a")), 2**20)) == [("folder/a", b"a")]
    assert list(members(zipped([("folder/", b""), ("folder/a", b"a")]), 2**20)) == [("folder/a", b"a")]


@each_form
@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "C:\\x", "a\\..\\x", "a//x", "a\nb", "\x1b[2J", "x" * 600])
def test_names_that_lead_elsewhere_are_refused(form: str, name: str) -> None:
    assert "may lead elsewhere" in refusal(FORMS[form]([(name, b"x")]))


@each_form
def test_what_unpacks_to_more_than_the_limit_is_refused(form: str) -> None:
    made = FORMS[form]([("a", bytes(3 * 2**20)), ("b", bytes(3 * 2**20))])
    assert [len(content) for _, content in members(made, 6 * 2**20)] == [3 * 2**20] * 2
    assert "unpacks to" in refusal(made, 4 * 2**20)


@each_form
def test_members_that_are_there_twice_are_refused(form: str) -> None:
    assert "member 'a' is there twice" in refusal(FORMS[form]([("a", b"1"), ("a", b"2")]))


@each_form
def test_every_cut_is_damage(form: str) -> None:
    made = FORMS[form]([("a", b"content of a"), ("b", b"content of b")])
    whole = [("a", b"content of a"), ("b", b"content of b")]
    for length in range(0, len(made), 7):
        try:
            assert list(members(made[:length], 2**20)) == whole  # the end of a tar is padding
        except FormatError:
            pass
        else:
            assert form == "tar"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes) -> None:
    assert "is a link, device or sparse" in refusal(tarred(special(kind)))


def test_links_in_a_zip_are_refused() -> None:
    info = zipfile.ZipInfo("x")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "is a link or device" in refusal(zipped([(info, b"/etc/passwd")]))


def test_a_zip_packed_by_other_methods_or_encrypted_is_refused() -> None:
    assert "packed by method 14" in refusal(zipped([("a", b"x")], zipfile.ZIP_LZMA))
    made = bytearray(zipped([("a", b"x")], zipfile.ZIP_STORED))
    made[made.index(b"PK\x01\x02") + 8] |= 1
    assert "is encrypted" in refusal(bytes(made))


def test_a_zip_that_declares_less_than_it_packs_is_damage() -> None:
    made = bytearray(zipped([("a", bytes(2**20))]))
    at = made.index(b"PK\x01\x02") + 24
    made[at : at + 4] = (10).to_bytes(4, "little")
    assert "is damaged" in refusal(bytes(made))


def test_the_number_of_members_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikequant.archives.MEMBERS", 2)
    for form in FORMS.values():
        assert "members" in refusal(form([(str(index), b"") for index in range(3)]))


def test_the_error_is_of_the_type_that_the_caller_names() -> None:
    with pytest.raises(DataError, match=r"N-MNIST is damaged, or neither zip nor tar"):
        list(members(b"neither", 10, DataError, "N-MNIST"))
    with pytest.raises(DataError, match=r"archive .*absent"):
        list(members(Path("absent"), 10, DataError))
