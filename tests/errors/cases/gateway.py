# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No gateway is reached, or something else answers in its place."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler

from tests.errors.odd_gateway import document, hang_up, plain
from tests.errors.scene import INFO, ODD_GATEWAY, Facts, Scene, case
from tests.harness.login import GATEWAY


@contextmanager
def listening(backlog: int = 5) -> Iterator[tuple[socket.socket, str]]:
    """A socket that accepts no connections, and its address as a URL."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(backlog)
        yield server, f"https://127.0.0.1:{server.getsockname()[1]}"


def closed_port() -> int:
    """A loopback port that nothing listens on."""
    with listening() as (server, _url):
        port: int = server.getsockname()[1]
        return port


@case("GATEWAY_NAME_UNKNOWN", GATEWAY)
def name_without_an_address(scene: Scene) -> Facts:
    scene.run(INFO, gateway_url="https://gateway.invalid:8443")
    return {"url": "https://gateway.invalid:8443"}


@case("GATEWAY_REFUSES", GATEWAY)
def nothing_listens(scene: Scene) -> Facts:
    url = f"https://127.0.0.1:{closed_port()}"
    scene.run(INFO, gateway_url=url)
    return {"url": url}


@case("GATEWAY_NOT_ACCEPTING", GATEWAY)
def queue_of_connections_is_full(scene: Scene) -> Facts:
    with ExitStack() as stack:
        server, url = stack.enter_context(listening(backlog=0))
        for _number in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        scene.run(INFO, gateway_url=url, connect_timeout=0.5)
    return {"url": url, "seconds": 0.5}


@case("GATEWAY_NOT_ACCEPTING", GATEWAY)
def connection_without_an_answer(scene: Scene) -> Facts:
    with listening() as (_server, url):
        scene.run(INFO, gateway_url=url, connect_timeout=0.5)
    return {"url": url, "seconds": 0.5}


@case("GATEWAY_SILENT", ODD_GATEWAY)
def request_without_an_answer(scene: Scene) -> Facts:
    over = threading.Event()
    scene.odd.answers["GET system"] = lambda _request: (over.wait(20), None)[1]
    scene.run(INFO, read_timeout=0.5)
    over.set()
    return {"url": scene.odd.url, "seconds": 0.5}


@case("GATEWAY_SLOW", ODD_GATEWAY)
def answer_that_drips(scene: Scene) -> Facts:
    over = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        with suppress(OSError):
            while not over.wait(0.1):
                request.wfile.write(b"X")

    scene.odd.answers["GET system"] = drip
    scene.run(INFO, connect_timeout=0.5, read_timeout=0.5)
    over.set()
    return {"url": scene.odd.url, "seconds": 1.5}


@case("GATEWAY_CONNECTION_LOST", ODD_GATEWAY)
def hung_up(scene: Scene) -> Facts:
    scene.odd.answers["GET system"] = hang_up
    scene.run(INFO)
    return {"url": scene.odd.url, "exception": "RemoteDisconnected"}


@case("GATEWAY_CONNECTION_LOST", ODD_GATEWAY)
def answer_that_breaks_off(scene: Scene) -> Facts:
    scene.odd.answers["GET system"] = plain(b'{"machineid": ', headers={"Content-Length": "100", "Connection": "close"})
    scene.run(INFO)
    return {"url": scene.odd.url, "exception": "IncompleteRead"}


@contextmanager
def proxy(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A proxy with the same answer to every request; yields its URL and the request heads that it received."""
    heads: list[bytes] = []

    def serve(server: socket.socket) -> None:
        while True:
            try:
                accepted, _address = server.accept()
            except OSError:
                return
            with accepted, suppress(OSError):
                accepted.settimeout(20)
                heads.append(accepted.recv(65536))
                accepted.sendall(answer)

    with listening() as (server, url):
        thread = threading.Thread(target=serve, args=[server], daemon=True)
        thread.start()
        yield url.replace("https:", "http:"), heads
        server.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@case("PROXY_UNUSABLE", GATEWAY)
def no_proxy_there(scene: Scene) -> Facts:
    scene.run(INFO, proxy_url=f"http://127.0.0.1:{closed_port()}")
    return {"why": "it refuses connections"}


