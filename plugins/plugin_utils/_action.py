# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action plugins of all modules share: they fill in and clean options, then run the module.

Private to this collection. What a task leaves out comes from ``activelogic_*`` variables, the task's environment, the
environment, and the inventory, in this order. An empty string counts as not set, from wherever it comes: core would
refuse it for a number, and would take it for a password.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.netops.activelogic.plugins.module_utils._connection import (
    REQUIRED,
    connection_argument_spec,
    environment_name,
    not_set,
    variable_name,
)

USE_CONNECTION_LOGIN = "activelogic_use_connection_login"


class ActionModuleBase(ActionBase):
    """Base of the action plugins; a plugin names its module's ``argument_spec``."""

    _supports_async = True
    _supports_check_mode = True

    def module_argument_spec(self) -> dict[str, dict[str, Any]]:
        """The options of the module of the same name."""
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fill in the options and run the module where the task runs."""
        task_vars = {} if task_vars is None else task_vars
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._filled(task_vars)
        for option in REQUIRED:
            if option not in arguments:
                failure = not_set(option).to_result(str(arguments.get("host", "")), tries=0, elapsed=0.0)
                return {**result, "failed": True, **failure}
        wrap_async = bool(self._task.async_val) and not getattr(self._connection, "has_native_async", False)
        module_vars = self._with_interpreter(task_vars)
        result.update(self._execute_module(module_args=arguments, task_vars=module_vars, wrap_async=wrap_async))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    # Options

    def _filled(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        spec = self.module_argument_spec()
        arguments = {key: value for key, value in self._task.args.items() if not _is_unset(value)}
        given = set(arguments)
        environment = self._task_environment()
        for option in connection_argument_spec():
            names = {option, *spec[option].get("aliases", [])}
            if names & given:
                continue
            value = self._from_variable(variable_name(option), task_vars)
            if _is_unset(value):
                value = environment.get(environment_name(option)) or os.environ.get(environment_name(option))
            if not _is_unset(value):
                arguments[option] = value
        if "host" not in arguments:
            host = self._inventory_address(task_vars)
            if host:
                arguments["host"] = host
        self._fill_connection_login(arguments, task_vars)
        return arguments

    def _from_variable(self, name: str, task_vars: Mapping[str, Any]) -> Any:
        if name not in task_vars:
            return None
        try:
            return self._templar.template(task_vars[name])
        except AnsibleError as error:
            raise AnsibleError(f"the variable {name} can't be resolved: {error}") from error

    def _task_environment(self) -> dict[str, str]:
        """The keyword ``environment``, which core has merged, inner over outer, and templated.

        It is not in the controller's own environment.
        """
        entries = self._task.environment or []
        return {str(key): str(value) for entry in entries for key, value in entry.items() if not _is_unset(value)}

    def _inventory_address(self, task_vars: Mapping[str, Any]) -> str | None:
        """``ansible_host`` of the host itself, not of the one that the task is delegated to, else its name."""
        name = task_vars.get("inventory_hostname")
        hostvars = task_vars.get("hostvars")
        own = hostvars[name] if hostvars is not None and name in hostvars else task_vars
        address = own.get("ansible_host")
        if not _is_unset(address):
            address = self._templar.template(address)
        return str(name if _is_unset(address) else address) if name or address else None

    def _fill_connection_login(self, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> None:
        """Take the connection's login where that is asked for; a password only with its own user."""
        wanted = self._from_variable(USE_CONNECTION_LOGIN, task_vars)
        if _is_unset(wanted) or not boolean(wanted, strict=False) or self._task.delegate_to:
            return
        user, password = self._play_context.remote_user, self._play_context.password
        if _is_unset(user) or arguments.get("username", user) != user:
            return
        arguments["username"] = user
        if "password" not in arguments and not _is_unset(password):
            arguments["password"] = password

    # Interpreter

    def _with_interpreter(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """On a local connection without an interpreter set, run the module with the Python that runs Ansible.

        Discovery may find one that lacks ``requests``.
        """
        if getattr(self._connection, "transport", "") != "local":
            return task_vars
        key = "ansible_python_interpreter"
        variables = task_vars
        delegate = self._task.delegate_to
        if delegate:
            variables = task_vars.get("ansible_delegated_vars", {}).get(delegate, {})
        current = variables.get(key)
        if not _is_unset(current) and not str(current).startswith("auto"):
            return task_vars
        changed = {**task_vars, key: sys.executable}
        if delegate:
            delegated = dict(task_vars.get("ansible_delegated_vars", {}))
            delegated[delegate] = {**variables, key: sys.executable}
            changed["ansible_delegated_vars"] = delegated
        return changed


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value == "")
