# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract itself: no sentence without a test."""

from __future__ import annotations

import ast
from pathlib import Path

from sentences import SENTENCES


def test_every_sentence_has_a_test() -> None:
    shown: set[object] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.sentence":
                shown.update(argument.value for argument in node.args if isinstance(argument, ast.Constant))
    assert set(SENTENCES) - shown == set()
