# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and contents used by several test files."""

from __future__ import annotations

CONTENT = bytes(range(256)) * 4099 + b"\r\n\x1a\x00end"
"""A little more than 1 MiB; converting line ends or encodings would change it."""

PLAIN = ["a.plb", "20210622-04.48.plb", "before-update-2.plb"]
"""Names that every system accepts."""

ILLEGAL = ["a/b.plb", "../a.plb", "a\\b.plb", "a\x00b", "a\nb", "\x7f", ".", "..", "x" * 256, "ä" * 128]
"""Names that the collection's client rejects."""

LEGAL = [
    "a",
    "MiXed.PLB",
    ".plb",
    " a b ",
    "ä" * 127 + "x",
    "x" * 255,
    "a,b;c.plb",
    "%2e%2e%2f",
    "-rf",
    "a?b#c&d=e",
    "日本.plb",
    "e\u0301\u00e9.plb",
]
"""Other names that the client accepts."""
