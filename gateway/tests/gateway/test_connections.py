# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that hold connections, send endless data or pipeline too many requests don't block other clients."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import cast

import pytest

from activelogic_gateway.connections import Connections, Slot
from activelogic_gateway.logs import AuditLog
from tests.harness.lab import PASSWORD, Lab
from tests.harness.watching import resident

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n"
LOGIN = b"Authorization: Basic " + base64.b64encode(b"admin:" + PASSWORD.encode()) + b"\r\n"
BACKUPS = b"GET /v1/systems/edge1/backups HTTP/1.1\r\nHost: gateway\r\n"
OPERATION = b"/v1/systems/edge1/operations/11111111-2222-3333-4444-555555555555"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ENDS = (ConnectionError, ssl.SSLError, TimeoutError)
SERVED_SECONDS = 2.0


def read_to_the_end(sock: ssl.SSLSocket) -> bytes:
    received = b""
    with contextlib.suppress(*ENDS):
        while piece := sock.recv(65536):
            received += piece
    return received


def test_trailers_are_no_headers(lab: Lab) -> None:
    request = BACKUPS + b"Connection: close\r\n" + CHUNKED
    assert lab.raw(request + LOGIN + b"\r\n0\r\nX-Trailer: yes\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert lab.raw(request + b"\r\n0\r\n" + LOGIN + b"\r\n").startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"0\r\n" + b"X: " + b"a" * 1000 + b"\r\n", id="one long trailer after the other"),
        pytest.param(b"0\r\nX: ", id="a trailer without an end"),
        pytest.param(b"1;", id="a chunk extension without an end"),
    ],
)
def test_framing_without_an_end_is_ended(make_lab: Callable[..., Lab], endless: bytes) -> None:
    """The data arrives while the gateway prepares the answer: it does not read the body, so no body timeout runs."""
    lab = _slow_lab(make_lab)
    with lab.connected() as sock:
        sock.sendall(BACKUPS + LOGIN + CHUNKED + b"\r\n" + endless)
        sent = 0
        with contextlib.suppress(*ENDS):
            while sent < 32 * 2**20:
                sock.sendall(b"a" * 65536 if not endless.endswith(b"\n") else (b"Y: " + b"a" * 4000 + b"\r\n") * 16)
                sent += 65536
    assert sent < 8 * 2**20


def _slow_lab(make_lab: Callable[..., Lab]) -> Lab:
    lab = make_lab()
    lab.start()
    lab.trouble(list="slow:3")
    return lab


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X: y\r\n" * 200 + b"\r\n", id="many headers"),
        pytest.param(b"X: y\r\n" * 200, id="many headers, not ended"),
    ],
)
def test_more_than_a_hundred_headers_are_refused(lab: Lab, head: bytes) -> None:
    assert lab.raw(HEALTH + head, seconds=3).startswith(b"HTTP/1.1 431 ")
    assert lab.raw(HEALTH + b"Connection: close\r\n" + b"X: y\r\n" * 90 + b"\r\n").startswith(b"HTTP/1.1 200 ")


def test_empty_lines_do_not_keep_a_connection(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"keep_alive_seconds": 1})
    lab.start()
    with lab.connected() as sock:
        sock.sendall(HEALTH + b"\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        with contextlib.suppress(*ENDS):
            while time.monotonic() - began < 6:
                sock.sendall(b"\r\n")
                sock.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    if not sock.recv(10):
                        break
        assert time.monotonic() - began < 3


def test_a_refused_body_that_ends_leaves_no_connection_without_a_clock(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"keep_alive_seconds": 1})
    lab.start()
    with lab.connected() as sock:
        sock.sendall(b"PUT " + OPERATION + b" HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 401 ")
        sock.sendall(b"hello")
        began = time.monotonic()
        read_to_the_end(sock)
        assert time.monotonic() - began < 3


