# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files are placed whole or not at all, and nothing else is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils import _localfiles
from ansible_collections.netops.activelogic.plugins.module_utils._errors import LocalFileError

MANIFEST = _localfiles.Manifest(
    "001122334455", "edge1", "22.20.06.1", "a.plb", 3, "00" * 32, "2026-01-31T00:00:00Z", "1"
)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_part_file_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with _localfiles.part_file(str(tmp_path / "a.plb")) as part:
        assert os.stat(part).st_mode & 0o777 == 0o600
        assert names(tmp_path) == [f".a.plb.{os.getpid()}.part"]
    assert names(tmp_path) == []


def test_part_file_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), _localfiles.part_file(str(tmp_path / "a.plb")):
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_part_file_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    leftover = tmp_path / ".a.plb.99999.part"
    leftover.write_bytes(b"half")
    other = tmp_path / ".b.plb.99999.part"
    other.write_bytes(b"half of another")
    with _localfiles.part_file(str(tmp_path / "a.plb")):
        assert not leftover.exists()
    assert names(tmp_path) == [other.name]


def test_part_file_of_a_living_process_stays(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from ansible_collections.netops.activelogic.plugins.module_utils import _localfiles\n"
        "with _localfiles.part_file(sys.argv[1]) as part:\n"
        "    print(part, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.plb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        with _localfiles.part_file(str(tmp_path / "a.plb")):
            assert theirs.exists()
        other.communicate(timeout=30)
    assert names(tmp_path) == []


def test_placed_file_replaces_the_old_one_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a.plb"
    target.write_bytes(b"old")
    with _localfiles.part_file(str(target)) as part:
        Path(part).write_bytes(b"new")
        assert target.read_bytes() == b"old"
        _localfiles.place(part, str(target))
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.plb"]


def test_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    target = str(tmp_path / "a.plb")
    assert _localfiles.write_small(target + ".json", MANIFEST.to_json(), 0o600)
    assert _localfiles.read_manifest(target) == MANIFEST
    assert not _localfiles.write_small(target + ".json", MANIFEST.to_json(), 0o600)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"schema_version": 2}', b'{"schema_version": 1}'])
def test_manifest_that_is_none_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.plb.json").write_bytes(content)
    assert _localfiles.read_manifest(str(tmp_path / "a.plb")) is None


def test_digest_line_is_what_sha256sum_checks(tmp_path: Path) -> None:
    target = tmp_path / "a b.plb"
    target.write_bytes(b"abc")
    size, sha256 = _localfiles.digest_file(str(target))
    assert size == 3
    (tmp_path / "a b.plb.sha256").write_bytes(_localfiles.digest_line(sha256, str(target)))
    subprocess.run(["sha256sum", "-c", "--strict", "a b.plb.sha256"], cwd=tmp_path, check=True, capture_output=True)


def test_a_name_that_stands_for_standard_input_is_checked_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "-").write_bytes(b"abc")
    line = _localfiles.digest_line(_localfiles.digest_file(str(tmp_path / "-"))[1], str(tmp_path / "-"))
    (tmp_path / "sums").write_bytes(line)
    command = ["sha256sum", "-c", "--strict", "sums"]
    subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, check=True, capture_output=True)


@pytest.mark.parametrize("suffix", [_localfiles.DIGEST_SUFFIX, _localfiles.MANIFEST_SUFFIX])
def test_a_side_file_has_the_name_of_its_file_until_that_is_too_long(tmp_path: Path, suffix: str) -> None:
    for name in ("a.plb", "n" * 248, "ä" * 124):
        assert _localfiles.side_file(f"/srv/{name}", suffix) == f"/srv/{name}{suffix}"
    long = ["n" * 249, "n" * 254 + "a", "n" * 254 + "b", "ä" * 127, "n" + "ä" * 127, "\U0001f4be" * 63]
    made = [_localfiles.side_file(f"{tmp_path}/{name}", suffix) for name in long]
    assert len(set(made)) == len(long)
    for name, path in zip(long, made, strict=True):
        kept, mark = os.path.basename(path).removesuffix(suffix).split("~")
        assert name.startswith(kept)
        assert len(mark) == 16
        Path(path).write_bytes(b"")


def test_destination_that_is_a_folder_takes_the_name(tmp_path: Path) -> None:
    assert _localfiles.resolve_destination(str(tmp_path), "a.plb") == str(tmp_path / "a.plb")
    assert _localfiles.resolve_destination(f"{tmp_path}/new/", "a.plb") == str(tmp_path / "new" / "a.plb")
    assert _localfiles.resolve_destination(str(tmp_path / "b.plb"), "a.plb") == str(tmp_path / "b.plb")


@pytest.mark.parametrize("name", ["a.json", "a.plb.sha256", "x.part"])
def test_name_that_would_accompany_another_file_is_refused_in_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalFileError):
        _localfiles.resolve_destination(str(tmp_path), name)


def test_destination_that_is_a_link_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dir" / "a.plb").mkdir(parents=True)
    for dest in (str(tmp_path / "link"), str(tmp_path / "pipe"), str(tmp_path / "dir"), str(tmp_path / "real") + "/"):
        with pytest.raises(LocalFileError):
            _localfiles.resolve_destination(dest, "a.plb")
    with pytest.raises(LocalFileError, match="does not exist"):
        _localfiles.resolve_destination(str(tmp_path / "missing" / "a.plb"), "a.plb")


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path(os.devnull)):
        with pytest.raises(LocalFileError, match="is not a regular file"):
            _localfiles.digest_file(str(path))
