# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check certificate and key files before anything is sent.

Private to this collection. Paths are as :func:`_access.native` returns them.
OpenSSL reports "PEM lib" for nearly every problem with them, and asks for a pass phrase on the terminal.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from datetime import datetime, timezone

from . import _failures
from ._files._access import shown

MAX_BYTES = 16 * 1024 * 1024
"""Size limit of a certificate file; the bundles of operating systems have less than one MiB."""

AUTHORITIES = "the certificates of authorities"
CERTIFICATE = "a certificate"
KEY = "a key"

_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: *4,ENCRYPTED", re.MULTILINE)
_FIRST_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
_OTHER_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def check_authorities(option: str, path: str) -> None:
    """Check that a file, or a folder prepared with ``openssl rehash``, contains trusted certificates.

    :raises OptionError: which names ``option``.
    """
    if os.path.isdir(path):
        if not any(_HASHED.fullmatch(name) for name in _names_in(option, path)):
            raise _wrong(option, path, "is a folder without certificates that openssl rehash has named", AUTHORITIES)
        return
    content = _read(option, path, AUTHORITIES)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise _wrong(option, path, _flaw(content, _CERTIFICATE, "certificate", error), AUTHORITIES) from None
    if not context.cert_store_stats()["x509"]:
        raise _wrong(option, path, "holds a revocation list and no certificate", AUTHORITIES)


def check_client(certificate: str, key: str | None) -> None:
    """Check that the client certificate and its key can be used.

    :raises OptionError: which names ``client_cert`` or ``client_key``.
    """
    content = _read("client_cert", certificate, CERTIFICATE)
    if not _CERTIFICATE.search(content):
        raise _wrong("client_cert", certificate, _flaw(content, _CERTIFICATE, "certificate", None), CERTIFICATE)
    option, path = ("client_cert", certificate) if key is None else ("client_key", key)
    content_of_key = content if key is None else _read("client_key", key, KEY)
    if _ENCRYPTED.search(content_of_key):
        raise _failures.CLIENT_KEY_ENCRYPTED.error(option=option, path=shown(path))
    if not _KEY.search(content_of_key):
        if key is None:
            raise _failures.CLIENT_KEY_MISSING.error(path=shown(path))
        raise _wrong(option, path, _flaw(content_of_key, _KEY, "key", None), KEY)
    try:
        # With a pass phrase given, OpenSSL never asks for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason in _OTHER_KEY:
            raise _failures.CLIENT_KEY_OTHER.error(
                option=option, path=shown(path), certificate=shown(certificate)
            ) from None
        flaw = f"can't be used together with {shown(certificate)}" if key else "can't be used"
        raise _wrong(option, path, f"{flaw} ({said(error)})", f"{CERTIFICATE} or its key") from None
    except OSError as error:
        raise _wrong(option, path, f"can't be read ({error.strerror})", KEY) from None


def expired(path: str, now: datetime) -> str:
    """Why the first certificate of a file is not valid at this time; empty if it is.

    Also empty if it can't be read: this only explains why a gateway rejected it.
    """
    try:
        with open(path, "rb") as source:
            found = _FIRST_CERTIFICATE.search(source.read(MAX_BYTES))
        begin, end = _validity(ssl.PEM_cert_to_DER_cert(found.group().decode("ascii"))) if found else (now, now)
    except (OSError, ValueError, IndexError):
        return ""
    if now > end:
        return f"it expired on {end:%Y-%m-%d}"
    return f"it is not valid before {begin:%Y-%m-%d %H:%M} UTC" if now < begin else ""


def said(error: ssl.SSLError) -> str:
    """The reason that OpenSSL gives, in words."""
    return (error.reason or "PEM lib").replace("_", " ").lower()


def _names_in(option: str, path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        raise _failures.OPTION_FILE_UNREADABLE.error(option=option, path=shown(path)) from None


def _read(option: str, path: str, wanted: str) -> bytes:
    """The content of a regular file; a pipe would block us, and later OpenSSL, for ever."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        raise _failures.OPTION_FILE_UNREADABLE.error(option=option, path=shown(path)) from None
    with open(descriptor, "rb") as source:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _wrong(option, path, "is not a regular file", wanted)
        if status.st_size > MAX_BYTES:
            raise _wrong(option, path, f"has more than {MAX_BYTES} bytes", wanted)
        return source.read(MAX_BYTES)


def _wrong(option: str, path: str, flaw: str, wanted: str) -> Exception:
    return _failures.TLS_FILE_WRONG.error(option=option, path=shown(path), flaw=flaw, wanted=wanted)


def _flaw(content: bytes, marker: re.Pattern[bytes], noun: str, error: Exception | None) -> str:
    """What is wrong with the content of a file."""
    if not content.strip():
        return "is empty"
    if content.startswith(b"\x30"):  # the start of an ASN.1 SEQUENCE
        return "is in DER or PKCS#12 format, not in PEM"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # byte order marks; the one of UTF-8 does no harm
        return "is text in UTF-16, which PEM is not"
    if not marker.search(content):
        others = {"a key": _KEY, "an encrypted key": _ENCRYPTED, "a certificate": _CERTIFICATE}
        held = next((f"{name} and " for name, each in others.items() if each.search(content)), "")
        return f"holds {held}no {noun}"
    return f"is damaged ({said(error)})" if isinstance(error, ssl.SSLError) else "is damaged"


def _validity(certificate: bytes) -> tuple[datetime, datetime]:
    """Start and end of the validity of a certificate (RFC 5280, section 4.1)."""
    _tag, start, _end = _element(certificate, 0)
    _tag, position, _end = _element(certificate, start)
    tag, _start, end = _element(certificate, position)
    if tag == 0xA0:  # the optional version
        position = end
    for _field in ("serial number", "algorithm", "issuer"):
        _tag, _start, position = _element(certificate, position)
    _tag, position, _end = _element(certificate, position)
    tag, start, end = _element(certificate, position)
    begin = _time(tag, certificate[start:end])
    tag, start, end = _element(certificate, end)
    return begin, _time(tag, certificate[start:end])


def _element(data: bytes, position: int) -> tuple[int, int, int]:
    """Tag, and start and end of the content, of the DER element at a position."""
    tag, length = data[position], data[position + 1]
    start = position + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > len(data):
        raise ValueError("the element is cut off")
    return tag, start, start + length


def _time(tag: int, text: bytes) -> datetime:
    """A UTCTime (two digits of the year, up to 2049) or a GeneralizedTime of RFC 5280, section 4.1.2.5."""
    digits = text.decode("ascii")
    if tag == 0x17:
        digits = ("19" if int(digits[:2]) >= 50 else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
