"""Archives: what is in them comes out, and nothing else happens, whatever they hold."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itersep.data.archive import unpack
from itersep.system.errors import UserError
from tests.runs import contents

FILES = {"Corpus/README": b"read me", "Corpus/s1/a b.flac": bytes(range(256)) * 40, "Corpus/s2/empty": b""}


def make_tar(path: Path, files: dict[str, bytes], *odd: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o4777  # setuid, and writable by all: not to be taken over
            archive.addfile(info, io.BytesIO(content))
        for info in odd:
            archive.addfile(info)
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def odd(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


MAKERS = {"corpus.tar.gz": make_tar, "corpus.zip": make_zip}


@pytest.fixture(params=MAKERS)
def archive(request, tmp_path) -> Path:
    """An archive of each kind, with FILES."""
    return MAKERS[request.param](tmp_path / request.param, FILES)


def test_what_is_in_an_archive_comes_out_with_plain_permissions(archive, tmp_path):
    folder = tmp_path / "new" / "out"
    unpack(archive, folder)
    assert contents(folder) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    plain = tmp_path / "plain"
    plain.touch()
    assert {path.stat().st_mode for path in folder.rglob("*") if path.is_file()} == {plain.stat().st_mode}


def test_a_folder_that_is_there_is_left_alone(archive, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(archive, folder)
    assert list(folder.iterdir()) == []


def test_after_an_interruption_what_was_done_is_kept(archive, tmp_path, monkeypatch):
    def stop_before_second(source, target, length):
        target.write(source.read())
        if target.name.endswith(".a b.flac.part"):
            raise KeyboardInterrupt

    folder, aside = tmp_path / "out", tmp_path / ".out.unpacking"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("itersep.data.archive.shutil.copyfileobj", stop_before_second)
        unpack(archive, folder)
    assert not folder.exists()
    kept = (aside / "Corpus/README").stat().st_mtime_ns
    unpack(archive, folder)
    assert {name: content for name, content in contents(folder).items() if ".part" not in name} == FILES
    assert not list(folder.rglob("*.part"))
    assert (folder / "Corpus/README").stat().st_mtime_ns == kept


BAD_NAMES = [".", "../evil", "good/../../evil", "/evil", "..", "good/..", "..\\evil", "good\\..\\..\\evil"]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_outside_refuses_the_archive(maker, name, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    name = f"{tmp_path}/evil" if name == "/evil" else name
    archive = MAKERS[maker](inside / maker, {"good/file": b"x", name: b"evil"})
    with pytest.raises(UserError, match="would lie outside its folder, so it was not unpacked") as raised:
        unpack(archive, inside / "out")
    assert repr(name)[1:-1].replace("\\\\", "\\") in str(raised.value)
    assert list(tmp_path.iterdir()) == [inside] and list(inside.iterdir()) == [archive]


@pytest.mark.parametrize(
    "members",
    [
        [odd("link", tarfile.SYMTYPE, "/etc")],
        [odd("link", tarfile.SYMTYPE, "..")],
        [odd("link", tarfile.SYMTYPE, "Corpus")],  # harmless, and needed by no corpus
        [odd("link", tarfile.LNKTYPE, "/etc/passwd")],
        [odd("pipe", tarfile.FIFOTYPE)],
        [odd("disk", tarfile.BLKTYPE)],
        [odd("null", tarfile.CHRTYPE)],
    ],
    ids=["symlink out", "symlink up", "symlink in", "hard link", "pipe", "block device", "character device"],
)
def test_links_and_devices_refuse_the_archive(members, tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", FILES, *members)
    with pytest.raises(UserError, match=f"'{members[0].name}' in it is not a plain file or folder"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_link_in_a_zip_file_refuses_it(tmp_path):
    archive, info = tmp_path / "a.zip", zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(info, "/etc")
        file.writestr("link/passwd", "evil")
    with pytest.raises(UserError, match="'link' in it is not a plain file or folder"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


@given(
    names=st.lists(
        st.lists(st.sampled_from(["..", ".", "", "a", "b", "a\\..", " "]), min_size=1, max_size=4), max_size=4
    ),
    maker=st.sampled_from(list(MAKERS)),
)
def test_no_name_whatever_leads_outside(tmp_path_factory, names, maker):
    top = tmp_path_factory.mktemp("top")
    inside = top / "1" / "2" / "3" / "4" / "inside"
    inside.mkdir(parents=True)
    joined = ["/".join(parts) for parts in names]
    files = {f"{top}{name}" if name.startswith("/") else name: b"evil" for name in joined}
    archive = MAKERS[maker](inside / "archive", files)
    try:
        unpack(archive, inside / "out")
    except (UserError, OSError):
        assert not (inside / "out").exists()
    outside = [path for path in top.rglob("*") if path.is_file() and inside / "out" not in path.parents]
    aside = inside / ".out.unpacking"  # kept where the disk refused, as for a file and a folder of one name
    assert [path for path in outside if aside not in path.parents] == [archive]
    assert os.listdir(top) == ["1"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, -40])
def test_a_damaged_archive_is_told(archive, tmp_path, keep):
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(keep * len(whole))] if 0 < keep < 1 else whole[:keep])
    with pytest.raises(UserError, match=f"{archive.name}: is damaged .*; remove it and get it again"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_flipped_bit_is_told(archive, tmp_path):
    whole = bytearray(archive.read_bytes())
    whole[len(whole) // 3] ^= 4
    archive.write_bytes(whole)
    with pytest.raises(UserError, match="is damaged"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]
