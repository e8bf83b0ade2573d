# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unusable certificates and keys, and failing TLS handshakes: with real files and real TLS."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trustme

from tests.errors.scene import INFO, ODD_GATEWAY, Facts, Scene, case
from tests.harness.login import GATEWAY

YEAR = datetime.timedelta(days=365)
NOW = datetime.datetime.now(datetime.timezone.utc)
TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


# Files


def make(scene: Scene, *options: str) -> None:
    """Run OpenSSL in the case's folder."""
    subprocess.run(["openssl", *options], cwd=scene.folder, check=True, capture_output=True, timeout=60)


class Files:
    """A CA and a client certificate, as files in the case's folder."""

    def __init__(self, scene: Scene, **validity: Any) -> None:
        self.folder = scene.folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.client = self.authority.issue_cert("operator@example.com", **validity)
        self.client.cert_chain_pems[0].write_to_path(self.folder / "client.pem")
        self.client.private_key_pem.write_to_path(self.folder / "client.key")

    def path(self, name: str, content: bytes | None = None) -> str:
        """The path of a file, which is first written if ``content`` is given."""
        if content is not None:
            (self.folder / name).write_bytes(content)
        return str(self.folder / name)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return (self.folder / name).read_bytes()


@contextmanager
def nobody_connects() -> Iterator[str]:
    """The URL of a server; at the end, nothing may have connected to it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        with suppress(BlockingIOError):
            accepted, _address = server.accept()
            accepted.close()
            raise AssertionError("something was sent")


def _in_der(scene: Scene, files: Files) -> str:
    make(scene, "x509", "-in", "ca.pem", "-outform", "DER", "-out", "x")
    return files.path("x")


def _pipe(_scene: Scene, files: Files) -> str:
    os.mkfifo(files.path("x"))
    return files.path("x")


def _endless(_scene: Scene, files: Files) -> str:
    os.truncate(files.path("x", b"x"), 2**40)
    return files.path("x")


WRONG_AUTHORITIES: dict[str, tuple[Callable[[Scene, Files], str], str]] = {
    "empty": (lambda _scene, files: files.path("x", b"\n"), "is empty"),
    "der": (
        _in_der,
        "is in DER or PKCS#12 format, not in PEM",
    ),
    "key": (lambda _scene, files: files.path("client.key"), "holds a key and no certificate"),
    "text": (lambda _scene, files: files.path("x", b"see the wiki"), "holds no certificate"),
    "cut": (lambda _scene, files: files.path("x", files.read("ca.pem")[:300]), "is damaged (pem lib)"),
    "utf16": (
        lambda _scene, files: files.path("x", files.read("ca.pem").decode("ascii").encode("utf-16")),
        "is text in UTF-16, which PEM is not",
    ),
    "folder": (
        lambda scene, _files: str(scene.archive),
        "is a folder without certificates that openssl rehash has named",
    ),
    "pipe": (
        _pipe,
        "is not a regular file",
    ),
    "endless": (
        _endless,
        "has more than 16777216 bytes",
    ),
}
"""Files that are invalid as ``ca_path``, and the expected reasons."""


def _wrong_authority(name: str, by_environment: bool) -> None:
    make_file, flaw = WRONG_AUTHORITIES[name]
    option = "REQUESTS_CA_BUNDLE" if by_environment else "ca_path"

    def bring_about(scene: Scene) -> Facts:
        path = make_file(scene, Files(scene))
        if by_environment:
            scene.environment["REQUESTS_CA_BUNDLE"] = path
        with nobody_connects() as url:
            scene.run(INFO, gateway_url=url, ca_path=None if by_environment else path)
        return {"option": option, "path": path, "flaw": flaw, "wanted": "the certificates of authorities"}

    bring_about.__name__ = f"authority_{name}_{option}"
    case("TLS_FILE_WRONG", GATEWAY)(bring_about)


for _name in WRONG_AUTHORITIES:
    _wrong_authority(_name, by_environment=False)
_wrong_authority("der", by_environment=True)


@case("TLS_FILE_WRONG", GATEWAY)
def revocations_as_authority(scene: Scene) -> Facts:
    files = Files(scene)
    files.path("key.pem", files.authority.private_key_pem.bytes())
    files.path("index", b"")
    files.path("conf", b"[ca]\ndefault_ca=x\n[x]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=1\n")
    make(scene, "ca", "-gencrl", "-config", "conf", "-keyfile", "key.pem", "-cert", "ca.pem", "-out", "crl.pem")
    with nobody_connects() as url:
        scene.run(INFO, gateway_url=url, ca_path=files.path("crl.pem"))
    return {"option": "ca_path", "path": files.path("crl.pem"), "flaw": "holds a revocation list and no certificate"}


@case("TLS_FILE_WRONG", GATEWAY)
def certificate_of_the_client_in_der(scene: Scene) -> Facts:
    files = Files(scene)
    make(scene, "x509", "-in", "client.pem", "-outform", "DER", "-out", "client.der")
    path = files.path("client.der")
    with nobody_connects() as url:
        scene.run(INFO, gateway_url=url, client_cert=path, client_key=files.path("client.key"))
    return {"option": "client_cert", "path": path, "flaw": "is in DER or PKCS#12 format, not in PEM"}


@case("TLS_FILE_WRONG", GATEWAY)
def key_in_place_of_the_certificate(scene: Scene) -> Facts:
    files = Files(scene)
    path = files.path("client.key")
    with nobody_connects() as url:
        scene.run(INFO, gateway_url=url, client_cert=path, client_key=path)
    return {"option": "client_cert", "path": path, "flaw": "holds a key and no certificate"}


@case("TLS_FILE_WRONG", GATEWAY)
def certificate_in_place_of_the_key(scene: Scene) -> Facts:
    files = Files(scene)
    path = files.path("client.pem")
    with nobody_connects() as url:
        scene.run(INFO, gateway_url=url, client_cert=path, client_key=path)
    return {"option": "client_key", "path": path, "flaw": "holds a certificate and no key", "wanted": "a key"}


@case("TLS_FILE_WRONG", GATEWAY)
def key_that_is_cut_off(scene: Scene) -> Facts:
    files = Files(scene)
    certificate, path = files.path("client.pem"), files.path("cut.key", files.read("client.key")[:150])
    with nobody_connects() as url:
        scene.run(INFO, gateway_url=url, client_cert=certificate, client_key=path)
    return {"option": "client_key", "path": path, "flaw": f"can't be used together with {certificate} (pem lib)"}


@case("CLIENT_KEY_MISSING", GATEWAY)
def certificate_alone(scene: Scene) -> Facts:
    files = Files(scene)
    with nobody_connects() as url:
        scene.run(INFO, gateway_url=url, client_cert=files.path("client.pem"))
    return {"path": files.path("client.pem")}


def _key_of_another(name: str, algorithm: tuple[str, ...]) -> None:
    def bring_about(scene: Scene) -> Facts:
        files = Files(scene)
        make(scene, "genpkey", *algorithm, "-out", "other.key")
        facts = {"option": "client_key", "path": files.path("other.key"), "certificate": files.path("client.pem")}
        with nobody_connects() as url:
            scene.run(INFO, gateway_url=url, client_cert=facts["certificate"], client_key=facts["path"])
        return facts

    bring_about.__name__ = name
    case("CLIENT_KEY_OTHER", GATEWAY)(bring_about)


_key_of_another("key_of_another_certificate", ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
_key_of_another("key_of_another_kind", ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"))


def _encrypted(name: str, tool: tuple[str, ...], own_file: bool) -> None:
    def bring_about(scene: Scene) -> Facts:
        files = Files(scene)
        make(scene, *tool, "-in", "client.key", "-aes256", "-passout", "pass:phrase-of-the-test", "-out", "secret.key")
        scene.secrets.append("phrase-of-the-test")
        certificate, key = files.path("client.pem"), files.path("secret.key")
        if not own_file:
            certificate, key = files.path("both.pem", files.read("client.pem") + files.read("secret.key")), ""
        with nobody_connects() as url:
            scene.run(INFO, gateway_url=url, client_cert=certificate, client_key=key or None)
        return {"option": "client_key" if own_file else "client_cert", "path": key or certificate}

    bring_about.__name__ = name
    case("CLIENT_KEY_ENCRYPTED", GATEWAY)(bring_about)


_encrypted("encrypted_key", ("pkey",), own_file=True)
_encrypted("encrypted_key_of_old", ("ec",), own_file=True)
_encrypted("encrypted_key_beside_the_certificate", ("pkey",), own_file=False)


# The gateway's certificate


def serve_once(server: socket.socket, context: ssl.SSLContext) -> None:
    """Accept connections and do the TLS handshake on each, until the socket is closed; then reset the connection."""
    while True:
        try:
            accepted, _address = server.accept()
        except OSError:
            return
        with accepted, suppress(OSError):
            accepted.settimeout(20)
            with context.wrap_socket(accepted, server_side=True) as secured:
                secured.recv(65536)


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[str]:
    """The URL of a server that does TLS handshakes."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        thread = threading.Thread(target=serve_once, args=[server, context], daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@contextmanager
