# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of a role's systems, as data and as lines of text. Private to this collection, and pure."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SAVED, UNCHANGED, WOULD_SAVE, NOT_SAVED, FAILED = "SAVED", "UNCHANGED", "WOULD SAVE", "NOT SAVED", "FAILED"
"""The results of a system. UNCHANGED, in check mode: a run would save nothing new. NOT SAVED: it left the play earlier,
by a failure elsewhere or by ``meta: end_host``, which look the same here."""

RESULTS = (FAILED, NOT_SAVED, WOULD_SAVE, UNCHANGED, SAVED)
"""In the order of the table."""

WIDTH = 120
"""Columns of a line; only longer paths exceed it, as a broken path could not be copied."""

LONGEST_SYSTEM = 40
"""Columns for the names of the systems; a longer name gets its own line."""

LONGEST_SENTENCE = 1000
MOST_NAMES = 10
"""How many systems of each kind the last line names."""

UNREACHABLE_HINT = "set ansible_connection to local to run the modules on the control node"


def row(host: str, made: Mapping[str, Any], fetched: Mapping[str, Any], failure: str, check: bool) -> dict[str, Any]:
    """The row of one system.

    :param made: the result of the task that makes the backup.
    :param fetched: the result of the task that fetches it.
    :param failure: why it failed; empty when it did not.
    :param check: whether this is check mode.
    """
    for result in (made, fetched):
        if result.get("unreachable"):
            failure = failure or f"{str(result.get('msg') or 'unreachable').rstrip('.')}; {UNREACHABLE_HINT}"
    if failure:
        return _row(host, FAILED, reason=plain(failure, host))
    if check and made.get("changed"):
        return _row(host, WOULD_SAVE, reason="would make a new backup and fetch it")
    file, backup = fetched.get("file") or {}, fetched.get("backup") or {}
    if not file.get("path"):
        return _row(host, FAILED, reason="the result of the fetch is missing")
    path, size = str(file["path"]), backup.get("size")
    if check:
        return _row(host, WOULD_SAVE if fetched.get("changed") else UNCHANGED, path, size)
    how = "new backup" if made.get("changed") else "backup found"
    return _row(host, SAVED, path, size, f"{how}, {'fetched' if fetched.get('changed') else 'file unchanged'}")


def left_row(host: str) -> dict[str, Any]:
    """The row of a system that left the play before it was saved."""
    return _row(host, NOT_SAVED, reason="left the play earlier; if it failed, its message above says why")


def _row(host: str, result: str, file: str = "", size: int | None = None, reason: str = "") -> dict[str, Any]:
    return {"host": host, "result": result, "file": file, "size": size, "reason": reason}


def plain(sentence: str, host: str) -> str:
    """A sentence on one line, without control characters, and without the system's name, which is beside it."""
    printable = "".join(each if unicodedata.category(each)[0] != "C" else " " for each in sentence)
    text = " ".join(printable.split()).removeprefix(f"ActiveLogic system {host}: ")
    return text if len(text) <= LONGEST_SENTENCE else text[: LONGEST_SENTENCE - 3] + "..."


def totals(rows: Iterable[Mapping[str, Any]], hosts: Sequence[str]) -> dict[str, Any]:
    """Count the systems by result, and list those that were not saved.

    :param hosts: all systems of the play.
    """
    results = {str(each["host"]): each["result"] for each in rows}
    found: dict[str, Any] = {result: [host for host in hosts if results.get(host) == result] for result in RESULTS}
    return {
        "total": len(hosts),
        "saved": len(found[SAVED]),
        "unchanged": len(found[UNCHANGED]),
        "would_save": len(found[WOULD_SAVE]),
        "failed": found[FAILED],
        "left": found[NOT_SAVED],
        "not_reached": [host for host in hosts if host not in results],
    }


def last_line(counts: Mapping[str, Any], check: bool) -> str:
    """The counts as a sentence."""
    if check:
        begin = (
            f"check mode, nothing was written: {counts['would_save']} of {counts['total']} would be saved,"
            f" {counts['unchanged']} unchanged"
        )
    else:
        begin = f"{counts['saved']} of {counts['total']} saved"
    parts = [begin]
    for word, key in (("failed", "failed"), ("left the play earlier", "left"), ("not reached", "not_reached")):
        hosts = counts[key]
        if hosts:
            more = f" and {len(hosts) - MOST_NAMES} more" if len(hosts) > MOST_NAMES else ""
            parts.append(f"{len(hosts)} {word}: {', '.join(hosts[:MOST_NAMES])}{more}")
    return "; ".join(parts)


def lines(rows: Iterable[Mapping[str, Any]], counts: Mapping[str, Any], check: bool) -> list[str]:
    """The table as plain lines: failures first, then by name, and the counts last."""
    ordered = sorted(rows, key=lambda each: (RESULTS.index(each["result"]), each["host"]))
    first = min(max([len("system"), *(len(each["host"]) for each in ordered)]), LONGEST_SYSTEM)
    found = []
    if ordered:
        found.append(f"{'system':<{first}}  {'result':<10}  {'size':>8}  file, or why there is none")
    for each in ordered:
        found += _row_lines(each, first)
    return found + _wrapped(last_line(counts, check), "", "  ")


def _row_lines(each: Mapping[str, Any], first: int) -> list[str]:
    size = human_size(each["size"]) if each["size"] is not None else ""
    system = each["host"]
    begin = f"{system:<{first}}  {each['result']:<10}  {size:>8}  "
    above, below = [], []
    if len(system) > first:
        above, begin = [system], " " * first + begin[len(system) :]
    text = each["reason"]
    if len(each["file"]) > WIDTH - len(begin):
        below = [f"    {each['file']}"]
    elif each["file"]:
        text = f"{each['file']} ({text})" if text else each["file"]
    return above + _wrapped(text, begin, " " * len(begin)) + below


def _wrapped(text: str, begin: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=begin, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [begin.rstrip()]


def human_size(size: float) -> str:
    """A readable size, such as 9.9 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
