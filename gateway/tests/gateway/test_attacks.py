# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clients attack a gateway with default limits, from the same address as legitimate clients.

During an attack, a healthy system is served, the gateway and its fork server keep running, and the gateway's memory
does not grow; the attack leaves nothing behind.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import resource
import signal
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.lab import PASSWORD, Lab
from tests.harness.watching import MostMemory, resident, served_meanwhile

SECONDS = float(os.environ.get("ATTACK_SECONDS", "2"))
MOST_GROWTH = 64 * 1024 * 1024
ENDS = (OSError, TimeoutError, ssl.SSLError)

Attack = Callable[["Attacker"], None]
ATTACKS: dict[str, tuple[Attack, int]] = {}
"""What each attacker repeats, and the number of attackers."""


def attack(crowd: int) -> Callable[[Attack], Attack]:
    def register(function: Attack) -> Attack:
        ATTACKS[function.__name__] = (function, crowd)
        return function

    return register


def login(password: str = PASSWORD, user: str = "admin") -> bytes:
    return b"Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()) + b"\r\n"


def head(method: str, path: str, *headers: bytes) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n".encode() + b"".join(headers) + b"\r\n"


class Attacker(threading.Thread):
    """Attacks until its time is up."""

    def __init__(self, lab: Lab, function: Attack, number: int) -> None:
        super().__init__(daemon=True)
        self.lab = lab
        self.number = number
        self.chance = random.Random(number)
        self._function = function
        self._deadline = time.monotonic() + SECONDS
        self._context = ssl.create_default_context(cafile=str(lab.folder / "ca.pem"))
        self.address = ("127.0.0.1", int(lab.url.rsplit(":", 1)[1]))
        self.times = 0

    def run(self) -> None:
        while self.goes_on():
            with contextlib.suppress(*ENDS):
                self._function(self)
            self.times += 1
            time.sleep(0.01)

    def goes_on(self) -> bool:
        return time.monotonic() < self._deadline

    def wait(self) -> None:
        """Hold open connections until the attack ends."""
        time.sleep(max(0.0, self._deadline - time.monotonic()))

    def make_ill(self, call: str, trouble: str) -> None:
        """Make the package misbehave for edge2; one attacker sets this for all."""
        if self.number == self.times == 0:
            self.lab.trouble(**{f"{call}@edge2": trouble})

    def plain(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=max(0.1, self._deadline - time.monotonic()))

    @contextlib.contextmanager
    def connected(self) -> Iterator[ssl.SSLSocket]:
        with self.plain() as plain, self._context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
            yield sock

    def send(self, data: bytes) -> None:
        """Send data, then read until nothing arrives for a while."""
        with self.connected() as sock:
            sock.sendall(data)
            sock.settimeout(0.3)
            while self.goes_on() and sock.recv(65536):
                pass

    def pour(self, sock: socket.socket, piece: bytes) -> None:
        """Send the same bytes repeatedly."""
        while self.goes_on():
            sock.sendall(piece)


# Without a login


@attack(60)
def connections_that_say_nothing(attacker: Attacker) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(5):
            held.enter_context(attacker.plain())
        attacker.wait()


@attack(1)
def a_flood_of_connections(attacker: Attacker) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(2000):
            held.enter_context(attacker.plain())
        attacker.wait()


@attack(60)
def half_a_handshake(attacker: Attacker) -> None:
    with attacker.plain() as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        attacker.wait()


@attack(20)
def noise_in_place_of_tls(attacker: Attacker) -> None:
    with attacker.plain() as sock:
        attacker.pour(sock, attacker.chance.randbytes(4096))


