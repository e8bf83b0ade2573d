# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The structure of the gateway's sources: sizes, and allowed imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parent.parent / "src"
MOST_LINES = 450
MOST_LINES_OF_A_CLASS = 300


def imports_of(path: Path) -> Iterator[str]:
    """The modules that a file imports, without leading dots."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def test_no_file_and_no_class_is_too_big_to_be_read_at_once() -> None:
    paths = sorted(SOURCES.glob("activelogic_*/**/*.py"))
    assert len(paths) > 50
    too_big = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES:
            too_big.append(path.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= MOST_LINES_OF_A_CLASS:
                too_big.append(f"{path.name}: class {node.name}")
    assert too_big == []


def test_the_commands_never_see_the_queue_or_the_store() -> None:
    known = set(imports_of(SOURCES / "activelogic_gateway" / "commands.py"))
    assert known.isdisjoint({"operations", "lanes", "runner", "store", "gateway", "api"}), known


def test_http_is_spoken_in_the_api_and_the_server_alone() -> None:
    speakers = {
        path.relative_to(SOURCES / "activelogic_gateway").parts[0]
        for path in (SOURCES / "activelogic_gateway").rglob("*.py")
        if any(each.split(".")[0] == "starlette" for each in imports_of(path))
    }
    assert speakers == {"api", "server.py"}  # the server imports the type of the application
