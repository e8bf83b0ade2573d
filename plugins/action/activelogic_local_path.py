# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check a local path on the machine that writes the files: directly on the control node, elsewhere with the module."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.netops.activelogic.plugins.module_utils._errors import ActiveLogicError
from ansible_collections.netops.activelogic.plugins.module_utils._files._lasting import checked, in_container_of_a_job
from ansible_collections.netops.activelogic.plugins.modules.activelogic_local_path import argument_spec
from ansible_collections.netops.activelogic.plugins.plugin_utils._action import take_environment


class ActionModule(ActionBase):
    """Action plugin of the module of the same name. On the control node it avoids starting the module."""

    _supports_check_mode = True

    def module_argument_spec(self) -> dict[str, dict[str, Any]]:
        """The options of the module."""
        return argument_spec()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the path."""
        task_vars = {} if task_vars is None else task_vars
        result: dict[str, Any] = super().run(tmp, task_vars)
        take_environment(self._task)  # the module needs no login, and its command line would show it
        local = getattr(self._connection, "transport", "") == "local"
        given = {key: value for key, value in self._task.args.items() if value is not None and value != ""}
        given.setdefault("host", str(task_vars.get("inventory_hostname", "")))
        if local and in_container_of_a_job(os.environ):
            given["in_job"] = True  # with become, the other user's environment may lack the marks
        if local and self._connection.become is None and not any(self._task.environment or []):
            return {**result, **self._checked(given)}
        result.update(self._execute_module(module_args=given, task_vars=task_vars))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _checked(self, given: dict[str, Any]) -> dict[str, Any]:
        """The result that the module would return, as this user and in the folder where modules run."""
        validated = ArgumentSpecValidator(argument_spec()).validate(given)
        if validated.error_messages:
            raise AnsibleActionFail("; ".join(validated.error_messages))
        options = validated.validated_parameters
        try:
            path, warning = checked(
                options["path"],
                options["option"],
                options["switch"],
                allowed=options["allow_ephemeral"],
                in_job=options["in_job"],
                folder=self._loader.get_basedir(),
            )
        except ActiveLogicError as error:
            return {"failed": True, "changed": False, **error.to_result(options["host"], tries=1, elapsed=0.0)}
        return {"changed": False, "path": path, **({"warnings": [warning]} if warning else {})}
