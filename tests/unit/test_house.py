# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The architecture of plugins/: allowed imports, size limits, and documentation that must match."""

from __future__ import annotations

import ast
import graphlib
import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible_collections.netops.activelogic as collection
import pytest
import yaml

PLUGINS = Path(next(iter(collection.__path__))) / "plugins"
SOURCES = sorted(PLUGINS.rglob("*.py"))
UTILS = PLUGINS / "module_utils"

MOST_LINES = 450
MOST_LINES_OF_A_CLASS = 300
MOST_FRAMES = 11
TABLE = UTILS / "_failures.py"
"""The table of all failures, as long as its number of rows."""

MODULES = ["activelogic_backup", "activelogic_backup_info", "activelogic_backup_transfer"]


def imports_of(path: Path) -> Iterator[str]:
    """The modules that a file imports, at any level of nesting; leading dots for relative imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield start
            yield from (f"{start.rstrip('.') or start}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def test_no_file_and_no_class_is_too_big_to_be_read_at_once() -> None:
    assert len(SOURCES) > 50
    too_big = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if path != TABLE and text.count("\n") > MOST_LINES:
            too_big.append(path.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= MOST_LINES_OF_A_CLASS:
                too_big.append(f"{path.name}: class {node.name}")
    assert too_big == []


def users_of(wanted: str) -> set[str]:
    """The files of module_utils that import a module, or something from it."""
    return {
        str(path.relative_to(UTILS))
        for path in UTILS.rglob("*.py")
        if any(f".{each}.".find(f".{wanted}.") >= 0 for each in imports_of(path))
    }


def neighbours_of(path: Path) -> Iterator[str]:
    """The modules of module_utils, and names in them, that a file may import, relative to module_utils."""
    package = ".".join(("utils", *path.parent.relative_to(UTILS).parts))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for name in (origin, *(f"{origin}.{each.name}" for each in node.names)):
                yield name.removeprefix("utils.")


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports inside functions count too; :class:`graphlib.CycleError` names the files."""
    names = {".".join(path.relative_to(UTILS).with_suffix("").parts): path for path in UTILS.rglob("_*.py")}
    known = {name: set(neighbours_of(path)) & set(names) for name, path in names.items()}
    order = list(graphlib.TopologicalSorter(known).static_order())
    floors = [order.index(each) for each in ("_errors", "_client", "_module._fetch", "_module._work")]
    assert floors == sorted(floors)


def test_each_thing_is_met_in_one_place() -> None:
    assert users_of("requests") == {"_transport/_http.py"}
    assert users_of("ansible.module_utils.basic") == {"_runner.py"}


@pytest.mark.parametrize("folder", ["_archive", "_files", "_transport"])
def test_the_wings_do_not_know_the_work(folder: str) -> None:
    for path in (UTILS / folder).glob("*.py"):
        known = set(imports_of(path))
        assert not [each for each in known if each.startswith(("..", ".")) and "_module" in each], path.name


def test_the_plan_knows_neither_the_client_nor_the_clock_nor_files() -> None:
    known = {each.strip(".").split(".")[0] for each in imports_of(UTILS / "_plan.py")}
    assert known.isdisjoint({"_client", "_context", "_transport", "_files", "_connection", "time", "os"})


# Runs in its own process and stops at the point where the request would leave the collection.
COUNT_FRAMES = """
import io, json, sys, traceback
import requests, urllib3
from ansible.module_utils.testing import patch_module_args
from ansible_collections.netops.activelogic.plugins.modules import activelogic_backup

class Counted(BaseException):
    pass

def request(self, method, url, **options):
    if method == "PUT":
        own = [each for each in traceback.extract_stack() if "/plugins/" in each.filename]
        raise Counted([each.name for each in own if "/activelogic/" in each.filename])
    answer = requests.Response()
    answer.status_code = 200
    content = b"[]" if "backups" in url else b'{"machineid": "1", "distversion": "2"}'
    answer.headers["Content-Length"] = str(len(content))
    answer.raw = urllib3.HTTPResponse(io.BytesIO(content), status=200, preload_content=False)
    return answer

requests.Session.request = request
login = {"host": "edge1", "username": "admin", "password": "of-nobody", "gateway_url": "https://gateway.example"}
with patch_module_args({**login, "name": "new.plb"}):
    try:
        activelogic_backup.main()
    except Counted as counted:
        print(json.dumps(counted.args[0]))
"""


def test_the_way_to_the_request_of_a_create_is_short() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT_FRAMES], check=True, capture_output=True, text=True)
    frames = json.loads(done.stdout)
    assert (frames[0], frames[-1]) == ("main", "answer")
    assert len(frames) <= MOST_FRAMES, frames


# Documentation shared by several modules


def described(name: str) -> Any:
    module = importlib.import_module(f"ansible_collections.netops.activelogic.plugins.modules.{name}")
    return yaml.safe_load(module.RETURN)


@pytest.mark.parametrize("value", ["system", "error", "tries", "elapsed"])
def test_what_all_modules_return_is_described_the_same_way(value: str) -> None:
    first, *others = [described(name)[value] for name in MODULES]
    assert all(each == first for each in others)


@pytest.mark.parametrize("value", ["backup", "passed_over"])
def test_members_that_several_modules_return_are_described_the_same_way(value: str) -> None:
    members = [described(name)[value]["contains"] for name in MODULES if value in described(name)]
    assert len(members) >= 2
    for key in set.intersection(*map(set, members)):
        kinds = [{**each[key], "description": ""} for each in members]
        assert all(each == kinds[0] for each in kinds), key
        if value == "backup" and key in ("name", "size"):  # these may not exist yet for a create
            continue
        assert all(each[key] == members[0][key] for each in members), key
