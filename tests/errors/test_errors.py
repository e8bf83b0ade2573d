# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every row of the table of failures really happens, with the documented text."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._failures import ALL

from tests.errors.cases import CASES
from tests.errors.scene import Case, Facts, Scene
from tests.harness.lab import Lab
from tests.harness.observer import digest_of_tree
from tests.harness.systems import make_anew
from tests.tools import errors_page

ERROR_KEYS = ["elapsed", "hint", "kind", "operation", "system", "tries"]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def scene(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The case's own system, newly created."""
    each: Case = request.getfixturevalue("each")
    system = f"edge{CASES.index(each)}"
    make_anew(lab, system)
    made = Scene(lab, system, each.way, tmp_path)
    yield made
    made.odd.stop()


def pattern(template: str, facts: Facts) -> str:
    """A template as a regular expression; placeholders without a fact match anything."""
    parts = []
    for text, field, spec, how in string.Formatter().parse(template):
        parts.append(re.escape(text))
        if field is None:
            continue
        value = facts.get(field, re.compile(".+?"))
        if isinstance(value, re.Pattern):
            parts.append(f"(?:{value.pattern})")
        else:
            parts.append(re.escape(f"{{:{spec or ''}}}".format(repr(value) if how == "r" else value)))
    return "".join(parts)


def require_sentence(scene: Scene, row: str, facts: Facts, result: dict[str, Any]) -> None:
    """The message is the row's template with its values, and ``error`` contains its parts."""
    failure, error = ALL[row], result["error"]
    assert sorted(error) == ERROR_KEYS
    assert error["kind"] == failure.error_class.kind, result["msg"]
    assert error["system"] == scene.host
    assert (error["tries"], error["elapsed"]) == (result["tries"], result["elapsed"])
    assert error["tries"] >= 1
    assert 0 <= error["elapsed"] < 60
    hint = scene.hint or pattern(failure.hint or failure.error_class.default_hint, facts)
    assert re.fullmatch(hint, error["hint"]), error["hint"]
    doing = f"could not {error['operation']}: " if error["operation"] else ""
    where = f"ActiveLogic system {scene.host}" if scene.host else "ActiveLogic"
    begin, end = f"{where}: {doing}", f"; {error['hint']}."
    assert result["msg"].startswith(begin)
    assert result["msg"].endswith(end)
    reason = result["msg"][len(begin) : -len(end)]
    assert re.fullmatch(pattern(failure.reason, facts), reason), reason
    for name in re.findall(r"\{([a-z_]+)", failure.reason + failure.hint):
        assert f"{{{name}" not in result["msg"]
    assert "\n" not in result["msg"]


@pytest.mark.parametrize("each", CASES, ids=str)
def test_a_row_of_the_table(each: Case, scene: Scene) -> None:
    facts = each.bring_about(scene)
    outcome = scene.outcome
    assert outcome is not None
    assert outcome.code == 1, outcome.output
    result = outcome.result
    assert result["failed"] is True
    assert "Traceback" not in outcome.output
    for secret in scene.secrets:
        assert secret not in outcome.output
    require_sentence(scene, each.row, facts, result)
    if scene.may_change:
        return
    assert result.get("changed", False) is False
    assert scene.digest() == outcome.digest_before
    assert digest_of_tree(scene.archive) == outcome.files_before


def test_every_row_has_a_case() -> None:
    assert set(ALL) == {each.row for each in CASES}


def test_no_case_is_there_twice() -> None:
    assert not [name for name, count in Counter(map(str, CASES)).items() if count > 1]


def test_the_documentation_shows_the_table() -> None:
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == errors_page.page()
