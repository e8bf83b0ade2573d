# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content: downloads, uploads, and incomplete transfers."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.lab import Lab, descendants


@pytest.fixture(scope="module")
def troubled(make_module_lab: Callable[..., Lab]) -> Lab:
    lab = make_module_lab(limits={"read_seconds": 2, "write_seconds": 2, "transfer_seconds": 2})
    lab.start()
    return lab


def spool_files(lab: Lab) -> list[str]:
    return [path.name for path in (lab.folder / "state" / "spool").iterdir()]


def test_download_gives_the_bytes_of_the_system(lab: Lab) -> None:
    content = lab.create("whole.plb")
    answer = lab.run({"action": "download", "name": "whole.plb"})
    digest = hashlib.sha256(content)
    assert answer.document["result"] == {"name": "whole.plb", "size": len(content), "sha256": digest.hexdigest()}
    response = lab.get(answer.path + "/content")
    assert (response.status_code, response.content) == (200, content)
    assert response.headers["content-length"] == str(len(content))
    assert response.headers["etag"] == f'"{digest.hexdigest()}"'
    assert response.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert response.headers["cache-control"] == "no-store, no-transform"
    assert response.headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in response.headers
    head = lab.request("HEAD", answer.path + "/content")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "etag", "repr-digest", "content-type"):
        assert head.headers[name] == response.headers[name]


