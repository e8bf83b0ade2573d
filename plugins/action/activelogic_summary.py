# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Show what a role did for each system, when the last one has finished."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812  # as Ansible itself calls it
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.netops.activelogic.plugins.plugin_utils._summary import (
    FAILED,
    left_row,
    lines,
    row,
    totals,
)
from ansible_collections.netops.activelogic.plugins.plugin_utils._turns import Turn

OPTIONS = ("step", "run", "made", "fetched", "failure")
HIDDEN = "why is hidden by no_log"


class ActionModule(ActionBase):
    """Action plugin of the module of the same name, which only documents it: all of it runs on the control node."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Note that a host begins or ends; the last one to end shows all results."""
        variables = {} if task_vars is None else task_vars
        result: dict[str, Any] = super().run(tmp, variables)
        given = self._task.args
        if set(given) - set(OPTIONS) or given.get("step") not in ("begin", "end"):
            raise AnsibleActionFail(f"step must be begin or end, and there is nothing beside {', '.join(OPTIONS)}")
        result["changed"] = False
        host = str(variables.get("inventory_hostname", ""))
        if given["step"] == "begin":
            turn = Turn.begin(Path(C.DEFAULT_LOCAL_TMP), _place(self._task), host)
            return {**result, "run": str(turn.folder)}
        return {**result, **self._end(host, variables)}

    def _end(self, host: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        given = self._task.args
        check = bool(self._task.check_mode)
        made, fetched = given.get("made") or {}, given.get("fetched") or {}
        own = row(host, made, fetched, _hide(str(given.get("failure") or ""), variables), check)
        if self._task.no_log and own["reason"]:
            own["reason"] = HIDDEN
        summary = self._show(own, str(given.get("run") or ""), variables, check)
        result: dict[str, Any] = {"summary": summary} if summary else {}
        if own["result"] != FAILED:
            return {"system": own, **result}
        # Ansible prints the whole result of a failure, and the rows have been printed already.
        result.get("summary", {}).pop("systems", None)
        return {"failed": True, "msg": f"not saved: {own['reason']}", **result}

    def _show(self, own: dict[str, Any], run: str, variables: Mapping[str, Any], check: bool) -> dict[str, Any] | None:
        """Show the rows that have not been shown yet, unless another host is still running and will do so.

        :return: the counts and all rows of this run; ``None`` when another host shows them.
        """
        hosts = [str(each) for each in variables.get("ansible_play_hosts_all", [own["host"]])]
        left = sorted(set(hosts) - set(variables.get("ansible_play_hosts", hosts)))
        if not run:  # the role failed before it began
            rows = {own["host"]: own}
            new = [own]
        else:
            turn = Turn(Path(run))
            turn.arrive(own["host"], own)
            if turn.awaits(left):
                return None
            rows = turn.rows()
            rows |= {host: left_row(host) for host in left if host not in rows}
            if not turn.may_print(rows.values()):
                return None
            new = [each for each in rows.values() if turn.is_new(each)]
        counts = totals(rows.values(), hosts)
        for line in lines(new, counts, check):
            Display().display(line)
        return {**counts, "systems": [rows[host] for host in hosts if host in rows]}


def _place(task: Any) -> str:
    """A key for this task that is the same for all hosts; a task that was included is loaded anew for each host.

    :return: the id of the task or of its outermost include, and the paths of all includes.
    """
    identity, places = str(task._uuid), []
    while task is not None:
        if hasattr(task, "statically_loaded") and not task.statically_loaded and hasattr(task, "args"):
            identity = str(task._uuid)
            places.append(str(task.get_path()))
        task = task._parent
    return " ".join([identity, *places])


def _hide(text: str, variables: Mapping[str, Any]) -> str:
    """Mask the password in a message of Ansible's own; the modules mask theirs themselves."""
    for secret in (variables.get("activelogic_password"), os.environ.get("ACTIVELOGIC_PASSWORD")):
        if isinstance(secret, str) and secret and "{{" not in secret:
            text = text.replace(str(secret), "********")
    return text
