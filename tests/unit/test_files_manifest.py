# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifest and digest beside a backup: unusable files are never treated as missing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._files import _access, _manifest
from ansible_collections.netops.activelogic.plugins.module_utils._files._manifest import Manifest, UnusableError

MANIFEST = Manifest("001122334455", "edge1", "22.20.06.1", "a.plb", 3, "00" * 32, "2026-01-31T00:00:00Z", "1")
DOCUMENT: dict[str, Any] = json.loads(MANIFEST.to_json())
WHOLE = MANIFEST.to_json()
SHA = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
OTHER = "0" * 64


def changed(**values: Any) -> bytes:
    return json.dumps({**DOCUMENT, **values}).encode("utf-8")


def test_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    for manifest in (MANIFEST, Manifest("m", "größe\udcf6", "", "日本", 0, "ab" * 32, "", "")):
        (tmp_path / "m").write_bytes(manifest.to_json())
        assert _manifest.read_manifest(str(tmp_path / "m")) == manifest
    assert _manifest.read_manifest(str(tmp_path / "none")) is None
    (tmp_path / "m").write_bytes(changed(added_later=1))
    assert _manifest.read_manifest(str(tmp_path / "m")) == MANIFEST


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cut off"),
        (WHOLE[:40], "cut off"),
        (WHOLE[:-3], "cut off"),
        (b"\xff", "cut off"),
        (b"[" * 100_000, "cut off"),
        (b"[]", "not a manifest"),
        (b"{}", "not a manifest"),
        (b'"text"', "not a manifest"),
        (b"null", "not a manifest"),
        (changed(schema_version=2), "schema version 2"),
        (changed(schema_version=True), "schema version True"),
        (changed(schema_version="1"), "schema version 1"),
        (changed(machineid=None), "machineid"),
        (changed(machineid=["001122334455"]), "machineid"),
        (changed(host="h" * 2000), "host"),
        (changed(size="3"), "size"),
        (changed(size=-3), "size"),
        (changed(size=True), "size"),
        (changed(sha256="x" * 64), "sha256"),
        (changed(sha256="AB" * 32), "sha256"),
        (b'{"schema_version": 1}', "machineid"),
        (WHOLE + b" " * 300_000, "more than"),
    ],
)
def test_manifest_that_can_not_be_used_is_not_none(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(UnusableError, match=says):
        _manifest.read_manifest(str(tmp_path / "m"))


@pytest.mark.parametrize("what", ["folder", "pipe", "dangling link", "loop"])
@pytest.mark.parametrize("read", [_manifest.read_manifest, lambda path: _manifest.read_digest(path, "a.plb")])
def test_what_is_no_readable_file_is_not_none(tmp_path: Path, what: str, read: Any) -> None:
    place = tmp_path / "m"
    if what == "folder":
        place.mkdir()
    elif what == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path / ("m" if what == "loop" else "missing"))
    with pytest.raises(UnusableError, match="can't be read"):
        read(str(place))


@pytest.mark.parametrize(
    "content",
    [
        f"{SHA}  a.plb\n",
        f"{SHA} *a.plb\n",
        f"{SHA.upper()}  a.plb\r\n",
        SHA,
        f"{SHA}\n\n",
        f"{SHA}  its/former.name\n",
        f"SHA256 (a.plb) = {SHA}\n",
        f"# of the archive\n{OTHER}  b.plb\n{SHA}  ./a.plb\n",
    ],
)
def test_digest_in_every_form_of_sha256sum(tmp_path: Path, content: str) -> None:
    (tmp_path / "d").write_text(content, encoding="utf-8")
    assert _manifest.read_digest(str(tmp_path / "d"), "/srv/a.plb") == SHA


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no digest"),
        (SHA[:40], "not in the form"),
        (f"{SHA}0  a.plb\n", "not in the form"),
        ("<html>\n", "not in the form"),
        (f"{SHA}  b.plb\n{OTHER}  c.plb\n", "no digest"),
        (f"{SHA}  a.plb\n{OTHER}  a.plb\n", "several digests"),
        (f"{SHA}  a.plb\n" * 4000, "more than"),
    ],
)
def test_digest_that_can_not_be_used_is_not_none(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "d").write_text(content, encoding="utf-8")
    with pytest.raises(UnusableError, match=says):
        _manifest.read_digest(str(tmp_path / "d"), "/srv/a.plb")


@pytest.mark.parametrize("name", ["a b.plb", "a\\b.plb", "a\nb.plb", "a\rb", "-", "größe", os.fsdecode(b"\xf6")])
def test_digest_line_is_what_sha256sum_checks(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    target.write_bytes(b"abc")
    assert _access.digest_file(str(target)) == (3, SHA)
    (tmp_path / "sums").write_bytes(_manifest.digest_line(SHA, str(target)))
    command = ["sha256sum", "-c", "--strict", "sums"]
    subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, check=True, capture_output=True)
    (tmp_path / "sums").write_bytes(OTHER.encode() + b"  else\n" + _manifest.digest_line(SHA, str(target)))
    assert _manifest.read_digest(str(tmp_path / "sums"), str(target)) == SHA


@pytest.mark.parametrize("suffix", [_manifest.DIGEST_SUFFIX, _manifest.MANIFEST_SUFFIX])
def test_a_side_file_has_the_name_of_its_file_until_that_is_too_long(tmp_path: Path, suffix: str) -> None:
    for name in ("a.plb", "n" * 248, "ä" * 124):
        assert _manifest.side_file(f"/srv/{name}", suffix) == f"/srv/{name}{suffix}"
    long = ["n" * 249, "n" * 254 + "a", "n" * 254 + "b", "ä" * 127, "n" + "ä" * 127, "\U0001f4be" * 63]
    made = [_manifest.side_file(f"{tmp_path}/{name}", suffix) for name in long]
    assert len(set(made)) == len(long)
    for name, path in zip(long, made, strict=True):
        kept, mark = os.path.basename(path).removesuffix(suffix).split("~")
        assert name.startswith(kept)
        assert len(mark) == 16
        Path(path).write_bytes(b"")