def test_ranges(lab: Lab) -> None:
    content = lab.create("ranges.plb")
    size = len(content)
    path = lab.run({"action": "download", "name": "ranges.plb"}).path + "/content"
    etag = lab.get(path).headers["etag"]
    for given, expected in (
        ("bytes=0-0", content[:1]),
        ("bytes=5-9", content[5:10]),
        ("bytes=7-", content[7:]),
        ("bytes=-4", content[-4:]),
        (f"bytes={size - 1}-{size + 99}", content[-1:]),
        (f"bytes=-{size + 99}", content),
        (f"bytes=7-{'9' * 40}", content[7:]),
        ("Bytes=0-1", content[:2]),
    ):
        response = lab.get(path, headers={"Range": given, "If-Range": etag})
        assert (response.status_code, response.content) == (206, expected), given
        first = size - len(expected) if given.startswith("bytes=-") else int(given[6:].split("-")[0])
        assert response.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{size}"
        assert response.headers["content-length"] == str(len(expected))
    for given in (f"bytes={size}-", "bytes=-0", f"bytes={'9' * 40}-"):
        response = lab.get(path, headers={"Range": given})
        assert response.status_code == 416, given
        assert response.headers["content-range"] == f"bytes */{size}"
    for ignored in (
        {"Range": "bytes=0-1,3-4"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=5-4"},
        {"Range": "bytes=0-0", "If-Range": '"x"'},
        {"Range": "bytes=0-0", "If-Range": f"W/{etag}"},
        {"Range": "bytes=0-0", "If-Range": etag.strip('"')},
        {"Range": "bytes=0-0", "If-Range": "Tue, 24 Nov 2026 12:00:00 GMT"},
        {"Range": f"bytes={size}-", "If-Range": '"x"'},
        {"Range": "bytes=" + "9" * 5000 + "-"},
        {"Range": "bytes=a-b"},
        {"Range": "bytes=--1"},
        {"Range": ""},
    ):
        response = lab.get(path, headers=ignored)
        assert (response.status_code, response.content) == (200, content), ignored


def test_head_has_no_ranges(lab: Lab) -> None:
    content = lab.create("head.plb")
    path = lab.run({"action": "download", "name": "head.plb"}).path + "/content"
    for given in ("bytes=0-0", "bytes=99999999-"):
        response = lab.request("HEAD", path, headers={"Range": given})
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_on_the_content(lab: Lab, method: str) -> None:
    content = lab.create(f"conditions-{method}.plb")
    path = lab.run({"action": "download", "name": f"conditions-{method}.plb"}).path + "/content"
    etag = lab.get(path).headers["etag"]
    for headers, expected in (
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f'"x", W/{etag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-Match": f'"x", {etag}'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": f"W/{etag}"}, 412),
        ({"If-Match": "x"}, 412),
        ({"If-Match": '"x"', "If-None-Match": etag}, 412),
        ({"If-None-Match": etag, "Range": "bytes=99999999-"}, 304),
    ):
        response = lab.request(method, path, headers=headers)
        assert response.status_code == expected, headers
        if expected == 304:
            assert (response.content, response.headers["etag"]) == (b"", etag)
        elif expected == 200 and method == "GET":
            assert response.content == content


def test_deleted_content_is_gone(lab: Lab) -> None:
    lab.create("dropped.plb")
    answer = lab.run({"action": "download", "name": "dropped.plb"})
    before = len(spool_files(lab))
    assert lab.request("DELETE", answer.path).status_code == 200
    assert len(spool_files(lab)) == before - 1
    response = lab.get(answer.path + "/content")
    assert (response.status_code, response.json()["kind"]) == (410, "content_gone")


def test_content_of_what_is_no_finished_download(troubled: Lab) -> None:
    troubled.create("later.plb")
    troubled.trouble(download="slow:1")
    path = troubled.path_of(troubled.put({"action": "download", "name": "later.plb"}))
    assert troubled.get(path + "/content").status_code == 409
    assert troubled.finish(path).document["state"] == "succeeded"
    assert troubled.get(path + "/content").status_code == 200
    created = troubled.run({"action": "create_new", "name": "later2.plb"})
    assert troubled.get(created.path + "/content").status_code == 404


def test_upload_reaches_the_system_after_the_commit_alone(lab: Lab) -> None:
    content = os.urandom(2_500_000)
    response = lab.put({"action": "upload", "name": "up.plb", "size": len(content)})
    assert (response.status_code, response.json()["state"]) == (202, "awaiting_content")
    path = lab.path_of(response)
    stored = lab.request("PUT", path + "/content", data=content)
    digest = hashlib.sha256(content).hexdigest()
    assert (stored.status_code, stored.json()) == (200, {"size": len(content), "sha256": digest})
    assert not (lab.backups() / "up.plb").exists()
    for _ in range(2):  # repeating it changes nothing
        assert lab.request("PUT", path + "/commit", json={"sha256": digest}).status_code in (200, 202)
    answer = lab.finish(path)
    assert answer.document["result"] == {"name": "up.plb", "size": len(content), "sha256": digest}
    assert (lab.backups() / "up.plb").read_bytes() == content
    assert lab.request("PUT", path + "/content", data=content).status_code == 409
    assert not [name for name in spool_files(lab) if name.endswith(".in")]


def test_commit_of_another_digest_drops_the_bytes(lab: Lab) -> None:
    path = lab.path_of(lab.put({"action": "upload", "name": "flipped.plb", "size": 5}))
    assert lab.request("PUT", path + "/commit", json={"sha256": "0" * 64}).status_code == 409
    lab.request("PUT", path + "/content", data=b"hello")
    response = lab.request("PUT", path + "/commit", json={"sha256": "0" * 64})
    assert (response.status_code, response.json()["kind"]) == (422, "digest_mismatch")
    assert (
        lab.request("PUT", path + "/commit", json={"sha256": hashlib.sha256(b"hello").hexdigest()}).status_code == 409
    )
    assert not (lab.backups() / "flipped.plb").exists()
    lab.request("PUT", path + "/content", data=b"hello")
    lab.request("PUT", path + "/commit", json={"sha256": hashlib.sha256(b"hello").hexdigest()})
    assert lab.finish(path).document["state"] == "succeeded"


def test_content_length_must_be_the_size(lab: Lab) -> None:
    path = lab.path_of(lab.put({"action": "upload", "name": "length.plb", "size": 5}))
    assert lab.request("PUT", path + "/content", data=b"hell").json()["kind"] == "length_mismatch"
    assert lab.request("PUT", path + "/content", data=iter([b"hello"])).status_code == 411
    assert lab.request("DELETE", path).status_code == 200
    assert lab.request("PUT", path + "/content", data=b"hello").status_code == 409


def test_body_that_ends_early_leaves_nothing(lab: Lab) -> None:
    path = lab.path_of(lab.put({"action": "upload", "name": "early.plb", "size": 500_000}))
    login = lab.request("GET", path).request.headers["Authorization"]
    login = login.decode() if isinstance(login, bytes) else login
    head = f"PUT {path}/content HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\nContent-Length: 500000\r\n\r\n"
    lab.raw(head.encode() + b"x" * 400_000, seconds=0.5)
    deadline = time.monotonic() + 5
    while [name for name in spool_files(lab) if name.endswith(".in")]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert lab.get(path).json()["state"] == "awaiting_content"
    assert lab.request("PUT", path + "/content", data=b"y" * 500_000).status_code == 200


def test_upload_never_overwrites_unless_told(lab: Lab) -> None:
    content = lab.create("precious.plb")
    response = lab.put({"action": "upload", "name": "precious.plb", "size": 3})
    assert (response.status_code, response.json()["kind"]) == (409, "backup_exists")
    assert lab.get(lab.path_of(response)).status_code == 404
    path = lab.path_of(lab.put({"action": "upload", "name": "raced.plb", "size": 3}))
    raced = lab.create("raced.plb")
    lab.request("PUT", path + "/content", data=b"abc")
    lab.request("PUT", path + "/commit", json={"sha256": hashlib.sha256(b"abc").hexdigest()})
    assert lab.finish(path).kind == "backup_exists"
    assert (lab.backups() / "raced.plb").read_bytes() == raced
    assert lab.upload("precious.plb", b"new content", replace=True).document["state"] == "succeeded"
    assert (lab.backups() / "precious.plb").read_bytes() == b"new content" != content


def test_empty_and_too_large_uploads_are_refused(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"upload_bytes": 1000, "spool_bytes": 1500})
    lab.start()
    for size, status, kind in ((0, 422, "empty_content"), (1001, 413, "too_large")):
        response = lab.put({"action": "upload", "name": "a.plb", "size": size})
        assert (response.status_code, response.json()["kind"]) == (status, kind)
    first = lab.put({"action": "upload", "name": "a.plb", "size": 1000})
    assert first.status_code == 202
    assert lab.request("PUT", lab.path_of(first) + "/content", data=bytes(1000)).status_code == 200
    response = lab.put({"action": "upload", "name": "b.plb", "size": 1000})
    assert (response.status_code, response.json()["kind"]) == (507, "spool_full")
    assert int(response.headers["retry-after"]) > 0
    lab.request("DELETE", lab.path_of(first))
    assert lab.put({"action": "upload", "name": "b.plb", "size": 1000}).status_code == 202