def asyncio_server(context: ssl.SSLContext) -> Iterator[str]:
    """The same with asyncio, which ends a failed handshake without an alert."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=context))
    loop.set_exception_handler(lambda _loop, _context: None)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


def server_side(
    files: Files, version: ssl.TLSVersion | None = None, server: str = "127.0.0.1", **validity: Any
) -> ssl.SSLContext:
    """A gateway's TLS context with a certificate of the CA, optionally limited to one TLS version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files.authority.issue_cert(server, **validity).configure_cert(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def _certificate_of_the_gateway(row: str, name: str, facts: Facts, **given: object) -> None:
    def bring_about(scene: Scene) -> Facts:
        files = Files(scene)
        with tls_server(server_side(files, **given)) as url:  # type: ignore[arg-type]
            scene.run(INFO, gateway_url=url, ca_path=files.path("ca.pem"))
        return {"url": url, **facts}

    bring_about.__name__ = name
    case(row, GATEWAY)(bring_about)


for _version in (TLS_1_2, TLS_1_3):
    _certificate_of_the_gateway(
        "GATEWAY_CERTIFICATE_NAME",
        f"certificate_for_another_name_{_version.name}",
        {"why": re.compile(".*127.0.0.1.*")},
        version=_version,
        server="gateway.example.com",
    )
    _certificate_of_the_gateway(
        "GATEWAY_CERTIFICATE_DATES",
        f"certificate_that_has_expired_{_version.name}",
        {"flaw": "has expired"},
        version=_version,
        not_before=NOW - 2 * YEAR,
        not_after=NOW - YEAR,
    )
