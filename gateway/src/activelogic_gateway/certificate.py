# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The validity of a certificate, parsed from its DER form (X.690, RFC 5280).

The standard library has no public function for this.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

_SEQUENCE = 0x30
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_VERSION = 0xA0


def _element(data: bytes, start: int) -> tuple[int, int, int]:
    """Return the tag, and the begin and end of the content, of the element at ``start``; raises ``ValueError``."""
    if start + 2 > len(data):
        raise ValueError("not a certificate")
    tag, length = data[start], data[start + 1]
    begin = start + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[begin : begin + count], "big")
        begin += count
    if begin + length > len(data):
        raise ValueError("not a certificate")
    return tag, begin, begin + length


def not_after(path: Path) -> datetime:
    """Return when the first certificate in a PEM file expires; raises as :func:`validity`."""
    return validity(path)[1]


def validity(path: Path) -> tuple[datetime, datetime]:
    """Return the begin and end of validity of the first certificate in a PEM file, in UTC.

    :raises OSError: if the file can't be read.
    :raises ValueError: if it holds no certificate.
    """
    text = path.read_text(encoding="ascii", errors="replace")
    found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
    if found is None:
        raise ValueError("no certificate")
    data = ssl.PEM_cert_to_DER_cert(found[0])
    _, certificate, _ = _element(data, 0)
    _, position, _ = _element(data, certificate)  # tbsCertificate
    tag, _, end = _element(data, position)
    # Skip [version], serialNumber, signature and issuer, which precede validity.
    for _ in range(4 if tag == _VERSION else 3):
        _, _, position = _element(data, position)
    tag, begin, _ = _element(data, position)
    if tag != _SEQUENCE:
        raise ValueError("not a certificate")
    tag, first, end = _element(data, begin)
    second_tag, second, second_end = _element(data, end)
    return _time(tag, data[first:end]), _time(second_tag, data[second:second_end])


def _time(tag: int, content: bytes) -> datetime:
    stamp = content.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280, section 4.1.2.5.1: two-digit years below 50 are 20xx.
        stamp = ("20" if int(stamp[:2]) < 50 else "19") + stamp
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a certificate")
    return datetime.strptime(stamp, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
