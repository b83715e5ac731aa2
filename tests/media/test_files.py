"""Atomic writing: the target is whole or untouched, and nothing hidden stays behind."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from gantool.errors import EncoderError, ExitCode, InputError, OutputError, Stopped
from gantool.media.files import atomic, output_error, settle, sha256

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())  # hidden ones too


def write(target: Path, data: bytes = b"new", *, overwrite: bool = False) -> None:
    with atomic(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def test_a_new_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    with atomic(target, overwrite=False) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".png" and temporary.name[0] == "."
        temporary.write_bytes(b"part")
        assert not target.exists()
        with temporary.open("ab") as file:
            file.write(b" and rest")
    assert target.read_bytes() == b"part and rest"
    assert names(tmp_path) == ["out.png"]


def test_permissions_obey_the_umask_and_survive_overwriting(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    old = os.umask(0o027)
    try:
        write(target)
    finally:
        os.umask(old)
    assert target.stat().st_mode & 0o777 == 0o640
    target.chmod(0o600)
    write(target, b"newer", overwrite=True)
    assert target.stat().st_mode & 0o777 == 0o600 and target.read_bytes() == b"newer"


def test_an_existing_file_is_refused_before_the_body_runs(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"old")
    ran = False
    with pytest.raises(OutputError, match="exists") as caught, atomic(target, overwrite=False):
        ran = True
    assert not ran and "--overwrite" in str(caught.value) and "--skip-existing" in str(caught.value)
    assert caught.value.code is ExitCode.OUTPUT
    assert target.read_bytes() == b"old" and names(tmp_path) == ["out.png"]


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), Stopped(), EncoderError("y")]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_any_exception_leaves_everything_as_it_was(
    tmp_path: Path, error: BaseException, overwrite: bool
) -> None:
    target = tmp_path / "out.mp4"
    if overwrite:
        target.write_bytes(b"old")
    before = names(tmp_path)
    with pytest.raises(type(error)) as caught, atomic(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert caught.value is error
    assert names(tmp_path) == before
    if overwrite:
        assert target.read_bytes() == b"old"


def test_a_body_that_removes_or_replaces_the_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError), atomic(tmp_path / "gone.png", overwrite=False) as temporary:
        temporary.unlink()
    with atomic(tmp_path / "kept.png", overwrite=False) as temporary:
        temporary.unlink()
        temporary.write_bytes(b"again")
    assert names(tmp_path) == ["kept.png"]


def test_a_body_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="nothing was written"),
        atomic(tmp_path / "out.png", overwrite=False),
    ):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_destroyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse_links)
    target = tmp_path / "out.png"
    with pytest.raises(OutputError, match="exists"), atomic(target, overwrite=False) as temporary:
        temporary.write_bytes(b"ours")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs" and names(tmp_path) == ["out.png"]


def refuse_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "no hard links here")


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse_links)
    write(tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"new" and names(tmp_path) == ["out.png"]


def test_a_claimed_name_is_given_back_when_the_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, "link", refuse_links)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="broken disk"):
        write(tmp_path / "out.png")
    assert names(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_stays_a_link(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "real").mkdir()
    behind, link = tmp_path / "real" / "file.png", tmp_path / "link.png"
    if overwrite:
        behind.write_bytes(b"old")
    link.symlink_to(behind)
    write(link, overwrite=overwrite)
    assert link.is_symlink() and behind.read_bytes() == b"new"
    assert names(tmp_path) == ["link.png", "real"] and names(tmp_path / "real") == ["file.png"]


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "lost.png").symlink_to(tmp_path / "missing" / "file.png")
    for name, words in (("loop.png", "loop"), ("lost.png", "folder does not exist")):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match=words):
                write(tmp_path / name, overwrite=overwrite)
    assert names(tmp_path) == ["loop.png", "lost.png"]


def test_impossible_targets_each_have_their_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "missing" / "out.png": "folder does not exist",
        tmp_path / "folder": "is a folder",
        tmp_path / "file" / "out.png": "not a folder",
        tmp_path / ("n" * 300 + ".png"): "too long",
        tmp_path / "nul\0.png": "not a valid file name",
        tmp_path / "pipe": "device or a pipe",
    }
    before = names(tmp_path)
    for target, words in cases.items():
        with pytest.raises(OutputError, match=words) as caught:
            write(target, overwrite=True)
        assert caught.value.remedy
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    "name",
    [
        "n" * 236 + ".png",
        "über 茶 😀.png",
        "-o.png",
        "%03d.png",
        "a:b?.png",
        "'quoted\" .png",
        "no suffix",
        ".hidden",
    ],
)
def test_awkward_names(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    write(tmp_path / name, b"newer", overwrite=True)
    assert (tmp_path / name).read_bytes() == b"newer" and names(tmp_path) == [name]


def test_a_name_that_is_not_utf8_and_a_suffix_as_long_as_a_name(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    write(odd)
    write(tmp_path / ("a." + "b" * 240))
    assert odd.read_bytes() == b"new" and len(names(tmp_path)) == 2


def test_a_relative_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("out.png"))
    assert names(tmp_path) == ["out.png"]


def test_a_folder_without_write_permission() -> None:
    """As another user where the tests run as root, whom permissions do not stop."""
    body = """
        import os, sys
        from pathlib import Path
        from gantool.errors import OutputError
        from gantool.media.files import atomic
        if os.geteuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        for name, overwrite in (("new.png", False), ("old.png", True)):
            try:
                with atomic(Path(sys.argv[1]) / name, overwrite=overwrite) as temporary:
                    temporary.write_bytes(b"x")
            except OutputError as exc:
                print(exc)
    """
    # Not tmp_path: pytest keeps its folders closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        existing = folder / "old.png"
        existing.write_bytes(b"old")
        existing.chmod(0o444)
        folder.chmod(0o555)
        command = [sys.executable, "-c", textwrap.dedent(body), name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        folder.chmod(0o755)
        lines = done.stdout.splitlines()
        assert len(lines) == 2 and "no right to write" in lines[0] and "read-only" in lines[1], done
        assert names(folder) == ["old.png"] and existing.read_bytes() == b"old"


def test_a_size_limit_reads_as_a_sentence(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for a full disk where no small file system can be mounted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(OutputError, match="larger than this place allows") as caught:
            write(tmp_path / "out.png", bytes(1 << 18))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.file == str(tmp_path / "out.png")
    assert names(tmp_path) == []


@pytest.mark.skipif(
    not AS_ROOT or not sys.platform.startswith("linux"), reason="mounting needs root on Linux"
)
def test_a_full_disk(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine mounts no tmpfs")
    try:
        (mounted / "out.png").write_bytes(b"old")
        with pytest.raises(OutputError, match="no space is left"):
            write(mounted / "out.png", bytes(1 << 18), overwrite=True)
        assert names(mounted) == ["out.png"] and (mounted / "out.png").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", str(mounted)], check=True, timeout=60)


def test_errors_about_the_temporary_file_name_the_target(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(EncoderError) as encoder, atomic(target, overwrite=False) as temporary:
        raise EncoderError("the encoder died", temporary)
    assert encoder.value.file == str(target)
    with pytest.raises(OutputError) as system, atomic(target, overwrite=False) as temporary:
        raise OSError(errno.EIO, "broken", str(temporary))
    assert system.value.file == str(target)


def test_errors_about_other_files_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "a.png", overwrite=False):
        (tmp_path / "input.png").read_bytes()
    with pytest.raises(InputError) as caught, atomic(tmp_path / "a.png", overwrite=False):
        raise InputError("bad", "input.png")
    assert caught.value.file == "input.png"
    assert names(tmp_path) == []


def test_the_folder_vanishes_while_the_body_runs(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OutputError), atomic(folder / "out.png", overwrite=False) as temporary:
        temporary.unlink()
        folder.rmdir()
    assert names(tmp_path) == []


def test_every_known_error_has_a_remedy() -> None:
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.EIO):
        exc = output_error(OSError(code, os.strerror(code)), "out.png")
        assert exc.remedy and exc.file == "out.png" and exc.code is ExitCode.OUTPUT


def test_sha256(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    (tmp_path / "x").write_bytes(data)
    assert sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "missing")


def test_temporary_file_in_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    with atomic(tmp_path / "out.mp4", overwrite=False, folder=folder) as temporary:
        assert temporary.parent == folder and temporary.suffix == ".mp4"
        temporary.write_bytes(b"film")
    assert (tmp_path / "out.mp4").read_bytes() == b"film" and list(folder.iterdir()) == []


def test_settle_names_a_file_that_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    new, final = tmp_path / "new", tmp_path / "final"
    new.write_bytes(b"new")
    final.write_bytes(b"old")
    inode = new.stat().st_ino
    settle(new, final)
    assert final.read_bytes() == b"new" and not new.exists()
    assert synced == [inode, tmp_path.stat().st_ino]
    with pytest.raises(FileNotFoundError):
        settle(new, final)
