# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that the server refuses before routing; over raw sockets, because a client library would hide details."""

from __future__ import annotations

import base64
import signal
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.harness.lab import PASSWORD, Lab

HEALTH = b"GET /healthz HTTP/1.1\r\n"
HOST = b"Host: gateway\r\n"
LOGIN = b"Authorization: Basic " + base64.b64encode(b"admin:" + PASSWORD.encode()) + b"\r\n"


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


def test_a_plain_request_is_answered(lab: Lab) -> None:
    """Control for all tests below."""
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
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="packed TE"
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", id="two TE"
        ),
        pytest.param(
            b"POST /healthz HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="TE in 1.0"
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="no chunk size"
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
            id="chunks with bare line feeds",
        ),
        pytest.param(HEALTH + HOST + b"Content-Length: 5, 5\r\n\r\nhello", id="list of lengths"),
        pytest.param(HEALTH + HOST + b"Content-Length: 5\r\n" * 2 + b"\r\nhello", id="one length twice"),
        pytest.param(HEALTH + HOST + b"Content-Length: 0x5\r\n\r\nhello", id="length in hex"),
        pytest.param(HEALTH + HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", id="length beyond 64 bits"),
        pytest.param(HEALTH + b"Host: a b\r\n\r\n", id="host with a space"),
        pytest.param(HEALTH + b"Host:\r\n\r\n", id="empty host"),
        pytest.param(HEALTH + HOST + b"X: a\0b\r\n\r\n", id="NUL in a header"),
        pytest.param(b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n", id="HTTP/2.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 with prior knowledge"),
        pytest.param(b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n", id="method in small letters"),
        pytest.param(b"GET healthz HTTP/1.1\r\n" + HOST + b"\r\n", id="path without a slash"),
        pytest.param(b"CONNECT gateway:443 HTTP/1.1\r\n" + HOST + b"\r\n", id="CONNECT"),
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
    "path",
    [
        b"/v1/systems/edge1%2fbackups",
        b"/v1/systems/edge1%5cbackups",
        b"/v1/systems/edge1\\backups",
        b"/v1/systems/x/../edge1",
        b"/v1/systems/x/%2e%2e/edge1",
        b"/v1/systems/edge1/",
        b"//v1/systems/edge1",
        b"/v1/systems/edge1%00",
    ],
)
def test_quoted_separators_lead_nowhere(lab: Lab, path: bytes) -> None:
    assert lab.get("/v1/systems/edge1").status_code == 200  # after a successful login, unknown systems give 404
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
        ("application/json", b"", 400),
        ("application/json", b"\xef\xbb\xbf{}", 400),
        ("application/json", b'{"action": "upload", "name": "a", "size": ' + b"1" * 5000 + b"}", 400),
        ("application/json", b'{"action": "upload", "name": "a", "size": 1e400}', 422),
        ("application/json", b"null", 422),
        ("application/json; charset=utf-8", b'{"action": "remove", "name": ""}', 422),
    ],
)
def test_what_is_no_json_is_refused(lab: Lab, content_type: str, body: bytes, expected: int) -> None:
    path = "/v1/systems/edge1/operations/11111111-2222-3333-4444-555555555555"
    assert lab.request("PUT", path, data=body, headers={"Content-Type": content_type}).status_code == expected


def test_packed_bodies_are_refused(lab: Lab) -> None:
    response = lab.put({"action": "create_new", "name": "packed.plb"}, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, response.json()["kind"]) == (415, "unsupported_media_type")
    assert lab.get(lab.path_of(response)).status_code == 404


def test_answers_are_never_packed(lab: Lab) -> None:
    response = lab.get("/v1/systems/edge1/operations", headers={"Accept-Encoding": "gzip, br, zstd"})
    assert response.status_code == 200
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
def test_no_connection_becomes_another_protocol(lab: Lab, upgrade: bytes) -> None:
    headers = b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert status(lab.raw(HEALTH + HOST + headers, seconds=1)) == 200


