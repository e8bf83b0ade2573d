# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text from outside can't manipulate a terminal, and every message and warning is sanitized."""

from __future__ import annotations

import ast
import sys
import unicodedata
from pathlib import Path

import ansible_collections.netops.activelogic as collection
import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._errors import ActiveLogicError
from ansible_collections.netops.activelogic.plugins.module_utils._failures import BACKUP_MISSING
from ansible_collections.netops.activelogic.plugins.module_utils._model import (
    MAX_BACKUPS,
    BackupFile,
    Listing,
    System,
    listed,
)
from ansible_collections.netops.activelogic.plugins.module_utils._text import MAX_QUOTED, printable, shorten

PLUGINS = Path(next(iter(collection.__path__))) / "plugins"

HARMFUL = {
    "escape sequence": "\x1b[2J",
    "carriage return": "\r",
    "line feed": "\n",
    "backspace": "\b",
    "delete": "\x7f",
    "escape sequence of one character": "\x9b",
    "next line": "\x85",
    "from right to left": "\u202e",
    "isolate": "\u2066",
    "mark": "\u200f",
    "no width": "\u200b",
    "joiner": "\u200d",
    "byte order": "\ufeff",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "no-break space": "\xa0",
    "wide space": "\u3000",
    "soft hyphen": "\xad",
    "filler": "\u3164",
    "braille without dots": "\u2800",
    "variation": "\ufe0f",
    "tag": "\U000e0041",
    "half a character": "\ud800",
    "private": "\ue000",
}


@pytest.mark.parametrize("name", HARMFUL)
def test_what_shows_nothing_or_changes_the_line_is_escaped(name: str) -> None:
    harmful = HARMFUL[name]
    shown = printable(f"a{harmful}b")
    assert shown == "a" + harmful.encode("unicode_escape").decode("ascii") + "b"
    error = BACKUP_MISSING.error(name="x", there=harmful)
    error.operation = f"look at {harmful}"
    error.hint += harmful
    for text in (error.sentence(f"edge1{harmful}"), *error.to_result("edge1", 1, 0.0)["error"].values()):
        assert harmful not in str(text)


@pytest.mark.parametrize(
    "text", ["", "plain text", "Ångström.plb", "備份.plb", "резерв", r"C:\new", 'it\'s "so"', "😀"]
)
def test_what_can_be_read_stays(text: str) -> None:
    assert printable(text) is text


def test_nothing_that_is_no_character_is_left_of_any_of_unicode() -> None:
    shown = printable("".join(map(chr, range(sys.maxunicode + 1))))
    left = {unicodedata.category(each) for each in shown if each != " "}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}


def test_a_long_text_is_cut() -> None:
    assert shorten("x" * MAX_QUOTED) == "x" * MAX_QUOTED
    assert shorten("x" * (MAX_QUOTED + 1)) == "x" * (MAX_QUOTED - 3) + "..."


def test_warnings_go_through_the_one_place_that_escapes_them() -> None:
    for path in (PLUGINS / "module_utils").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr == "warn"
                and path.name not in ("_runner.py", "_context.py")
            ):
                assert ast.unparse(node.value) in ("context", "self._context"), f"{path.name}:{node.lineno}"


# Names in a listing


def test_a_listing_of_legal_names_is_as_it_came() -> None:
    rows = [("b.plb", 2), ("a.plb", 1), ("ä b.plb", 0)]
    assert listed(rows) == Listing(tuple(BackupFile(*row) for row in rows))


def test_rows_that_can_not_be_used_hide_no_others() -> None:
    bad = ["", ".", "..", "a/b", "a\\b", "a\0", "\x1b", "\x80", "\ud800", "x" * 256]
    found = listed([("good.plb", 1), *((name, 1) for name in bad), ("better.plb", 1)])
    warning = found.passed_over
    assert [each.name for each in found.backups] == ["good.plb", "better.plb"]
    assert "passed over (10): '' is empty, '.' is '.', '..' is '..', 'a/b' holds '/'" in warning
    assert warning.endswith(", ...")
    assert printable(warning) == warning


def test_a_name_with_several_sizes_is_none_of_them() -> None:
    found = listed([("a", 1), ("b", 1), ("a", 2), ("a", 1), ("b", 1)])
    assert found.backups == (BackupFile("b", 1),)
    assert "'a' is listed with several sizes" in found.passed_over


def test_a_listing_has_an_end() -> None:
    rows = [(f"{number}.plb", 1) for number in range(MAX_BACKUPS)]
    assert len(listed(rows).backups) == MAX_BACKUPS
    with pytest.raises(ActiveLogicError, match="more than 100000 backups"):
        listed([*rows, ("more.plb", 1)])


@pytest.mark.parametrize("text", ["\x1b[2J", "1" * 256, "\u202e1", "1\n"])
def test_what_a_system_says_of_itself_is_a_short_line(text: str) -> None:
    assert System.reported("edge1", "1" * 255, "") == System("edge1", "1" * 255, "")
    with pytest.raises(ActiveLogicError, match="reports a machine id"):
        System.reported("edge1", text, "2")
    with pytest.raises(ActiveLogicError, match="reports a version"):
        System.reported("edge1", "1", text)
