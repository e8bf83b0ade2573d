# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the gateway's resources one client, user or system can use: bodies, spool, queues and sessions."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.lab import PASSWORD, Lab, add_user
from tests.harness.waiting import until

OTHER = {"user": "other", "password": "other-password-5521"}


@contextlib.contextmanager
def begun(
    lab: Lab, method: str, path: str, size: int, body: bytes, password: str = PASSWORD
) -> Iterator[ssl.SSLSocket]:
    """A request whose body has only begun."""
    login = base64.b64encode(f"admin:{password}".encode()).decode()
    head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Basic {login}\r\nContent-Length: {size}\r\n"
    context = ssl.create_default_context(cafile=str(lab.folder / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", int(lab.url.rsplit(":", 1)[1])), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        sock.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        yield sock


def status(sock: ssl.SSLSocket) -> int:
    return int(sock.recv(4096).split()[1])


def upload(lab: Lab, name: str, size: int, **login: str) -> str:
    response = lab.put({"action": "upload", "name": name, "size": size}, **login)
    assert response.status_code == 202, response.text
    return lab.path_of(response)


def spooled(lab: Lab) -> int:
    return sum(path.stat().st_size for path in (lab.folder / "state" / "spool").iterdir())


# Bodies


def test_a_login_is_checked_before_a_body_is_read(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    path = lab.path_of(lab.put({"action": "upload", "name": "up.plb", "size": 5000}))
    for target in (path, path + "/content", path + "/commit", path[:-4] + "beef"):
        with begun(lab, "PUT", target, 5000, b"", password=f"wrong{target[-4:]}") as sock:
            sock.settimeout(5)  # less than header_seconds, the timeout of a slow body
            assert status(sock) == 401


def test_a_gap_in_a_body_is_limited_whatever_came_before(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"stalled_seconds": 1})
    lab.start()
    path = upload(lab, "gap.plb", 10_000_000)
    began = time.monotonic()
    with begun(lab, "PUT", path + "/content", 10_000_000, bytes(4_000_000)) as sock:
        assert status(sock) == 408  # without waiting for the 3900 s that a slow body of this size may take
    assert time.monotonic() - began < 15
    until(lambda: spooled(lab) == 0)


# The spool


def test_every_reception_counts_and_is_ended_when_the_room_is_full(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"spool_bytes": 5_000_000})
    lab.start()
    paths = [upload(lab, f"{number}.plb", 4_000_000) for number in range(4)]
    with contextlib.ExitStack() as stack:
        socks = [
            stack.enter_context(begun(lab, "PUT", path + "/content", 4_000_000, b"")) for path in [*paths, paths[0]]
        ]
        until(lambda: len(list((lab.folder / "state" / "spool").iterdir())) == 5)
        for sock in socks:
            with contextlib.suppress(OSError):  # the gateway may have closed the connection
                sock.sendall(bytes(3_900_000))
        until(lambda: spooled(lab) <= 5_000_000)
        for _look in range(20):
            assert spooled(lab) <= 5_000_000
            time.sleep(0.05)
    until(lambda: spooled(lab) == 0)
    for path in paths:
        assert lab.get(path).json()["state"] == "awaiting_content"
    assert lab.request("PUT", paths[1] + "/content", data=bytes(4_000_000)).status_code == 200
    refused = lab.request("PUT", paths[2] + "/content", data=bytes(4_000_000))
    assert (refused.status_code, refused.json()["kind"]) == (507, "spool_full")
    assert lab.request("DELETE", paths[1]).status_code == 200
    assert lab.request("PUT", paths[2] + "/content", data=bytes(4_000_000)).status_code == 200


def test_an_upload_without_a_byte_takes_no_room(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"spool_bytes": 500_000})
    lab.start()
    for number in range(5):
        upload(lab, f"{number}.plb", 490_000)
    lab.create("there.plb")
    assert lab.run({"action": "download", "name": "there.plb"}).document["state"] == "succeeded"


