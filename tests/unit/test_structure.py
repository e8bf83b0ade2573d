# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consistency that linters don't check: modules, action plugins, action group, documentation and version."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import ansible_collections.netops.activelogic as collection
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.netops.activelogic.plugins.module_utils._connection import connection_argument_spec
from ansible_collections.netops.activelogic.plugins.module_utils._version import VERSION
from jinja2 import StrictUndefined
from jinja2.nativetypes import NativeEnvironment

ROOT = Path(next(iter(collection.__path__)))
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py") if path.stem != "__init__")
SYSTEMS = ["activelogic_backup", "activelogic_backup_info", "activelogic_backup_transfer"]
"""Modules that work on a system."""
HELPERS = ["activelogic_local_path", "activelogic_summary"]
"""Modules that the roles use and that contact no system."""
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def module(name: str) -> Any:
    return importlib.import_module(f"ansible_collections.netops.activelogic.plugins.modules.{name}")


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_there_are_modules_and_roles() -> None:
    assert sorted([*SYSTEMS, *HELPERS]) == MODULES
    assert ROLES == ["backup_and_fetch"]


def test_every_module_that_works_on_a_system_is_in_the_action_group() -> None:
    assert sorted(load("meta/runtime.yml")["action_groups"]["activelogic"]) == SYSTEMS


def test_version_is_that_of_the_collection() -> None:
    manifest = ROOT / "MANIFEST.json"
    version = load("MANIFEST.json")["collection_info"] if manifest.exists() else load("galaxy.yml")
    assert version["version"] == VERSION


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_module_has_an_action_plugin_with_its_specification(name: str) -> None:
    action = importlib.import_module(f"ansible_collections.netops.activelogic.plugins.action.{name}")
    assert action.ActionModule.module_argument_spec(None) == module(name).argument_spec()
    assert set(connection_argument_spec()) <= set(module(name).argument_spec())


@pytest.mark.parametrize("name", MODULES)
def test_examples_use_options_that_exist(name: str) -> None:
    described = set(yaml.safe_load(module(name).DOCUMENTATION)["options"])
    known = set(module(name).argument_spec()) if hasattr(module(name), "argument_spec") else described
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


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("empty", ["", None])
def test_empty_variable_of_a_role_takes_its_default(role: str, empty: str | None) -> None:
    """The specification accepts an empty value too, so that an unanswered survey question does not fail the role."""
    defaults = load(f"roles/{role}/defaults/main.yml")
    templates = load(f"roles/{role}/vars/main.yml")
    assert set(templates) == {f"__{name}" for name in defaults}
    environment = NativeEnvironment(undefined=StrictUndefined)
    given = dict.fromkeys(defaults, empty)
    for name, default in defaults.items():
        assert environment.from_string(templates[f"__{name}"].strip()).render(given) == default
    specification = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    required = {name for name, option in specification.items() if option.get("required")}
    accepted = {**given, **dict.fromkeys(required, "/archive")}
    assert ArgumentSpecValidator(specification).validate(accepted).error_messages == []


@pytest.mark.parametrize("role", ROLES)
def test_variable_of_a_role_that_is_set_is_used_as_it_is(role: str) -> None:
    defaults = load(f"roles/{role}/defaults/main.yml")
    environment = NativeEnvironment(undefined=StrictUndefined)
    for name, template in load(f"roles/{role}/vars/main.yml").items():
        for value in (0, False, "other"):
            given = {**defaults, name.removeprefix("__"): value}
            assert environment.from_string(template.strip()).render(given) == value


@pytest.mark.parametrize("role", ROLES)
def test_tasks_of_a_role_use_the_variables_without_the_empty_ones(role: str) -> None:
    text = (ROOT / "roles" / role / "tasks" / "main.yml").read_text(encoding="utf-8")
    used = set(re.findall(rf"(?<!\w){role}_\w+", re.sub(r"(option|switch|fail_msg): \S+|'[^']*'", "", text)))
    assert used == set()
