# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out why no connection to a gateway can be made: TLS, certificates, proxies.

Private to this collection.
A server that wants a client certificate often closes the connection without an alert, and so does one that is addressed
in the wrong protocol. :func:`diagnose` then connects once more, without sending the request, and watches the server.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from .. import _failures
from .._connection import Settings
from .._errors import ActiveLogicError
from .._files._access import shown
from .._tls_files import expired, said

STEP_TIMEOUT = 2.0
"""Seconds for each step of a diagnosis, unless ``connect_timeout`` is shorter."""

CERTIFICATE_REQUEST = 13
"""The message by which a server asks for a client certificate (RFC 8446, section 4.3.2; RFC 5246, section 7.4.4)."""

EXPIRED = 10
NOT_YET_VALID = 9
OTHER_NAMES = (62, 63, 64)
"""Codes of OpenSSL (X509_V_ERR_*) for a certificate with wrong dates or for other host names."""

REFUSALS = {
    "ALERT_UNKNOWN_CA": "the gateway does not know the authority that signed it",
    "ALERT_CERTIFICATE_EXPIRED": "it has expired",
    "ALERT_CERTIFICATE_REVOKED": "it was revoked",
    "ALERT_UNSUPPORTED_CERTIFICATE": "it is not meant for clients",
    "ALERT_BAD_CERTIFICATE": "it is damaged, or not of the wanted kind",
    "ALERT_CERTIFICATE_UNKNOWN": "the gateway gives no reason",
    "ALERT_ACCESS_DENIED": "it is valid, and may not be used here",
    "ALERT_DECRYPT_ERROR": "its signature can't be verified",
}
"""What the alerts of a server (RFC 8446, section 6.2) mean for a client certificate, by the ends of OpenSSL's names."""


@dataclass
class Handshake:
    """What was observed in a TLS handshake.

    :ivar asked: the server asked for a client certificate.
    :ivar secured: this side completed the handshake.
    :ivar ended: the server closed the connection, although no request was sent.
    :ivar error: the error that OpenSSL reported, if any.
    """

    asked: bool = False
    secured: bool = False
    ended: bool = False
    error: ssl.SSLError | None = None


def untrusted(chain: Iterable[BaseException], url: str) -> ActiveLogicError | None:
    """The error if the gateway's certificate is not accepted, else ``None``."""
    for each in chain:
        name = type(each).__name__
        if name not in ("SSLCertVerificationError", "CertificateError"):
            continue
        code = getattr(each, "verify_code", 0)
        why = str(getattr(each, "verify_message", "") or each).rstrip(".")
        if code in OTHER_NAMES or not code:  # urllib3 1.26 compares the names itself
            return _failures.GATEWAY_CERTIFICATE_NAME.error(url=url, why=why)
        if code in (EXPIRED, NOT_YET_VALID):
            return _failures.GATEWAY_CERTIFICATE_DATES.error(
                url=url, flaw="has expired" if code == EXPIRED else "is not valid yet"
            )
        return _failures.GATEWAY_NOT_TRUSTED.error(url=url, why=why)
    return None


def refused(chain: Iterable[BaseException], settings: Settings, url: str) -> ActiveLogicError | None:
    """The error if the gateway rejected our side with a TLS alert, else ``None``."""
    for each in chain:
        if not isinstance(each, ssl.SSLError):
            continue
        reason = each.reason or ""
        if reason.endswith("ALERT_CERTIFICATE_REQUIRED"):
            return _failures.GATEWAY_WANTS_CERTIFICATE.error(url=url)
        why = next((why for alert, why in REFUSALS.items() if reason.endswith(alert)), None)
        if why is not None and settings.client_cert:
            return _refuses_certificate(settings, url, why)
    return None