@attack(60)
def heads_of_a_byte_now_and_then(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        for byte in head("GET", "/healthz"):
            sock.sendall(bytes([byte]))
            time.sleep(0.1)


@attack(20)
def heads_without_an_end(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        sock.sendall(head("GET", "/healthz")[:-2])
        attacker.pour(sock, b"X-" + b"a" * 500 + b": " + b"b" * 3000 + b"\r\n")


@attack(20)
def request_line_without_an_end(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        sock.sendall(b"GET /")
        attacker.pour(sock, b"a" * 16384)


@attack(40)
def empty_lines_for_ever(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        sock.sendall(head("GET", "/healthz"))
        while attacker.goes_on():
            sock.sendall(b"\r\n")
            time.sleep(0.05)


@attack(20)
def trailers_without_an_end(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        sock.sendall(head("GET", "/v1/systems/edge1", b"Transfer-Encoding: chunked\r\n") + b"0\r\n")
        attacker.pour(sock, b"X: " + b"a" * 8000 + b"\r\n")


@attack(20)
def chunk_extensions_without_an_end(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        path = f"/v1/systems/edge1/operations/{uuid.uuid4()}"
        sock.sendall(head("PUT", path, b"Transfer-Encoding: chunked\r\n") + b"1;")
        attacker.pour(sock, b"a" * 16384)


@attack(20)
def requests_far_ahead(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        attacker.pour(sock, head("GET", "/healthz") * 200)


@attack(20)
def answers_that_nobody_reads(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        for _ in range(2000):
            sock.sendall(head("GET", "/openapi.json"))
        attacker.wait()


@attack(40)
def bodies_without_a_login(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        path = f"/v1/systems/edge1/operations/{uuid.uuid4()}/content"
        sock.sendall(head("PUT", path, b"Content-Length: 8000000000\r\n"))
        attacker.pour(sock, b"a" * 65536)


@attack(20)
def expectations(attacker: Attacker) -> None:
    path = f"/v1/systems/edge1/operations/{uuid.uuid4()}"
    attacker.send(head("PUT", path, b"Content-Length: 10\r\n", b"Expect: 100-continue\r\n"))


@attack(20)
def resets_in_the_middle(attacker: Attacker) -> None:
    with attacker.connected() as sock:
        sock.sendall(head("GET", "/v1/systems/edge1/backups", login()))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@attack(20)
def half_closed_connections(attacker: Attacker) -> None:
    with attacker.plain() as sock:
        sock.shutdown(socket.SHUT_WR)
        attacker.wait()


SMUGGLED = (
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET\x00/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT edge1:22 HTTP/1.1\r\nHost: edge1:22\r\n\r\n",
    b"GET http://edge1/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
)


@attack(10)
def what_is_no_request(attacker: Attacker) -> None:
    attacker.send(attacker.chance.choice(SMUGGLED))


@attack(10)
def paths_that_lead_elsewhere(attacker: Attacker) -> None:
    for word in ("..", "%2e%2e", "..%2f..%2f", "%00", "a" * 9000, "%ff%fe", "edge1%2f..", "%25252e"):
        attacker.send(head("GET", f"/v1/systems/{word}/operations/../../{word}/content", login()))


@attack(20)
def logins_of_a_wrong_form(attacker: Attacker) -> None:
    wrong = (b"Basic", b"Basic ====", b"Basic " + b"A" * 60000, b"Bearer a", b"Basic " + base64.b64encode(b"\xff:\xfe"))
    for each in wrong:
        attacker.send(head("GET", "/v1/systems/edge1", b"Authorization: " + each + b"\r\n"))


@attack(40)
def guesses(attacker: Attacker) -> None:
    system, user = f"edge{1 + attacker.chance.randrange(2)}", f"guest{attacker.chance.randrange(3)}"
    attacker.send(head("GET", f"/v1/systems/{system}", login(str(attacker.chance.random()), user)))


@attack(40)
def guesses_of_one_password(attacker: Attacker) -> None:
    attacker.send(head("GET", "/v1/systems/edge1", login(str(attacker.chance.random()))))


# With a valid login, and with faulty systems and packages; edge2 is the faulty one


@attack(10)
def documents_that_are_bombs(attacker: Attacker) -> None:
    for body in (
        b"[" * 60000,
        b'{"a":' * 12000,
        b'{"action": "upload", "name": "a.plb", "size": ' + b"9" * 60000 + b"}",
        b'{"action": "create_new", "name": "' + b"a" * 60000 + b'"}',
        b"{" + b",".join(b'"%d": 1' % number for number in range(6000)) + b"}",
        b"\xff\xfe\x00",
        b"1e999999999",
    ):
        path = f"/v1/systems/edge2/operations/{uuid.uuid4()}"
        attacker.send(
            head("PUT", path, login(), b"Content-Type: application/json\r\n", b"Content-Length: %d\r\n" % len(body))
            + body
        )


@attack(60)
def logins_at_a_system_that_hangs(attacker: Attacker) -> None:
    attacker.make_ill("connect", "hang")
    attacker.send(head("GET", "/v1/systems/edge2/backups", login()))


def _ill(trouble: str) -> Attack:
    def listings(attacker: Attacker) -> None:
        attacker.make_ill("list", trouble)
        attacker.send(head("GET", "/v1/systems/edge2/backups", login(), b"Connection: close\r\n"))

    listings.__name__ = f"listings_of_a_package_that_does_{trouble.partition(':')[0]}"
    return listings


for harm in ("segfault", "exit", "killed", "interpreter", "print", "children", "huge", "endless", "many:5000"):
    attack(6)(_ill(harm))


def _ask(attacker: Attacker, size: int) -> str:
    path = f"/v1/systems/edge2/operations/{uuid.uuid4()}"
    body = json.dumps({"action": "upload", "name": f"{uuid.uuid4()}.plb", "size": size}).encode()
    attacker.send(
        head(
            "PUT",
            path,
            login(),
            b"Connection: close\r\n",
            b"Content-Type: application/json\r\n",
            b"Content-Length: %d\r\n" % len(body),
        )
        + body
    )
    return path


@attack(20)
def rooms_that_nobody_fills(attacker: Attacker) -> None:
    _ask(attacker, 8 * 2**30)


@attack(20)
def content_of_a_byte_now_and_then(attacker: Attacker) -> None:
    path = _ask(attacker, 10_000_000)
    with attacker.connected() as sock:
        sock.sendall(head("PUT", path + "/content", login(), b"Content-Length: 10000000\r\n"))
        while attacker.goes_on():
            sock.sendall(b"a")
            time.sleep(0.2)


@attack(8)
def content_that_is_too_long(attacker: Attacker) -> None:
    path = _ask(attacker, 1000)
    with attacker.connected() as sock:
        sock.sendall(head("PUT", path + "/content", login(), b"Transfer-Encoding: chunked\r\n"))
        attacker.pour(sock, b"10000\r\n" + b"a" * 65536 + b"\r\n")


@attack(60)
def polls_that_are_left(attacker: Attacker) -> None:
    path = f"/v1/systems/edge2/operations/{uuid.UUID(int=7)}"
    with attacker.connected() as sock:
        sock.sendall(head("GET", path + "?wait=20", login()))
        time.sleep(attacker.chance.random())


@attack(1)
def the_process_that_sessions_are_forked_from_is_killed(attacker: Attacker) -> None:
    """The OOM killer may do this, but no client. It happens once, because each lost session fails a request."""
    if attacker.times == 0:
        time.sleep(SECONDS / 2)
        os.kill(attacker.lab.fork_server(), signal.SIGKILL)


@pytest.mark.parametrize("name", ATTACKS)
def test_who_attacks_hurts_nobody_else(make_lab: Callable[..., Lab], name: str) -> None:
    function, crowd = ATTACKS[name]
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most_files, 4096), most_files))
    lab = make_lab(limits={"read_seconds": 10})
    lab.start()
    assert lab.process is not None
    for system in ("edge1", "edge2"):
        assert lab.get(f"/v1/systems/{system}/backups").status_code == 200
    before, inside = resident(lab.process.pid), _files(lab)
    pid = lab.process.pid
    memory = MostMemory(lambda: resident(pid))
    memory.start()
    with served_meanwhile(lab, "edge1"):
        crowd_of_them = [Attacker(lab, function, number) for number in range(crowd)]
        for each in crowd_of_them:
            each.start()
        for each in crowd_of_them:
            each.join(SECONDS + 20)
    growth = memory.end() - before
    print(f"\n{name}: {sum(each.times for each in crowd_of_them)} times, memory {growth / 2**20:+.1f} MiB")
    assert growth <= MOST_GROWTH
    assert lab.process.poll() is None
    lab.trouble()
    for system in ("edge1", "edge2"):
        assert lab.get(f"/v1/systems/{system}/backups").status_code == 200
    lab.assert_no_session_is_left()
    assert _files(lab) <= inside
    assert PASSWORD not in lab.errors()
    lab.stop()


def _files(lab: Lab) -> set[Path]:
    """All files in the lab's folder, except the gateway's state and the files of the systems."""
    return {
        path
        for path in lab.folder.rglob("*")
        if path.relative_to(lab.folder).parts[0] not in ("state", "calls", "notes", "trouble.json", "systems")
    }
