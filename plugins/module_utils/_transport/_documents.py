# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parse the JSON of a gateway's answers within limits. Private to this collection.

A document of 64 MiB can become 2 GiB of Python objects, and a number of a million digits takes minutes to parse. So the
size of documents and numbers is limited, and a listing is parsed row by row while it arrives.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from .._errors import ActiveLogicError
from .._failures import GATEWAY_ANSWER_WRONG

MAX_DOCUMENT = 256 * 1024
"""Bytes of an answer other than a listing; a real gateway sends a few thousand."""

MAX_LISTING = 64 * 1024 * 1024
"""Bytes of a listing: 670 for each of 100,000 rows."""

MAX_ROW = 4096
"""Characters of a row: a name of 255 bytes takes 1530 if each is escaped."""

MAX_DIGITS = 20
MAX_FLOAT = 40
"""Characters of a number: 64 bits have 20 digits."""

MAX_SIZE = 2**63
"""Bytes of a backup, which must be fewer."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPACE = re.compile(r"[ \t\n\r]*")
_FOLLOWING = {
    ("[", "["): "row or ]",
    ("row or ]", "]"): "nothing",
    (", or ]", ","): "row",
    (", or ]", "]"): "nothing",
}
_VALUE_STARTS = frozenset('{"-0123456789tfn')


class IncompleteError(Exception):
    """The document is truncated; never leaves the transport."""


def wrong(flaw: str) -> ActiveLogicError:
    """The error for an invalid answer; ``flaw`` continues the sentence "the gateway's answer"."""
    return GATEWAY_ANSWER_WRONG.error(flaw=flaw)


def decode(content: bytes) -> Any:
    """Decode a document that has at most :data:`MAX_DOCUMENT` bytes.

    :raises IncompleteError: when it is not JSON, perhaps because it is truncated.
    :raises ProtocolError: when it contains something that a gateway never sends.
    """
    try:
        return _DECODER.decode(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise IncompleteError from None


class Rows:
    """Parses a JSON array of small objects while it arrives."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._expected = "["  # what comes next

    def take(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The rows that these bytes complete.

        :raises ProtocolError: when this can't become such an array, whatever follows.
        """
        try:
            text = self._text + self._decoder.decode(piece)
        except UnicodeDecodeError:
            raise wrong("is not JSON") from None
        at, stop = 0, len(text)
        while True:
            if at < stop and text[at] in " \t\n\r":
                at = _end_of_space(text, at)
            if at == stop:
                break
            if self._expected in ("row", "row or ]") and text[at] != "]":
                row, end = self._row(text, at)
                if row is None:
                    break
                yield row
                self._expected = ", or ]"
                at = end
            else:
                self._expected = self._after(text[at])
                at += 1
        self._text = text[at:]

    def finish(self) -> None:
        """:raises IncompleteError: when the array has not ended."""
        if self._expected == "[":
            raise wrong("is not a list")
        if self._expected != "nothing":
            raise IncompleteError

    def _after(self, sign: str) -> str:
        """What is expected after a punctuation character."""
        expected = self._expected
        if expected == "[" and sign in _VALUE_STARTS:
            raise wrong("is not a list")
        following = _FOLLOWING.get((expected, sign))
        if following is None:
            raise wrong("is not JSON")
        return following

    def _row(self, text: str, at: int) -> tuple[dict[str, Any] | None, int]:
        """The row at this position, and its end; ``None`` while the row is incomplete."""
        if text[at] != "{":
            raise wrong("has no name")
        try:
            row, end = _scan(text, at)
        except RecursionError:
            raise wrong("is not JSON") from None
        except ValueError:
            if len(text) - at > MAX_ROW:
                raise wrong("is not JSON") from None
            return None, at
        if end - at > MAX_ROW:
            raise wrong(f"has a row of more than {MAX_ROW} characters")
        return row, end


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _whole_number(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise wrong(f"holds a number of more than {MAX_DIGITS} digits")
    return int(text)


def _number(text: str) -> float:
    number = math.inf if len(text) > MAX_FLOAT else float(text)
    if math.isinf(number):
        raise wrong("holds a number that is too large")
    return number


def _no_number(text: str) -> float:
    raise wrong(f"holds {text} in place of a number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise wrong("says something twice")
    return members


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole_number, parse_float=_number, parse_constant=_no_number
)
_scan = _DECODER.raw_decode


def text(document: Any, key: str) -> str:
    """A member that has to be a string. :raises ProtocolError: when it is not."""
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, str):
        raise wrong(f"has no {key}")
    return value


def digest(document: Any) -> str:
    """The member ``sha256``, in hex. :raises ProtocolError: when it is not a SHA-256."""
    value = text(document, "sha256")
    if _SHA256.fullmatch(value) is None:
        raise wrong("has no sha256")
    return value


def byte_count(document: Any, key: str) -> int:
    """A member that has to be a number of bytes. :raises ProtocolError: when it is not."""
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_SIZE:
        raise wrong(f"has no {key}")
    return value