@case("PROXY_UNUSABLE", GATEWAY)
def proxy_without_an_address(scene: Scene) -> Facts:
    scene.run(INFO, proxy_url="http://proxy.invalid:3128")
    return {"why": "its name can't be resolved"}


@case("PROXY_UNUSABLE", GATEWAY)
def proxy_that_forbids(scene: Scene) -> Facts:
    with proxy(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as (url, _heads):
        scene.run(INFO, proxy_url=url)
    return {"why": "it answers with status 403"}


@case("PROXY_LOGIN", GATEWAY)
def proxy_that_wants_a_login(scene: Scene) -> Facts:
    with proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as (url, heads):
        scene.run(INFO, proxy_url=url)
    assert heads
    assert b"authorization" not in b"".join(heads).lower()
    return {"wants": "wants a login"}


@case("PROXY_LOGIN", GATEWAY)
def proxy_that_refuses_the_login(scene: Scene) -> Facts:
    hidden = "proxy-Pa55wörd-of-the-test"
    scene.secrets.append(hidden)
    with proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as (url, heads):
        scene.run(INFO, proxy_url=url, proxy_username="operator", proxy_password=hidden)
    token = base64.b64encode(f"operator:{hidden}".encode())
    assert b"Proxy-Authorization: Basic " + token in heads[0]
    assert b"\r\nAuthorization" not in heads[0]
    return {"wants": "refuses the login of proxy_username"}


@case("GATEWAY_STATUS_BUSY", ODD_GATEWAY)
def nothing_behind_a_proxy(scene: Scene) -> Facts:
    scene.odd.answers["GET system"] = plain(b"<html>Bad Gateway</html>", 502)
    scene.run(INFO)
    return {"status": 502}


@case("GATEWAY_STATUS", ODD_GATEWAY)
def web_server_that_lacks_the_page(scene: Scene) -> Facts:
    scene.odd.answers["GET system"] = plain(b"<html>Not Found</html>", 404)
    scene.run(INFO)
    return {"status": 404}


@case("GATEWAY_REDIRECT", ODD_GATEWAY)
def moved(scene: Scene) -> Facts:
    scene.odd.answers["GET system"] = plain(b"", 307, headers={"Location": scene.odd.url})
    scene.run(INFO)
    assert scene.odd.asked == ["GET system"]
    return {"status": 307}


@case("LISTING_LONG", ODD_GATEWAY)
def one_backup_too_many(scene: Scene) -> Facts:
    scene.odd.answers["GET backups"] = document([{"name": f"{number}.plb", "size": 1} for number in range(100_001)])
    scene.run(INFO)
    return {"most": 100_000}


@case("IDENTITY_WRONG", ODD_GATEWAY)
def version_that_is_a_book(scene: Scene) -> Facts:
    scene.odd.answers["GET system"] = document({"machineid": "001122334455", "distversion": "2" * 256})
    scene.run(INFO)
    return {"what": "version", "most": 255}


def _wrong(name: str, key: str, answer: Callable[..., None], flaw: str) -> None:
    """A case with an invalid answer."""

    def bring_about(scene: Scene) -> Facts:
        scene.odd.answers[key] = answer
        scene.run(INFO)
        return {"flaw": flaw}

    bring_about.__name__ = name
    case("GATEWAY_ANSWER_WRONG", ODD_GATEWAY)(bring_about)


_wrong("no_json", "GET system", plain(b"<html>Welcome</html>"), "is not JSON")
_wrong("too_deep", "GET system", plain(b"[" * 200_000), "is not JSON")
_wrong("no_object", "GET system", document([]), "is not an object")
_wrong("no_machine", "GET system", document({"distversion": "1"}), "has no machineid")
_wrong("no_list", "GET backups", document({}), "is not a list")
_wrong("too_large", "GET system", plain(b" " * (256 * 1024 + 1)), "has more than 256 KB")
_wrong("no_size", "GET backups", document([{"name": "x.plb"}]), "has no size")
_wrong("too_much", "GET backups", plain(b" " * (64 * 1024 * 1024 + 1)), "has more than 64.0 MB")