def test_who_expects_100_continue_need_not_send_what_is_refused(lab: Lab) -> None:
    target = b"/v1/systems/edge1/operations/11111111-2222-3333-4444-666666666666/content"
    head = b"PUT " + target + b" HTTP/1.1\r\n" + HOST + LOGIN + b"Expect: 100-continue\r\nContent-Length: 99\r\n\r\n"
    assert status(lab.raw(head, seconds=2)) == 404


def test_two_logins_in_one_request_are_none(lab: Lab) -> None:
    head = b"GET /v1/systems/edge1 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n"
    assert status(lab.raw(head + LOGIN + b"\r\n")) == 200
    assert status(lab.raw(head + LOGIN + LOGIN + b"\r\n")) == 401


def test_unknown_query_parameters_are_refused(lab: Lab) -> None:
    for path in ("/v1/systems/edge1?x=1", "/v1/systems/edge1/backups?wait=1", "/v1/systems/edge1?"):
        assert lab.get(path).status_code == (200 if path.endswith("?") else 422), path


@pytest.mark.parametrize("wait", ["61", "-1", "1_0", "nan", "inf", "", "+1", "0x1", "\u0661", "1&wait=1", "1&x=1"])
def test_waits_that_are_none_are_422(lab: Lab, wait: str) -> None:
    path = lab.run({"action": "download", "name": "missing.plb"}).path
    assert lab.get(path + "?wait=1.5e1").status_code == 200
    response = lab.get(path + "?wait=" + wait)
    assert (response.status_code, response.json()["kind"]) == (422, "invalid_request")


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


def test_headers_that_trickle_in_are_ended(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"header_seconds": 1})
    lab.start()
    with lab.connected() as sock:
        sock.settimeout(0.2)
        began = time.monotonic()
        answer = b""
        for each in HEALTH + b"X: " + b"x" * 100:
            sock.sendall(bytes([each]))
            try:
                answer = sock.recv(4096)
                break
            except TimeoutError:
                continue
    assert status(answer) == 408
    assert time.monotonic() - began < 3


def test_silence_instead_of_a_handshake_and_plain_http_are_ended(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"header_seconds": 1})
    lab.start()
    port = int(lab.url.rsplit(":", 1)[1])
    for sent in (b"", HEALTH + HOST + b"\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            plain.sendall(sent)
            with suppress(ConnectionResetError):
                assert b"HTTP/" not in plain.recv(4096)
    assert lab.get("/healthz").status_code == 200


def test_a_gateway_that_ends_takes_nothing_new_and_says_when_to_ask_again(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    lab.trouble(create_new="slow:3")
    running = lab.path_of(lab.put({"action": "create_new", "name": "running.plb"}))
    lab.wait_until_running(running)
    body = b'{"action": "create_new", "name": "late.plb"}'
    target = running.encode()[:-4] + b"beef"
    with lab.connected() as sock:
        head = b"PUT " + target + b" HTTP/1.1\r\n" + HOST + LOGIN + b"Content-Type: application/json\r\n"
        sock.sendall(head + b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body[:5])
        time.sleep(0.3)
        assert lab.process is not None
        lab.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        sock.sendall(body[5:])
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert status(answer) == 503
    assert b"retry-after: 5\r\n" in answer.lower()
    assert b'"shutting_down"' in answer
    assert lab.stop() == 0
    assert {path.name for path in lab.backups().iterdir()} == {"running.plb"}


def test_a_body_of_a_byte_a_second_is_ended(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"stalled_seconds": 2})
    lab.start()
    path = lab.path_of(lab.put({"action": "upload", "name": "slow.plb", "size": 100})).encode()
    with lab.connected() as sock:
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


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_tls_is_refused(lab: Lab, version: str) -> None:
    port = int(lab.url.rsplit(":", 1)[1])
    assert _handshake(port, "TLSv1_2") == "TLSv1.2"
    with _old_server(lab) as control:
        assert _handshake(control, version) == version.replace("_", ".")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _handshake(port, version)


@contextmanager
def _old_server(lab: Lab) -> Iterator[int]:
    """The port of a server that accepts any TLS version, to prove that the client of these tests supports it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.load_cert_chain(lab.folder / "gateway.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            plain, _ = server.accept()
            with plain, context.wrap_socket(plain, server_side=True) as sock:
                sock.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(5)


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