def diagnose(settings: Settings, url: str, *, silent: bool) -> ActiveLogicError | None:
    """Connect once more to find the cause; ``None`` if it is none of those known here.

    :param silent: the server did not answer the TLS handshake, so another one would be useless.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    address = (parts.hostname or "", parts.port or (443 if secure else 80))
    seconds = min(STEP_TIMEOUT, settings.connect_timeout)
    with suppress(OSError):
        seen = Handshake() if silent else _handshake(settings if secure else None, address, seconds)
        if not secure:
            return _failures.GATEWAY_SPEAKS_TLS.error(url=url) if seen.secured or _is_alert(seen.error) else None
        # The failed request may have seen only the end of the connection, not the alert before it.
        alert = refused([seen.error], settings, url) if seen.error else None
        if alert is not None:
            return alert
        if seen.asked and seen.ended:
            if not settings.client_cert:
                return _failures.GATEWAY_WANTS_CERTIFICATE.error(url=url)
            return _refuses_certificate(settings, url, "it ends the connection when it is shown")
        if not seen.secured and _speaks_http(address, seconds):
            return _failures.GATEWAY_SPEAKS_HTTP.error(url=url)
        if not seen.secured and seen.error is not None:
            return _failures.GATEWAY_WITHOUT_TLS.error(url=url, why=said(seen.error))
    return None


def _refuses_certificate(settings: Settings, url: str, why: str) -> ActiveLogicError:
    path = settings.client_cert or ""
    why = expired(path, datetime.now(timezone.utc)) or why
    return _failures.GATEWAY_REFUSES_CERTIFICATE.error(url=url, path=shown(path), why=why)


def _is_alert(error: ssl.SSLError | None) -> bool:
    return error is not None and "_ALERT_" in (error.reason or "")


def _handshake(settings: Settings | None, address: tuple[str, int], seconds: float) -> Handshake:
    """Make a TLS connection, and wait to see if the server closes it; :raises OSError: if it can't be made."""
    seen = Handshake()
    context: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent, and an untrusted certificate was reported before

    def watch(_connection: Any, direction: str, _version: Any, _content: Any, message: Any, _data: bytes) -> None:
        # Message and alert numbers overlap, but no alert has this one.
        if direction == "read" and message == CERTIFICATE_REQUEST:
            seen.asked = True

    # The only way to see encrypted TLS 1.3 messages. It is undocumented, but in every CPython since 3.8.
    context._msg_callback = watch
    if settings is not None and settings.client_cert:
        context.load_cert_chain(settings.client_cert, settings.client_key, password="")
    with socket.create_connection(address, seconds) as plain:
        plain.settimeout(seconds)
        try:
            with context.wrap_socket(plain, server_hostname=address[0]) as secured:
                seen.secured = True
                seen.ended = not secured.recv(1)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
            seen.ended = True
        except ssl.SSLError as error:
            seen.ended, seen.error = True, error
        except socket.timeout:  # the server waits for a request, as it should
            pass
    return seen


def _speaks_http(address: tuple[str, int], seconds: float) -> bool:
    with suppress(OSError), socket.create_connection(address, seconds) as plain:
        plain.settimeout(seconds)
        plain.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        return plain.recv(5) == b"HTTP/"
    return False


def proxy_error(chain: list[BaseException], has_login: bool) -> ActiveLogicError:
    """The error for an unusable proxy; ``has_login`` says whether a login was sent to it."""
    texts = " ".join(map(str, chain))
    if re.search(r"\b407\b", texts):
        return _failures.PROXY_LOGIN.error(
            wants="refuses the login of proxy_username" if has_login else "wants a login"
        )
    status = re.search(r"Tunnel connection failed: ([0-9]{3})", texts)
    if status:
        why = f"it answers with status {status.group(1)}"
    elif any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        why = "its certificate is not trusted"
    elif "appears to only use HTTP" in texts:
        why = "it does not speak TLS, as its https URL says"
    elif any(isinstance(each, ConnectionRefusedError) for each in chain):
        why = "it refuses connections"
    elif any(isinstance(each, socket.gaierror) for each in chain):
        why = "its name can't be resolved"
    else:
        why = cause_of(chain)
    return _failures.PROXY_UNUSABLE.error(why=why, repeatable=True)


def chain_of(error: BaseException) -> list[BaseException]:
    """The exception and its causes, outermost first."""
    chain: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(chain) < 50:
        each = waiting.pop(0)
        if each is None or any(each is known for known in chain):
            continue
        chain.append(each)
        inner = [
            argument for argument in (*each.args, getattr(each, "reason", None)) if isinstance(argument, BaseException)
        ]
        waiting.extend([*inner, each.__cause__, each.__context__])
    return chain


def cause_of(chain: list[BaseException]) -> str:
    """The class name of the innermost exception about the connection; urllib3 1.26 raises others in between."""
    about = [each for each in chain if isinstance(each, (OSError, HTTPException))]
    return type(about[-1] if about else chain[-1]).__name__