def test_requests_far_ahead_of_their_answers_end_the_connection(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    with lab.connected() as sock:
        with contextlib.suppress(*ENDS):
            sock.sendall((BACKUPS + LOGIN + b"\r\n") * 2000)
        answer = read_to_the_end(sock)
    assert answer.count(b"HTTP/1.1 200 ") <= 2
    assert b"HTTP/1.1 4" not in answer  # the client could not match it to a request
    assert [line["event"] for line in lab.refusals("bad_request") if line["event"] != "request"] == ["refused"]


def test_one_request_ahead_is_answered(lab: Lab) -> None:
    last = BACKUPS + LOGIN + b"Connection: close\r\n\r\n"
    assert lab.raw(HEALTH + b"\r\n" + last).count(b"HTTP/1.1 200 ") == 2


IDLE: dict[str, bytes | None] = {
    "before the handshake": None,
    "after the handshake": b"",
    "in a head": HEALTH,
    "between requests": HEALTH + b"\r\n",
    "in a body without a login": b"PUT " + OPERATION + b" HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in IDLE.items()])
def test_idle_connections_of_an_address_keep_nobody_out(make_lab: Callable[..., Lab], sent: bytes | None) -> None:
    lab = make_lab(limits={"connections": 20, "connections_per_address": 15})
    lab.start()
    port = int(lab.url.rsplit(":", 1)[1])
    with ExitStack() as held:
        for _ in range(40):
            if sent is None:
                held.enter_context(socket.create_connection(("127.0.0.1", port)))
                continue
            sock = held.enter_context(lab.connected())
            sock.sendall(sent)
        for _ in range(3):
            began = time.monotonic()
            assert lab.get("/v1/systems/edge1/backups", headers={"Connection": "close"}).status_code == 200
            assert time.monotonic() - began < SERVED_SECONDS
        time.sleep(1.3)  # the log aggregates over a second
        ended = lab.refusals("too_many_connections", at_least=0)
        if sent in (None, b"", HEALTH):
            assert sum(line["outcome"]["connections"] for line in ended) >= 25
            assert {line["client"] for line in ended} == {"127.0.0.1"}


def test_clients_of_ipv4_have_shares_of_their_own_where_the_gateway_listens_to_both() -> None:
    connections = Connections(10, 5, cast("AuditLog", None))
    addresses = ("::ffff:192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    shares = [Slot(connections, each).share for each in addresses]
    assert shares == ["192.0.2.1", "192.0.2.2", "2001:db8::/64", "2001:db8::/64", "2001:db8:0:1::/64"]


def test_who_is_at_work_is_not_ended_and_who_comes_too_late_waits(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"connections": 6, "connections_per_address": 4})
    lab.start()
    lab.trouble(list="slow:2")
    answers: list[bytes] = []

    def ask(address: str) -> None:
        with lab.connected(address, timeout=20) as sock:
            sock.sendall(BACKUPS + LOGIN + b"Connection: close\r\n\r\n")
            answers.append(read_to_the_end(sock))

    crowd = [threading.Thread(target=ask, args=("127.0.0.1",)) for _ in range(6)]
    for thread in crowd:
        thread.start()
    time.sleep(0.7)
    began = time.monotonic()
    with lab.connected("127.0.0.2") as sock:  # another address has its own share
        sock.sendall(HEALTH + b"Connection: close\r\n\r\n")
        assert read_to_the_end(sock).startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - began < SERVED_SECONDS
    for thread in crowd:
        thread.join(20)
    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 200 "] * 6
    assert not lab.refusals("too_many_connections", at_least=0)


def test_who_finds_no_place_in_time_is_ended_and_the_log_says_so(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(limits={"connections": 2, "header_seconds": 1})
    lab.start()
    lab.trouble(list="slow:4")
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(lab.connected()).sendall(BACKUPS + LOGIN + b"\r\n")
        port = int(lab.url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as late:
            began = time.monotonic()
            assert late.recv(10) == b""
            assert 0.8 < time.monotonic() - began < 3
        ended = lab.refusals("too_many_connections")
    assert [(line["client"], line["outcome"]["connections"]) for line in ended] == [("127.0.0.1", 1)]


def test_connections_that_have_ended_leave_no_memory_behind(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.start()
    assert lab.process is not None
    pid = lab.process.pid

    def connect(times: int) -> None:
        for _ in range(times):
            with lab.connected() as sock, contextlib.suppress(*ENDS):
                sock.sendall(b"GET /" + b"a" * 400_000)
                read_to_the_end(sock)

    def crowd(times: int) -> int:
        threads = [threading.Thread(target=connect, args=(times,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return resident(pid)

    before = crowd(5)
    assert crowd(60) - before < 16 * 2**20


# Stopping the gateway


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_the_gateway_ends_without_waiting_for_clients_that_are_idle(make_lab: Callable[..., Lab], sent: bytes) -> None:
    lab = make_lab()
    lab.start()
    with lab.connected() as idle:
        idle.sendall(sent)
        if sent.endswith(b"\r\n\r\n"):
            assert idle.recv(1000).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        assert lab.stop() == 0
        assert time.monotonic() - began < 3
    assert "shutdown exceeded" not in lab.errors()
