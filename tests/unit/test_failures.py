# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All errors are made from the table of failures, and each use provides the facts that its row needs."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import ansible_collections.netops.activelogic as collection
import pytest
from activelogic_gateway.problems import KINDS
from ansible_collections.netops.activelogic.plugins.module_utils import _errors, _failures
from ansible_collections.netops.activelogic.plugins.module_utils._transport._problems import PROBLEMS

PLUGINS = Path(next(iter(collection.__path__))) / "plugins"
SOURCES = sorted(path for path in PLUGINS.rglob("*.py") if path.name not in ("_failures.py", "_errors.py"))
CLASSES = {
    name
    for name, each in vars(_errors).items()
    if isinstance(each, type) and issubclass(each, _errors.ActiveLogicError)
}
PASSED_ON = {"operation", "repeatable", "retry_after"}


def facts(failure: _failures.Failure) -> set[str]:
    """The placeholders in the row's texts."""
    texts = (failure.reason, failure.hint)
    return {field for text in texts for _text, field, _spec, _how in string.Formatter().parse(text) if field}


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_errors_are_made_from_the_table_alone(path: Path) -> None:
    assert not {name_of(call.func) for call in calls(path)} & (CLASSES | {"error_class"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_use_of_a_row_gives_the_facts_that_it_names(path: Path) -> None:
    for call in calls(path):
        if not isinstance(call.func, ast.Attribute) or call.func.attr != "error":
            continue
        row = name_of(call.func.value)
        given = {str(each.arg) for each in call.keywords} - PASSED_ON
        wanted = {"said"} if row == "failure" else facts(_failures.ALL[row])
        assert (row, given, call.args) == (row, wanted, [])


def test_every_row_is_used() -> None:
    used = {
        name_of(node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Name, ast.Attribute))
    }
    assert set(_failures.ALL) <= used


def test_the_gateways_problems_are_the_rows_keys() -> None:
    assert set(PROBLEMS) == set(KINDS)
    own_words = {"password_in_operation"}  # the gateway's text adds nothing to the row
    assert {kind: facts(each) for kind, each in PROBLEMS.items()} == {
        kind: set() if kind in own_words else {"said"} for kind in KINDS
    }


@pytest.mark.parametrize("row", _failures.ALL)
def test_texts_are_parts_of_one_sentence(row: str) -> None:
    failure = _failures.ALL[row]
    for text in (failure.reason, failure.hint or failure.error_class.default_hint):
        assert text
        assert not text.endswith(".")
        assert text[0].islower() or text[0] == "{" or text.startswith("REQUESTS_CA_BUNDLE ")
    assert failure.what[0].isupper()
    assert failure.what.endswith(".")


def test_no_two_rows_look_alike_to_the_user() -> None:
    seen = [(each.error_class, each.what, each.reason, each.hint) for each in _failures.ALL.values()]
    assert len(set(seen)) == len(seen)


def test_a_fact_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        _failures.SYSTEM_LATE.error(seconds=1.0)


def test_braces_in_a_fact_stay() -> None:
    error = _failures.BACKUP_MISSING.error(name="{name}", there="{0}")
    error.operation = "look"
    assert error.sentence("edge1") == (
        "ActiveLogic system edge1: could not look: there is no backup '{name}'; backups there: {0}."
    )


def test_every_class_has_a_row() -> None:
    used = {each.error_class.__name__ for each in _failures.ALL.values()}
    assert used == CLASSES - {"ActiveLogicError"}
