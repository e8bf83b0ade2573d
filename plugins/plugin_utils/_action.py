# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action plugins of all modules share: they fill in and clean options, then run the module.

Private to this collection. What a task leaves out comes from ``activelogic_*`` variables, the task's environment, the
environment, and the inventory, in this order; the environment does not name the system of a host that the inventory
names. An empty string counts as not set, from wherever it comes: core would refuse it for a number, and would take it
for a password.
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
from ansible_collections.netops.activelogic.plugins.plugin_utils._interrupted import told_when_interrupted

USE_CONNECTION_LOGIN = "activelogic_use_connection_login"
LOCALHOST = ("localhost", "127.0.0.1", "::1")
"""Names of the control node in an inventory, as core knows them."""

USERS_OF_CONNECTION = ("ansible_user", "ansible_ssh_user")
OLD_PYTHON = (
    "ansible-core requires a minimum of Python",
    "Ansible requires Python",
    "ActiveLogic: the modules need Python",
)
"""How core, or the module, begins what it says in a Python that is too old for it."""

KEPT_ENVIRONMENT = "_netops_activelogic_environment"
"""Attribute of a task, in the process that runs it for one host and one item of a loop."""

CRASH = ("module_stdout", "module_stderr", "exception")
"""Where core keeps the traceback of a module that crashed, as one does that the Python can't even read."""


class ActionModuleBase(ActionBase):
    """Base of the action plugins; a plugin names its module's ``argument_spec``.

    :cvar has_file_options: whether core adds the options of files, such as ``owner``, to the module.
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
                stack.enter_context(told_when_interrupted(_interrupted_restore(arguments)))
            done = self._execute_module(module_args=arguments, task_vars=module_vars, wrap_async=wrap_async)
        result.update(self._with_python_explained(done, arguments, task_vars))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    # Options

    def _fill(self, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> None:
        """Put the options of the task, and what it leaves out, into ``arguments``.

        :raises ActiveLogicError: for what can't be right, and for what must not get into a process or a result.
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
        """Whether the inventory names the system: always, but for a localhost that is just this machine."""
        address = self._own_variables(task_vars).get("ansible_host")
        if not _is_unset(address):
            address = self._templar.template(address)
        return task_vars.get("inventory_hostname") not in LOCALHOST or not (_is_unset(address) or address in LOCALHOST)

    def _inventory_address(self, task_vars: Mapping[str, Any]) -> Any:
        """``ansible_host`` of the host itself, not of the one that the task is delegated to, else its name."""
        address = self._own_variables(task_vars).get("ansible_host")
        if not _is_unset(address):
            address = self._templar.template(address)
            require_written_right({"type": "str"}, address, "the variable ansible_host", "host")
        return str(task_vars.get("inventory_hostname") or "") if _is_unset(address) else address

    @staticmethod
    def _own_variables(task_vars: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the inventory says of the host: with ``delegate_to`` core mixes in what belongs to the delegate."""
        name, hostvars = task_vars.get("inventory_hostname"), task_vars.get("hostvars")
        own: Mapping[str, Any] = hostvars[name] if hostvars is not None and name in hostvars else task_vars
        return own

    # The login

    def _fill_connection_login(self, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> str:
        """Take the connection's login where that is asked for; a password only with its own user.

        :returns: why it was not taken although that was asked for; else an empty string.
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

    def _with_python_explained(
        self, done: dict[str, Any], arguments: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Say which Python is needed where core, or that Python itself, refuses to run the module."""
        crash = " ".join(str(done.get(key, "")) for key in CRASH)
        if not done.get("failed") or not (str(done.get("msg", "")).startswith(OLD_PYTHON) or "SyntaxError" in crash):
            return done
        interpreter = str(getattr(self, "_used_interpreter", None) or "").lstrip("#!").strip()
        if not interpreter:
            return done
        asked = self._low_level_execute_command(f"{interpreter} --version")
        said = f"{asked.get('stdout', '')} {asked.get('stderr', '')}".split()  # Python 2 says it on standard error
        version = next((word for word in said if word[:1].isdigit()), "older")
        error = PYTHON_TOO_OLD.error(interpreter=interpreter, version=version)
        kept = {key: value for key, value in done.items() if key not in CRASH}
        return {**kept, **_failure(error, arguments, task_vars)}


def take_environment(task: Any) -> dict[str, Any]:
    """What the keyword ``environment`` says of our options; core has merged it, inner over outer, and templated it.

    It is taken out of the task, because core writes the environment of a module into its command line, which the
    process list and ``-vvv`` show; also that of the modules by which core waits for a task in the background.
    A task that is tried again finds it where it was kept, beside the task.
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
    """The result of a task that fails before its module has run."""
    host = arguments.get("host")
    system = hide_login(host) if isinstance(host, str) else str(task_vars.get("inventory_hostname") or "")
    return {"failed": True, **error.to_result(system, tries=1, elapsed=0.0)}


def _spec_of(spec: Mapping[str, Mapping[str, Any]], option: str) -> Mapping[str, Any]:
    """The specification of an option that is given by its name or an alias."""
    for name, each in spec.items():
        if option == name or option in each.get("aliases", ()):
            return each
    return {"type": "raw"}


def _interrupted_restore(arguments: Mapping[str, Any]) -> str:
    """What is known of a restore before its module says more; one on another machine never does."""
    return (
        f"ActiveLogic system {arguments.get('host')}: the restore of the backup {arguments.get('name')!r} may go on "
        "where it runs; its safety backup, if one was made, has a name that begins with pre-restore-."
    )


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value == "")
