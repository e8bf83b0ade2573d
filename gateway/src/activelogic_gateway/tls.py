# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS of the server: its context, its buffers, and the expiry of its certificate."""

from __future__ import annotations

import ssl
from asyncio.sslproto import SSLProtocol
from datetime import UTC, datetime

from .certificate import not_after
from .config import Tls

TLS_BUFFER = 65536
"""Size of the buffer that asyncio allocates for each TLS connection, in bytes; its default is four times as much."""


class TlsError(Exception):
    """The certificate, key or CA can't be used; the text is one sentence."""


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Create a context for TLS 1.2 and later; with ``client_ca``, clients need a certificate.

    :raises TlsError: if the files can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        raise TlsError(f"tls: {tls.certificate} with the key {tls.key} can't be used: {reason}") from error
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            raise TlsError(f"tls: client_ca {tls.client_ca} can't be used: {reason}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def days_left(tls: Tls | None) -> int | None:
    """Return the whole days until the certificate expires, negative after that; ``None`` without TLS or if unknown."""
    if tls is None:
        return None
    try:
        return (not_after(tls.certificate) - datetime.now(UTC)).days
    except (OSError, ValueError):
        return None


def limit_buffers() -> None:
    """Make asyncio allocate :data:`TLS_BUFFER` per TLS connection of this process; it has no option for this."""
    SSLProtocol.max_size = TLS_BUFFER
