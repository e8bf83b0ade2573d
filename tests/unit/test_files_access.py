# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local files: names in any locale, where a backup is placed, and what is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._errors import LocalFileError, OptionError
from ansible_collections.netops.activelogic.plugins.module_utils._files import _access, _destination

NOBODY = 65534


def test_destination_that_is_a_folder_takes_the_name(tmp_path: Path) -> None:
    assert _destination.resolve_destination(str(tmp_path), "a.plb") == str(tmp_path / "a.plb")
    assert _destination.resolve_destination(f"{tmp_path}/new/", "a.plb") == str(tmp_path / "new" / "a.plb")
    assert _destination.resolve_destination(str(tmp_path / "b.plb"), "a.plb") == str(tmp_path / "b.plb")


@pytest.mark.parametrize("name", ["a.json", "a.plb.sha256", "x.part"])
def test_name_that_would_accompany_another_file_is_refused_in_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalFileError):
        _destination.resolve_destination(str(tmp_path), name)


def test_destination_that_is_a_link_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dir" / "a.plb").mkdir(parents=True)
    for dest in (str(tmp_path / "link"), str(tmp_path / "pipe"), str(tmp_path / "dir"), str(tmp_path / "real") + "/"):
        with pytest.raises(LocalFileError):
            _destination.resolve_destination(dest, "a.plb")
    with pytest.raises(LocalFileError, match="does not exist"):
        _destination.resolve_destination(str(tmp_path / "missing" / "a.plb"), "a.plb")


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_every_folder_that_is_made_is_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    path, made, modes = str(tmp_path / "a" / "b" / "c" / "x.plb"), [], []

    def note(folder: str, descriptor: int) -> None:
        assert os.path.samestat(os.stat(folder), os.fstat(descriptor))
        made.append(folder)
        modes.append(os.fstat(descriptor).st_mode & 0o7777)

    before = os.umask(umask)
    try:
        _destination.make_folders(path, note)
    finally:
        os.umask(before)
    assert made == [str(tmp_path / each) for each in ("a", "a/b", "a/b/c")]
    assert modes == [0o700] * 3
    _destination.make_folders(path, note)
    assert len(made) == 3


def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(tmp_path: Path) -> None:
    """The owner of the parent folder can swap it between two steps."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def swap(folder: str, _descriptor: int) -> None:
        if os.path.basename(folder) == "a":
            os.rename(folder, tmp_path / "moved")
            os.symlink(elsewhere, folder)

    _destination.make_folders(str(tmp_path / "a" / "b" / "x.plb"), swap)
    assert os.listdir(elsewhere) == []
    assert os.listdir(tmp_path / "moved") == ["b"]


def test_a_link_that_comes_first_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    mkdir = os.mkdir

    def late(name: str, mode: int, **folder: int) -> None:
        os.symlink(elsewhere, tmp_path / "a")
        mkdir(name, mode, **folder)

    monkeypatch.setattr(os, "mkdir", late)
    with pytest.raises(LocalFileError):
        _destination.make_folders(str(tmp_path / "a" / "b" / "x.plb"), lambda *_: None)
    assert os.listdir(elsewhere) == []


RESOLVE = """
import sys
from ansible_collections.netops.activelogic.plugins.module_utils._files import _destination
try:
    _destination.resolve_destination(sys.argv[1], "a.plb")
except Exception as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the owner needs root")
@pytest.mark.parametrize("dest", ["shut/a.plb", "shut/in/", "shut"])
def test_a_folder_that_may_not_be_entered_is_not_told_as_missing(tmp_path: Path, dest: str) -> None:
    (tmp_path / "shut" / "in").mkdir(parents=True)
    (tmp_path / "shut").chmod(0o700)
    os.chown(tmp_path / "shut", NOBODY, NOBODY)
    wrapper = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]  # root without its bypass of permissions
    command = [*wrapper, sys.executable, "-c", RESOLVE, f"{tmp_path}/{dest}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(f"{tmp_path}/shut")
    assert done.stdout.endswith(": Permission denied\n")


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path(os.devnull)):
        with pytest.raises(LocalFileError, match="is not a regular file"):
            _access.digest_file(str(path))


NAMES = """
import os, sys
from ansible_collections.netops.activelogic.plugins.module_utils._files import _access
path = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
made = _access.native(path)
assert os.fsencode(made) == path.encode("utf-8", "surrogateescape"), made
assert _access.exact(made) == path
open(made, "wb").close()
sys.stdout.buffer.write(_access.shown(made).encode("utf-8"))
"""


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with locales whose encodings are not UTF-8."""
    folder = tmp_path_factory.mktemp("locales")
    for name, charset in (("de_DE", "ISO-8859-1"), ("ja_JP", "EUC-JP")):
        command = ["localedef", "--no-archive", "-i", name, "-f", charset, str(folder / f"{name}.{charset}")]
        subprocess.run(command, check=False, capture_output=True)  # localedef warns
    return folder


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "de_DE.ISO-8859-1", "ja_JP.EUC-JP"])
@pytest.mark.parametrize("utf8_mode", ["", "0"])
@pytest.mark.parametrize("name", [b"plain", "Größe".encode(), "日本".encode(), b"Gr\xf6\xdfe"])
def test_a_name_is_the_same_bytes_in_any_locale(
    tmp_path: Path, locales: Path, locale: str, utf8_mode: str, name: bytes
) -> None:
    if not locale.startswith("C") and not (locales / locale).exists():
        pytest.skip("localedef can't make this locale here")
    path = os.fsencode(tmp_path) + b"/" + name
    environment = {**os.environ, "LC_ALL": locale, "LOCPATH": str(locales), "PYTHONCOERCECLOCALE": "0"}
    environment |= {"PYTHONUTF8": utf8_mode} if utf8_mode else {}
    done = subprocess.run([sys.executable, "-c", NAMES], input=path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    assert done.stdout == path.decode("utf-8", "backslashreplace").encode("utf-8")


@pytest.mark.parametrize("path", ["/srv/a\0b", "/srv/\ud800"])
def test_a_path_that_no_file_can_have_is_one_sentence(path: str) -> None:
    with pytest.raises(OptionError, match="the path "):
        _access.native(path)


def test_an_error_names_the_file_and_not_what_it_was_called_in_its_folder(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with (
        pytest.raises(LocalFileError, match=r"^/srv/a\.plb: No such file or directory$"),
        _access.local_errors("/srv/a.plb"),
    ):
        os.open("content", os.O_RDONLY, dir_fd=descriptor)
    os.close(descriptor)