def test_short_download_is_never_good(troubled: Lab) -> None:
    troubled.create("short.plb")
    troubled.trouble(download="short")
    answer = troubled.run({"action": "download", "name": "short.plb"})
    assert (answer.document["state"], answer.kind) == ("failed", "transfer_incomplete")
    assert troubled.get(answer.path + "/content").status_code == 409


def test_short_upload_is_removed_again(troubled: Lab) -> None:
    troubled.trouble(upload="short")
    answer = troubled.upload("short-up.plb", b"0123456789")
    assert (answer.document["state"], answer.kind) == ("failed", "transfer_incomplete")
    assert not (troubled.backups() / "short-up.plb").exists()


@pytest.mark.parametrize("trouble", ["hang", "block", "lost"])
def test_download_that_breaks_is_failed_and_leaves_no_file(troubled: Lab, trouble: str) -> None:
    name = f"broken-{trouble}.plb"
    troubled.trouble()
    troubled.create(name)
    before = set(spool_files(troubled))
    troubled.trouble(download=trouble)
    answer = troubled.run({"action": "download", "name": name})
    kind = "unreachable" if trouble == "lost" else "time_limit"
    assert (answer.document["state"], answer.kind) == ("failed", kind)
    assert set(spool_files(troubled)) == before


def test_refused_replacement_leaves_the_old_backup(troubled: Lab) -> None:
    troubled.trouble()
    content = troubled.create("old.plb")
    troubled.trouble(upload="stale")
    answer = troubled.upload("old.plb", b"new", replace=True)
    assert (answer.document["state"], answer.kind) == ("failed", "new_data_committed")
    assert (troubled.backups() / "old.plb").read_bytes() == content


