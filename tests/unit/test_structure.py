# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What no standard gate sees: modules, action plugins, action group, documentation and version belong together."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import ansible_collections.netops.activelogic as collection  # type: ignore[import-untyped]
import pytest
import yaml
from ansible_collections.netops.activelogic.plugins.module_utils._connection import connection_argument_spec
from ansible_collections.netops.activelogic.plugins.module_utils._version import VERSION

ROOT = Path(next(iter(collection.__path__)))
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py") if path.stem != "__init__")
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def module(name: str) -> Any:
    return importlib.import_module(f"ansible_collections.netops.activelogic.plugins.modules.{name}")


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_there_are_modules_and_roles() -> None:
    assert MODULES == ["activelogic_backup", "activelogic_backup_info", "activelogic_backup_transfer"]
    assert ROLES == ["backup_and_fetch"]


def test_every_module_is_in_the_action_group() -> None:
    assert sorted(load("meta/runtime.yml")["action_groups"]["activelogic"]) == MODULES


def test_version_is_that_of_the_collection() -> None:
    manifest = ROOT / "MANIFEST.json"
    version = load("MANIFEST.json")["collection_info"] if manifest.exists() else load("galaxy.yml")
    assert version["version"] == VERSION


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_an_action_plugin_with_its_specification(name: str) -> None:
    action = importlib.import_module(f"ansible_collections.netops.activelogic.plugins.action.{name}")
    assert action.ActionModule.module_argument_spec(None) == module(name).argument_spec()
    assert set(connection_argument_spec()) <= set(module(name).argument_spec())


@pytest.mark.parametrize("name", MODULES)
def test_examples_use_options_that_exist(name: str) -> None:
    known = set(module(name).argument_spec())
    for task in yaml.safe_load(module(name).EXAMPLES):
        assert set(task[f"netops.activelogic.{name}"] or {}) <= known


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_of_a_role_agree(role: str) -> None:
    defaults = load(f"roles/{role}/defaults/main.yml")
    options = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(defaults) == set(options)
    for name, option in options.items():
        assert name.startswith(f"{role}_")
        if not option.get("required"):
            assert option["default"] == defaults[name]
