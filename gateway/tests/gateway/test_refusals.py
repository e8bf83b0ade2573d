# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server refuses before any route sees it; over raw sockets, where a client library would hide it."""

from __future__ import annotations

import base64
import socket
import ssl
import time
import warnings
from collections.abc import Callable

import pytest
from gateway_lab import PASSWORD, Lab

HEALTH = b"GET /healthz HTTP/1.1\r\n"
HOST = b"Host: gateway\r\n"
LOGIN = b"Authorization: Basic " + base64.b64encode(b"admin:" + PASSWORD.encode()) + b"\r\n"


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


def test_a_plain_request_is_answered(lab: Lab) -> None:
    """The control for all tests below."""
    assert status(lab.raw(HEALTH + HOST + b"Connection: close\r\n\r\n")) == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="CL-TE",
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            id="TE-CL",
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="unknown TE"
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            id="space before colon",
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", id="two lengths"
        ),
        pytest.param(b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nhello", id="signed length"),
        pytest.param(HEALTH + b"\r\n", id="no host"),
        pytest.param(HEALTH + HOST + HOST + b"\r\n", id="two hosts"),
        pytest.param(b"GET /healthz HTTP/1.0\r\n\r\n", id="1.0 without host"),
        pytest.param(b"GET /healthz HTTP/1.1\nHost: x\n\n", id="bare line feeds"),
        pytest.param(HEALTH + HOST + b"X: a\r\n b\r\n\r\n", id="folded header"),
        pytest.param(b"\x16\x03\x01 what\r\n\r\n", id="no HTTP"),
    ],
)
def test_ambiguous_requests_are_refused_and_the_connection_ends(lab: Lab, request_bytes: bytes) -> None:
    answer = lab.raw(request_bytes + HEALTH + HOST + b"\r\n", seconds=3)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in answer


def test_nothing_after_connection_close_is_answered(lab: Lab) -> None:
    answer = lab.raw(HEALTH + HOST + b"Connection: close\r\n\r\n" + HEALTH + HOST + b"\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_large_headers_are_refused(lab: Lab) -> None:
    assert status(lab.raw(HEALTH + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n")) == 431
    assert status(lab.raw(HEALTH + HOST + b"X: " + b"a" * 400_000)) == 431


def test_large_documents_are_refused(lab: Lab) -> None:
    path = b"/v1/systems/edge1/operations/11111111-2222-3333-4444-555555555555"
    head = b"PUT " + path + b" HTTP/1.1\r\n" + HOST + LOGIN + b"Connection: close\r\nContent-Type: application/json\r\n"
    assert status(lab.raw(head + b"Content-Length: 70000\r\n\r\n" + b" " * 70_000)) == 413


@pytest.mark.parametrize(
    "path", [b"/v1/systems/edge1%2fbackups", b"/v1/systems/edge1%5cbackups", b"/v1/systems/x/../edge1"]
)
def test_quoted_separators_lead_nowhere(lab: Lab, path: bytes) -> None:
    assert status(lab.raw(b"GET " + path + b" HTTP/1.1\r\n" + HOST + LOGIN + b"Connection: close\r\n\r\n")) == 404


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain", b"{}", 415),
        ("application/json", b"{", 400),
        ("application/json", b'{"action": "remove", "action": "remove"}', 400),
        ("application/json", b"\xff", 400),
        ("application/json", b"[" * 60_000, 400),
        ("application/json", b"NaN", 400),
    ],
)
def test_what_is_no_json_is_refused(lab: Lab, content_type: str, body: bytes, expected: int) -> None:
    path = "/v1/systems/edge1/operations/11111111-2222-3333-4444-555555555555"
    assert lab.request("PUT", path, data=body, headers={"Content-Type": content_type}).status_code == expected


def test_unknown_methods_name_the_known_ones(lab: Lab) -> None:
    response = lab.request("PATCH", "/v1/systems/edge1/operations/11111111-2222-3333-4444-555555555555")
    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET, PUT"


def test_no_documentation_pages_are_served(lab: Lab) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert lab.get(path).status_code == 404


def test_slow_headers_and_bodies_are_ended(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"header_seconds": 1, "stalled_seconds": 1})
    lab.start()
    for begun in (b"", b"GET /heal", HEALTH + HOST):
        began = time.monotonic()
        assert status(lab.raw(begun, seconds=10)) == 408
        assert 0.8 < time.monotonic() - began < 3
    path = lab.path_of(lab.put({"action": "upload", "name": "slow.plb", "size": 100})).encode()
    for target in (path, path + b"/content"):
        began = time.monotonic()
        head = (
            b"PUT "
            + target
            + b" HTTP/1.1\r\n"
            + HOST
            + LOGIN
            + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        )
        assert status(lab.raw(head + b"{", seconds=10)) == 408
        assert 0.8 < time.monotonic() - began < 3


def test_a_body_of_a_byte_a_second_is_ended(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"stalled_seconds": 2})
    lab.start()
    path = lab.path_of(lab.put({"action": "upload", "name": "slow.plb", "size": 100})).encode()
    context = ssl.create_default_context(cafile=str(lab.folder / "ca.pem"))
    port = int(lab.url.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        sock.sendall(b"PUT " + path + b"/content HTTP/1.1\r\n" + HOST + LOGIN + b"Content-Length: 100\r\n\r\n")
        sock.settimeout(1)
        answer = b""
        for _ in range(10):
            sock.sendall(b"x")
            try:
                answer = sock.recv(4096)
                break
            except TimeoutError:
                continue
    assert status(answer) == 408


def test_too_many_connections_are_closed_and_room_comes_back(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"connections": 3, "header_seconds": 30})
    lab.start()
    port = int(lab.url.rsplit(":", 1)[1])
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as late:
        assert late.recv(10) == b""
    for each in held:
        each.close()
    time.sleep(0.2)
    assert lab.get("/healthz").status_code == 200


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_tls_is_refused(lab: Lab, version: str) -> None:
    port = int(lab.url.rsplit(":", 1)[1])
    assert _handshake(port, "TLSv1_2") == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _handshake(port, version)


def _handshake(port: int, version: str) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
        with context.wrap_socket(plain) as sock:
            return sock.version()