def test_old_backup_is_put_back_when_its_replacement_is_refused_for_good(troubled: Lab) -> None:
    troubled.trouble()
    content = troubled.create("valued.plb")
    troubled.trouble(upload="refuse")
    answer = troubled.upload("valued.plb", b"bad content", replace=True)
    assert (answer.document["state"], answer.kind) == ("failed", "replace_failed")
    assert "put back" in answer.document["problem"]["detail"]
    assert (troubled.backups() / "valued.plb").read_bytes() == content
    assert not [name for name in spool_files(troubled) if "part" in name]


def test_unfinished_uploads_end_and_free_their_room(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"content_seconds": 1, "owner_seconds": 1, "spool_bytes": 1000})
    lab.start()
    path = lab.path_of(lab.put({"action": "upload", "name": "a.plb", "size": 1000}, operation=str(uuid.uuid4())))
    lab.request("PUT", path + "/content", data=b"x" * 1000)
    time.sleep(2)
    assert lab.get(path).json()["problem"]["kind"] == "abandoned"
    assert spool_files(lab) == []
    assert lab.put({"action": "upload", "name": "b.plb", "size": 1000}).status_code == 202


@pytest.mark.parametrize("trouble", ["endless", "endless_thread"])
def test_download_that_outgrows_its_size_is_given_up_and_does_not_fill_the_disk(
    make_lab: Callable[..., Lab], trouble: str
) -> None:
    lab = make_lab()
    lab.start()
    lab.create("endless.plb")
    lab.trouble(download=trouble)
    answer = lab.run({"action": "download", "name": "endless.plb"})
    assert (answer.document["state"], answer.kind) == ("failed", "transfer_incomplete")
    assert spool_files(lab) == []
    for _ in range(5):
        time.sleep(0.3)
        assert disk_of_removed_files(lab) < 40_000_000
    lab.assert_no_session_is_left()
    assert lab.get("/healthz").json()["stuck_sessions"] == 0
    lab.trouble()
    assert lab.run({"action": "download", "name": "endless.plb"}).document["state"] == "succeeded"
    lab.stop()
    assert "never retrieved" not in lab.errors()


def disk_of_removed_files(lab: Lab) -> int:
    """Bytes on disk of deleted files that the gateway and its processes still hold open."""
    assert lab.process is not None
    total = 0
    for process in (lab.process.pid, *descendants(lab.process.pid)):
        with contextlib.suppress(OSError):
            for path in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(path.readlink()).endswith(" (deleted)"):
                        total += path.stat().st_blocks * 512
    return total


SMALL_DISK = """
import os, sys
script = 'mkdir "$1" && mount -t tmpfs -o size=1m none "$1" && shift && exec "$@"'
gateway = [sys.executable, "-m", "activelogic_gateway", *sys.argv[1:]]
os.execvp("unshare", ["unshare", "-m", "sh", "-c", script, "sh", os.environ["SMALL_DISK"], *gateway])
"""


def test_a_disk_that_fills_up_while_content_comes_is_507_and_harms_nothing(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(sdk="activelogic_embedded", limits={"spool_free_bytes": 1})
    state = lab.folder / "state"
    lab.program, lab.environment = ("-c", SMALL_DISK), {"SMALL_DISK": str(state)}
    lab.start()
    assert lab.process is not None
    path = lab.path_of(lab.put({"action": "upload", "name": "up.plb", "size": 400_000}))
    seen_by_gateway = Path(f"/proc/{lab.process.pid}/root{state}")
    filler = seen_by_gateway / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while stream.write(b"x" * 4096):
            pass
    assert list((seen_by_gateway / "spool").iterdir()) == []
    response = lab.request("PUT", path + "/content", data=b"y" * 400_000)
    assert (response.status_code, response.json()["kind"]) == (507, "spool_full")
    assert int(response.headers["retry-after"]) > 0
    assert list((seen_by_gateway / "spool").iterdir()) == []
    filler.unlink()
    assert lab.request("PUT", path + "/content", data=b"y" * 400_000).status_code == 200
