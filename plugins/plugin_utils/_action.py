# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base of the action plugins: they fill in and check options, then run the module.

Private to this collection. Missing options come from ``activelogic_*`` variables, the task's environment, the process
environment, and the inventory, in this order; but ``host`` never comes from the environment for a host that the
inventory names. An empty string counts as not set: core would reject it as a number and accept it as a password.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.basic import FILE_COMMON_ARGUMENTS
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.netops.activelogic.plugins.module_utils._connection import (
    REQUIRED,
    check_places,
    connection_argument_spec,
    environment_name,
    not_set,
    variable_name,
)
from ansible_collections.netops.activelogic.plugins.module_utils._errors import ActiveLogicError
from ansible_collections.netops.activelogic.plugins.module_utils._failures import (
    CONNECTION_LOGIN_MISSING,
    PYTHON_TOO_OLD,
)
from ansible_collections.netops.activelogic.plugins.module_utils._options import (
    hide_login,
    require_known,
    require_written_right,
)
from ansible_collections.netops.activelogic.plugins.plugin_utils._interrupted import shown_when_interrupted

USE_CONNECTION_LOGIN = "activelogic_use_connection_login"
LOCALHOST = ("localhost", "127.0.0.1", "::1")
"""Names of the control node in an inventory, as in core."""

USERS_OF_CONNECTION = ("ansible_user", "ansible_ssh_user")
OLD_PYTHON = (
    "ansible-core requires a minimum of Python",
    "Ansible requires Python",
    "ActiveLogic: the modules need Python",
)
"""How the messages of core, or of the module, begin when Python is too old."""

KEPT_ENVIRONMENT = "_netops_activelogic_environment"
"""Attribute of a task object; the object belongs to the process for one host and one loop item."""

CRASH = ("module_stdout", "module_stderr", "exception")
"""Keys where core puts the traceback of a module that crashed, such as one with a syntax error in an old Python."""