_certificate_of_the_gateway(
    "GATEWAY_CERTIFICATE_DATES",
    "certificate_of_tomorrow",
    {"flaw": "is not valid yet"},
    not_before=NOW + YEAR,
    not_after=NOW + 2 * YEAR,
)


@case("GATEWAY_NOT_TRUSTED", GATEWAY)
def unknown_authority(scene: Scene) -> Facts:
    scene.run(INFO, ca_path=None)
    return {"url": scene.lab.url, "why": re.compile("unable to get local issuer certificate|self.signed certificate.*")}


# The client's certificate


def _client_certificate(row: str, name: str, version: ssl.TLSVersion, *, by_asyncio: bool, why: str = "") -> None:
    """A gateway that requires a client certificate and gets none, an expired one, or one of an unknown CA."""

    def bring_about(scene: Scene) -> Facts:
        files = Files(scene, **({"not_before": NOW - 2 * YEAR, "not_after": NOW - YEAR} if "expired" in why else {}))
        context = server_side(files, version)
        context.verify_mode = ssl.CERT_REQUIRED
        known = trustme.CA() if "authority" in why else files.authority
        known.configure_trust(context)
        given = {"client_cert": files.path("client.pem"), "client_key": files.path("client.key")} if why else {}
        with (asyncio_server if by_asyncio else tls_server)(context) as url:
            scene.run(INFO, gateway_url=url, ca_path=files.path("ca.pem"), **given)
        said = "it ends the connection when it is shown" if by_asyncio and "authority" in why else why
        return {"url": url, "path": files.path("client.pem"), "why": re.compile(said)}

    bring_about.__name__ = f"{name}_{version.name}_{'asyncio' if by_asyncio else 'alert'}"
    case(row, GATEWAY)(bring_about)


for _version in (TLS_1_2, TLS_1_3):
    for _by_asyncio in (False, True):
        _client_certificate("GATEWAY_WANTS_CERTIFICATE", "no_certificate", _version, by_asyncio=_by_asyncio)
        _client_certificate(
            "GATEWAY_REFUSES_CERTIFICATE",
            "expired_certificate",
            _version,
            by_asyncio=_by_asyncio,
            why=f"it expired on {NOW - YEAR:%Y-%m-%d}",
        )
        _client_certificate(
            "GATEWAY_REFUSES_CERTIFICATE",
            "certificate_of_a_stranger",
            _version,
            by_asyncio=_by_asyncio,
            why="the gateway does not know the authority that signed it",
        )


# Protocol mismatches


@case("GATEWAY_SPEAKS_HTTP", ODD_GATEWAY)
def plain_http_behind_https(scene: Scene) -> Facts:
    url = scene.odd.url.replace("http:", "https:")
    scene.run(INFO, gateway_url=url)
    return {"url": url}


@case("GATEWAY_SPEAKS_TLS", GATEWAY)
def tls_behind_plain_http(scene: Scene) -> Facts:
    url = scene.lab.url.replace("https:", "http:")
    scene.run(INFO, gateway_url=url)
    return {"url": url}


@case("GATEWAY_SPEAKS_TLS", GATEWAY)
def another_tls_behind_plain_http(scene: Scene) -> Facts:
    with tls_server(server_side(Files(scene))) as found:
        url = found.replace("https:", "http:")
        scene.run(INFO, gateway_url=url)
    return {"url": url}


@case("GATEWAY_WITHOUT_TLS", GATEWAY)
def no_version_in_common(scene: Scene) -> Facts:
    files = Files(scene)
    context = server_side(files)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about obsolete TLS versions
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with tls_server(context) as url:
        scene.run(INFO, gateway_url=url, ca_path=files.path("ca.pem"))
    return {"url": url, "why": re.compile("tlsv1 alert protocol version|unsupported protocol")}