def test_users_and_systems_have_quotas_of_their_own(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"spool_bytes_per_user": 1000, "spool_bytes_per_system": 1500})
    lab.start()
    add_user(lab, "edge1", OTHER["user"], OTHER["password"])

    def put(name: str, size: int, system: str = "edge1", **login: str) -> tuple[int, str]:
        response = lab.put({"action": "upload", "name": name, "size": size}, system=system, **login)
        if response.status_code == 202:
            response = lab.request("PUT", lab.path_of(response) + "/content", data=bytes(size), **login)
        return response.status_code, response.text

    assert put("a.plb", 800)[0] == 200
    refused = put("b.plb", 300)
    assert refused[0] == 507
    assert "user admin of system edge1 has 200 bytes left" in refused[1]
    assert put("c.plb", 600, **OTHER)[0] == 200
    refused = put("d.plb", 200, **OTHER)
    assert refused[0] == 507
    assert "system edge1 has 100 bytes left" in refused[1]
    assert put("e.plb", 900, system="edge2")[0] == 200


def test_an_upload_without_a_byte_ends_soon_however_often_it_is_asked_about(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"first_byte_seconds": 1, "owner_seconds": 1})
    lab.start()
    path = upload(lab, "idle.plb", 5)
    until(lambda: lab.get(path).json()["state"] == "failed")
    assert lab.get(path).json()["problem"]["kind"] == "abandoned"


def test_a_user_has_so_many_unfinished_uploads(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"unfinished_uploads_per_user": 2})
    lab.start()
    add_user(lab, "edge1", OTHER["user"], OTHER["password"])
    first = upload(lab, "a.plb", 5)
    upload(lab, "b.plb", 5)
    response = lab.put({"action": "upload", "name": "c.plb", "size": 5})
    assert (response.status_code, response.json()["kind"]) == (503, "too_busy")
    upload(lab, "d.plb", 5, **OTHER)
    lab.request("DELETE", first)
    upload(lab, "c.plb", 5)


# Queues


def test_a_full_queue_has_room_for_one_of_each_other_user(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"waiting_writes_per_system": 2})
    lab.start()
    add_user(lab, "edge1", OTHER["user"], OTHER["password"])
    lab.trouble(create_new="hang")
    statuses = [lab.put({"action": "create_new", "name": f"{number}.plb"}).status_code for number in range(5)]
    assert statuses == [202, 202, 202, 503, 503]
    for name, expected in (("x.plb", 202), ("y.plb", 503)):
        assert lab.put({"action": "create_new", "name": name}, **OTHER).status_code == expected


# Sessions


def test_a_read_ends_with_its_client(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"sessions": 1})
    lab.start()
    lab.trouble(list="hang")
    with begun(lab, "GET", "/v1/systems/edge1/backups", 0, b""):
        until(lambda: "list" in lab.calls())
        assert lab.get("/v1/systems/edge2/backups").status_code == 503
    lab.trouble()
    until(lambda: lab.get("/v1/systems/edge2/backups").status_code == 200)  # without waiting for read_seconds


def test_a_system_that_hangs_at_login_leaves_the_sessions_of_others(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"sessions": 10, "logins_per_system": 3, "read_seconds": 12})
    lab.start()
    lab.trouble(**{"connect@edge1": "hang"})
    with ThreadPoolExecutor(12) as pool:
        hanging = [
            pool.submit(lambda n: lab.get("/v1/systems/edge1", user=f"u{n}").status_code, number)
            for number in range(12)
        ]
        until(lambda: lab.calls().count("connect") == 3)
        for _read in range(5):
            began = time.monotonic()
            assert lab.get("/v1/systems/edge2").status_code == 200
            assert time.monotonic() - began < 2
        assert sorted(each.result() for each in hanging) == [503] * 9 + [504] * 3


@pytest.mark.parametrize("most", [2])
def test_an_address_has_a_share_of_logins(make_lab: Callable[..., Lab], most: int) -> None:
    lab = make_lab(limits={"logins_per_address": most, "read_seconds": 8})
    lab.start()
    lab.trouble(connect="hang")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: lab.get(f"/v1/systems/edge{n % 2 + 1}", user=f"u{n}").status_code, range(4)))
    assert sorted(found) == [503] * (4 - most) + [504] * most
