# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redaction of passwords in texts, in all forms in which a package, a library or a serialiser may write them.

A password of :data:`SHORTEST_ANYWHERE` characters or more is replaced everywhere, and so is one that is one character
shorter but contains a character other than letters and digits. A shorter one is part of too many words: it is replaced
only where it is a value, in quotes or after ``=`` or ``:``.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "********"

SHORTEST_ANYWHERE = 4
"""Characters."""

_SHORTEST_CORE = 6
"""Minimum number of Base64 characters for which a match is not a coincidence."""

_LONGEST_FORM = 12
"""Maximum length of one encoded character: a percent-encoded character of four bytes, or hex with colons."""


class Secret(str):
    """A password that caches its encoded forms."""

    __slots__ = ("_forms",)

    @property
    def is_found_anywhere(self) -> bool:
        """Whether it is long enough for a match in another text not to be a coincidence."""
        return len(self) >= SHORTEST_ANYWHERE - (not self.isalnum())

    def forms(self) -> tuple[frozenset[str], frozenset[bytes]]:
        """Return the forms to match with case, and the lower-case forms to match without case."""
        known: tuple[frozenset[str], frozenset[bytes]] | None = getattr(self, "_forms", None)
        if known is None:
            known = (frozenset(), frozenset())
            if self.is_found_anywhere:
                known = _forms(self), _forms_without_case(self)
            self._forms = known
        return known


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with each of ``secrets`` replaced, in each of its forms."""
    known = [each if isinstance(each, Secret) else Secret(each) for each in secrets if each]
    for each in known:
        if not each.is_found_anywhere:
            text = _redact_values(text, str(each))
    # Replace the longest forms first: one may be part of another.
    for form in sorted({form for each in known for form in each.forms()[0] if form in text}, key=len, reverse=True):
        text = text.replace(form, MASK)
    lowered = text.encode("utf-8", "surrogatepass").lower()
    for folded in sorted(
        {form for each in known for form in each.forms()[1] if form in lowered}, key=len, reverse=True
    ):
        text = _replace_without_case(text, folded)
    return text


def excerpt(text: str, secrets: Iterable[str], most: int) -> str:
    """Return at most ``most`` characters of ``text``, redacted; a secret that crosses the end is not missed."""
    secrets = tuple(secrets)
    margin = _LONGEST_FORM * max(map(len, secrets), default=0)
    taken = text[: most + 2 * margin]
    said = redact(taken, secrets)
    if len(taken) < len(text):
        said = said[: len(said) - margin]
    return said[:most]


def _forms(secret: str) -> frozenset[str]:
    joined = " ".join(secret.split())
    data = secret.encode("utf-8", "surrogatepass")
    forms = {str(secret), repr(secret)[1:-1], ascii(secret)[1:-1], repr(data)[2:-1], html.escape(secret)}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= {json.dumps(secret)[1:-1].replace("/", "\\/"), data.decode("latin-1")}
    if len(joined) >= SHORTEST_ANYWHERE:
        forms.add(joined)
    for core in _base64_cores(data):
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return frozenset(forms)


def _forms_without_case(secret: str) -> frozenset[bytes]:
    """Return the forms that contain hex digits, which may be written in either case."""
    data = secret.encode("utf-8", "surrogatepass")
    quoted = {quote(data), quote(data, safe=""), quote_plus(data), "".join(f"%{byte:02x}" for byte in data)}
    forms = {data.hex(), data.hex(":"), data.hex(" "), data.hex("-")} | (quoted - {secret})
    return frozenset(each.encode("ascii").lower() for each in forms)


def _base64_cores(data: bytes) -> Iterable[str]:
    """Yield the Base64 encoding of ``data`` at each of its three possible offsets in a longer text.

    The characters at both ends that also depend on the neighbouring bytes are omitted.
    """
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data).decode("ascii").rstrip("=")
        end = len(encoded) - (1 if (offset + len(data)) % 3 else 0)
        core = encoded[(0, 2, 3)[offset] : end]
        if len(core) >= _SHORTEST_CORE:
            yield core


def _replace_without_case(text: str, wanted: bytes) -> str:
    """Like ``str.replace``, ignoring ASCII case. Does not use ``re``, whose cache would keep the password."""
    data = text.encode("utf-8", "surrogatepass")
    lowered = data.lower()  # changes only ASCII letters, so offsets stay the same
    parts: list[bytes] = []
    place = 0
    while (found := lowered.find(wanted, place)) >= 0:
        parts += [data[place:found], MASK.encode("ascii")]
        place = found + len(wanted)
    if not parts:
        return text
    return b"".join([*parts, data[place:]]).decode("utf-8", "surrogatepass")


def _redact_values(text: str, secret: str) -> str:
    """Replace a short password where it is a value."""
    parts, place, start = [], 0, 0
    while (found := text.find(secret, start)) >= 0:
        end = found + len(secret)
        before, after = text[:found].rstrip(" ")[-1:], text[end : end + 1]
        is_quoted = text[found - 1 : found] in ("'", '"') and after == text[found - 1 : found]
        is_given = before in ("=", ":") and not (after.isalnum() or after == "_")
        if is_quoted or is_given:
            parts += [text[place:found], MASK]
            place = end
        start = end
    return "".join([*parts, text[place:]])