class ActionModuleBase(ActionBase):
    """Base of the action plugins; a plugin returns its module's ``argument_spec``.

    :cvar has_file_options: whether core adds file options, such as ``owner``, to the module.
    """

    has_file_options = False
    _supports_async = True
    _supports_check_mode = True

    def module_argument_spec(self) -> dict[str, dict[str, Any]]:
        """The options of the module of the same name."""
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fill in the options and run the module where the task runs."""
        task_vars = {} if task_vars is None else task_vars
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments: dict[str, Any] = {}
        try:
            self._fill(arguments, task_vars)
        except ActiveLogicError as error:
            return {**result, **_failure(error, arguments, task_vars)}
        wrap_async = bool(self._task.async_val) and not getattr(self._connection, "has_native_async", False)
        module_vars = self._with_interpreter(task_vars)
        with ExitStack() as stack:
            if arguments.get("state") == "restored" and not wrap_async and not self._task.check_mode:
                stack.enter_context(shown_when_interrupted(_interrupted_restore(arguments)))
            done = self._execute_module(module_args=arguments, task_vars=module_vars, wrap_async=wrap_async)
        result.update(self._with_python_explained(done, arguments, task_vars))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    # Options

    def _fill(self, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> None:
        """Put the options of the task, and the missing ones, into ``arguments``.

        :raises ActiveLogicError: for an invalid option, or one that must not get into a process or a result.
        """
        spec = {**(FILE_COMMON_ARGUMENTS if self.has_file_options else {}), **self.module_argument_spec()}
        given = {key: value for key, value in self._task.args.items() if not _is_unset(value)}
        arguments.update(given)
        require_known(spec, [key for key in given if not key.startswith("_")], self._task.action.rpartition(".")[2])
        environment = take_environment(self._task)
        for option in connection_argument_spec():
            if not {option, *spec[option].get("aliases", [])} & set(given):
                value, source = self._from_elsewhere(option, task_vars, environment)
                if not _is_unset(value):
                    require_written_right(spec[option], value, source, option)
                    arguments[option] = value
        if "host" not in arguments:
            arguments["host"] = self._inventory_address(task_vars)
        for option, value in given.items():
            require_written_right(_spec_of(spec, option), value, option, option)
        check_places(arguments)
        why = self._fill_connection_login(arguments, task_vars)
        for option in REQUIRED:
            if _is_unset(arguments.get(option)):
                if why and option != "host":
                    raise CONNECTION_LOGIN_MISSING.error(option=option, variable=variable_name(option), why=why)
                raise not_set(option)

    def _from_elsewhere(
        self, option: str, task_vars: Mapping[str, Any], environment: Mapping[str, Any]
    ) -> tuple[Any, str]:
        """The value of an option that the task leaves out, and what it was given as."""
        variable, name = variable_name(option), environment_name(option)
        value = self._from_variable(variable, task_vars)
        if not _is_unset(value):
            return value, f"the variable {variable}"
        value = environment.get(name)
        if _is_unset(value):
            value = os.environ.get(name)
        if option == "host" and not _is_unset(value) and self._is_in_inventory(task_vars):
            self._display.warning(
                f"{name} in the environment is not used for hosts that the inventory names, as it would make all of"
                f" them the same system; set ansible_host or {variable}."
            )
            return None, ""
        return value, f"the environment variable {name}"

    def _from_variable(self, name: str, task_vars: Mapping[str, Any]) -> Any:
        if name not in task_vars:
            return None
        try:
            return self._templar.template(task_vars[name])
        except AnsibleError as error:
            raise AnsibleError(f"the variable {name} can't be resolved: {error}") from error

    # The system

    def _is_in_inventory(self, task_vars: Mapping[str, Any]) -> bool:
        """Whether the inventory names the system: always, except for a localhost that is this machine."""
        address = self._own_variables(task_vars).get("ansible_host")
        if not _is_unset(address):
            address = self._templar.template(address)
        return task_vars.get("inventory_hostname") not in LOCALHOST or not (_is_unset(address) or address in LOCALHOST)

    def _inventory_address(self, task_vars: Mapping[str, Any]) -> Any:
        """``ansible_host`` of the host itself (not of a delegate), else its name."""
        address = self._own_variables(task_vars).get("ansible_host")
        if not _is_unset(address):
            address = self._templar.template(address)
            require_written_right({"type": "str"}, address, "the variable ansible_host", "host")
        return str(task_vars.get("inventory_hostname") or "") if _is_unset(address) else address

    @staticmethod
    def _own_variables(task_vars: Mapping[str, Any]) -> Mapping[str, Any]:
        """The host's own variables: with ``delegate_to`` core mixes in those of the delegate."""
        name, hostvars = task_vars.get("inventory_hostname"), task_vars.get("hostvars")
        own: Mapping[str, Any] = hostvars[name] if hostvars is not None and name in hostvars else task_vars
        return own

    # The login

    def _fill_connection_login(self, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> str:
        """Use the connection's login if the variable says so; its password only for its own user.

        :returns: why it could not be used although it was requested; else an empty string.
        """
        wanted = self._from_variable(USE_CONNECTION_LOGIN, task_vars)
        if _is_unset(wanted) or not boolean(wanted, strict=False):
            return ""
        if self._task.delegate_to:
            return "the task is delegated, and the connection is that of another host"
        user, password = self._play_context.remote_user, self._play_context.password
        if _is_unset(user):
            return "the connection has no user"
        if arguments.get("username", user) != user:
            return f"the connection's user {user} is another than username"
        if "username" not in arguments:
            arguments["username"] = user
            if user == "root" and not any(name in self._own_variables(task_vars) for name in USERS_OF_CONNECTION):
                self._display.warning(
                    f"{USE_CONNECTION_LOGIN} takes the user root from the connection. That is also the user of a"
                    " Machine credential that has no user name: give it one if root is no user of the system."
                )
        if "password" not in arguments and not _is_unset(password):
            arguments["password"] = password
        return "" if "password" in arguments else f"the connection's user {user} has no password"

    # Interpreter

    def _with_interpreter(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """On a local connection without a configured interpreter, use the Python that runs Ansible.

        Interpreter discovery may find one without ``requests``.
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

    def _with_python_explained(
        self, done: dict[str, Any], arguments: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        """If core, or Python itself, rejects the module, say which Python is needed."""
        crash = " ".join(str(done.get(key, "")) for key in CRASH)
        if not done.get("failed") or not (str(done.get("msg", "")).startswith(OLD_PYTHON) or "SyntaxError" in crash):
            return done
        interpreter = str(getattr(self, "_used_interpreter", None) or "").lstrip("#!").strip()
        if not interpreter:
            return done
        asked = self._low_level_execute_command(f"{interpreter} --version")
        said = f"{asked.get('stdout', '')} {asked.get('stderr', '')}".split()  # Python 2 prints it to standard error
        version = next((word for word in said if word[:1].isdigit()), "older")
        error = PYTHON_TOO_OLD.error(interpreter=interpreter, version=version)
        kept = {key: value for key, value in done.items() if key not in CRASH}
        return {**kept, **_failure(error, arguments, task_vars)}


def take_environment(task: Any) -> dict[str, Any]:
    """Take our options out of the keyword ``environment``, which core has already merged and templated.

    Core writes the environment of a module into its command line, which the process list and ``-vvv`` show, also for
    the modules that wait for a background task. So the values are removed from the task, and kept in an attribute for
    retries.
    """
    kept: dict[str, Any] = getattr(task, KEPT_ENVIRONMENT, {})
    ours = {environment_name(option) for option in connection_argument_spec()}
    left = []
    for entry in task.environment or []:
        if isinstance(entry, Mapping):
            kept.update((str(key), value) for key, value in entry.items() if key in ours)
            left.append({key: value for key, value in entry.items() if key not in ours})
        else:
            left.append(entry)
    task.environment = left
    setattr(task, KEPT_ENVIRONMENT, kept)
    return {name: value for name, value in kept.items() if not _is_unset(value)}


def _failure(error: ActiveLogicError, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a task that fails before its module runs."""
    host = arguments.get("host")
    system = hide_login(host) if isinstance(host, str) else str(task_vars.get("inventory_hostname") or "")
    return {"failed": True, **error.to_result(system, tries=1, elapsed=0.0)}


def _spec_of(spec: Mapping[str, Mapping[str, Any]], option: str) -> Mapping[str, Any]:
    """The specification of an option, by its name or an alias."""
    for name, each in spec.items():
        if option == name or option in each.get("aliases", ()):
            return each
    return {"type": "raw"}


def _interrupted_restore(arguments: Mapping[str, Any]) -> str:
    """The notice for an interrupted restore until the module updates it; a module on another machine can't."""
    return (
        f"ActiveLogic system {arguments.get('host')}: the restore of the backup {arguments.get('name')!r} may go on "
        "where it runs; its safety backup, if one was made, has a name that begins with pre-restore-."
    )


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value == "")
