#!/usr/bin/python
# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create, remove and restore backups of an ActiveLogic system."""

DOCUMENTATION = r"""
module: activelogic_backup
short_description: Create, remove and restore backups of an ActiveLogic system
version_added: 0.1.0
description:
  - Makes sure that a backup is there, that it is not there, or that the system holds the configuration of a backup.
  - A backup counts only when it is complete, which means that it is listed, is not empty, and has the same size in two
    listings that are two seconds apart.
  - The purpose of a backup is read from its name, and only names in exactly the forms that this module makes are
    understood. Full backups are called C(<prefix><date>-<4 hex>.plb), those of one resource
    C(<prefix><date>-<4 hex>-only-<resource>.plb), safety backups C(pre-restore-<date>-<4 hex>.plb), and those that a
    restore makes to compare, and removes again, C(compare-<date>-<4 hex>.plb). A backup of any other name counts as a
    full one whose date is not known.
author:
  - Contributors to the netops.activelogic collection (@netops)
extends_documentation_fragment:
  - netops.activelogic._connection
  - netops.activelogic._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(always=true) makes a new backup each time.
      - O(state=restored) restores unless a fresh backup proves that the system holds the configuration already. A
        system whose backups differ each time without a change gives no proof.
options:
  state:
    description:
      - V(present) needs one of O(name), O(max_age) and O(always).
      - V(absent) needs O(name) or O(names). Backups that do not exist are fine.
      - V(restored) needs O(name). It makes a safety backup and compares it with the wanted one. If they are equal,
        nothing is restored, and the safety backup is removed. Otherwise it restores, waits until the system is ready
        again, and compares a fresh backup with the wanted one.
    type: str
    choices: [present, absent, restored]
    default: present
  name:
    description:
      - The name of the backup, such as C(before-upgrade.plb).
      - At most 255 bytes of UTF-8, without slashes, backslashes and control characters.
      - With O(state=present), a backup of that name that is there is enough, whenever it was made. Where its name does
        not tell its age, RV(reason) says so, and there is a warning. To have one that is new, use O(max_age) and
        O(prefix) in place of O(name). The warning does not appear where the name tells the date, as those do that this
        module makes, nor in the run that makes the backup.
      - A new backup can't be given a name by which it would be taken for something else, such as that of a full backup
        with O(resource_name).
    type: str
  names:
    description:
      - Several names to remove, with O(state=absent). No patterns.
    type: list
    elements: str
  max_age:
    description:
      - How old the newest full backup may be, such as V(90s), V(30m), V(24h), V(7d) or V(2w), a bare number being
        seconds. If there is no complete one that is young enough, a new one is made.
      - The age comes from the name. Names that the system chose count only where O(timezone) is set. Backups of one
        resource and safety backups do not count.
      - A date that lies more than five minutes ahead of the clock where the module runs does not count either, and is
        warned of, because then one of two clocks, or O(timezone), is wrong. RV(passed_over) names such backups.
    type: str
  always:
    description:
      - Make a new backup each time.
    type: bool
  prefix:
    description:
      - How the names of new backups begin. With O(max_age) only backups whose names begin so are considered.
      - A new name is the prefix, the time in UTC and four random characters, such as
        C(nightly-20260131T021500Z-7f3a.plb).
      - Any text that can be part of a name, but for exactly V(pre-restore-) and V(compare-), with which the names of a
        restore's own backups begin.
    type: str
    default: ''
  resource_name:
    description:
      - Limit the backup, or the restore, to one resource of the system, such as V(Ruleset) or V(System Diagnostics).
      - Can't be used with O(max_age), which looks at full backups only.
    type: str
  system_name:
    description:
      - Let the system choose the name of a new backup. Such names have minutes only, and no time zone.
      - They tell neither prefix nor resource. So it can't be used with O(resource_name), nor with O(max_age) together
        with O(prefix) or without O(timezone), which would make a new backup each time.
    type: bool
    default: false
  timezone:
    description:
      - The time zone of names that the system chose, such as V(UTC) or V(Europe/Stockholm). Without it their age is
        not known.
    type: str
  min_size:
    description:
      - The minimum size of a complete backup, in bytes.
    type: int
    default: 1
  verify:
    description:
      - How a backup that the task makes or relies on is checked, once the system lists it as complete.
      - V(archive) downloads it and checks that it is intact. Archives of the usual formats (gzip, zip, tar, bzip2 or
        xz) show that by their checksums and their end; nothing can be said about other content. It needs
        the right to download, and room for a copy in the folder for temporary files where the module runs. What goes
        wrong there, such as a full disk, is never taken for an answer about the backup, and fails the task.
      - An archive that would need more than about 45 MiB of memory, more than O(transfer_timeout), or that unpacks to
        more than 256 MiB and to more than 100 times its size, is not read to its end, and a warning says so.
      - V(size) relies on the listing alone. Half a backup whose size does not change is then taken for a complete one,
        unless it is smaller than O(min_size).
    type: str
    choices: [archive, size]
    default: archive
  force:
    description:
      - With O(state=present) and O(name), make the backup anew if the one that is there is not complete.
      - With O(state=restored), restore without checking first whether that is needed. Together with O(verify=size)
        that needs no room where the module runs.
    type: bool
    default: false
  safety_backup:
    description:
      - Make a backup of everything before a restore. If it can't be made, nothing is restored. It stays when something
        was restored, and RV(safety_backup) names it. A run that is interrupted names it too; after Ctrl-C the last line
        that the command prints does, where the module runs on the machine of the command.
      - It is compared with the wanted backup, for which both are downloaded. If the system does not give one of them,
        nothing is known, and the restore goes on, with a warning. If that fails for a reason that lies where the module
        runs, at the gateway or between the two, such as a full disk, nothing is restored.
      - Without it nothing proves that a restore is not needed.
    type: bool
    default: true
  settle_after_restore:
    description:
      - Seconds that the system has to answer without a failure after a restore before it counts as ready, because some
        restarts begin late.
    type: float
    default: 15
  expected_machine_id:
    description:
      - The machine id that the system must have, such as V(001122334455). With another one nothing is done.
    type: str
seealso:
  - module: netops.activelogic.activelogic_backup_info
  - module: netops.activelogic.activelogic_backup_transfer
"""

EXAMPLES = r"""
- name: Have a backup that is at most a day old
  netops.activelogic.activelogic_backup:
    max_age: 24h

- name: Have a backup from just before an upgrade, also when the playbook runs a second time
  netops.activelogic.activelogic_backup:
    max_age: 10m
    prefix: before-upgrade-
  register: before_upgrade

- name: Have a named backup, whenever it was made
  netops.activelogic.activelogic_backup:
    name: golden.plb

- name: Make a backup of one resource
  netops.activelogic.activelogic_backup:
    always: true
    prefix: rules-
    resource_name: Ruleset

- name: Remove two backups
  netops.activelogic.activelogic_backup:
    state: absent
    names:
      - of-last-year.plb
      - rules-20260131T021500Z-7f3a-only-ruleset.plb

- name: Bring the configuration from before the upgrade back
  netops.activelogic.activelogic_backup:
    state: restored
    name: "{{ before_upgrade.backup.name }}"
"""

RETURN = r"""
action:
  description: What was done, or would be done in check mode.
  type: str
  returned: success
  sample: created
reason:
  description: Why, with the facts.
  type: str
  returned: success
  sample: 'there is no complete full backup with a known date (passed over: 1 safety backup)'
backup:
  description: The backup that the task is about; V(null) when several were removed, or none is there.
  type: dict
  returned: success
  contains:
    name:
      description: Its name. Empty in check mode when the system is to choose it.
      type: str
      sample: 20260131T021500Z-7f3a.plb
    size:
      description: Its size in bytes; V(null) in check mode when it does not exist yet.
      type: int
      sample: 10394934
    created:
      description: When it was made, in UTC, as its name tells; V(null) when that is not known.
      type: str
      sample: '2026-01-31T02:15:00Z'
    created_source:
      description: Where that is known from, V(name) or V(unknown).
      type: str
      sample: name
    age_seconds:
      description: How old it is; V(null) when that is not known.
      type: int
      sample: 7215
    purpose:
      description: V(full), V(partial) for one resource, or V(safety) for one that was made before a restore.
      type: str
      sample: full
verified_by:
  description:
    - What vouches for RV(backup), V(size) for the listing, and V(archive) where its content was read to its end and
      is a whole archive. Empty with O(state=absent), and in check mode for a backup that does not exist yet.
  type: list
  elements: str
  returned: success
  sample: [size, archive]
passed_over:
  description:
    - With O(max_age), full backups with O(prefix) that could have been the newest, and can't be relied on; 100 at most.
    - Empty when there are none, and without O(max_age).
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Its name.
      type: str
      sample: 20260131T022200Z-7f3a.plb
    why:
      description: What speaks against it.
      type: str
      sample: has a date that lies 7 min ahead of the clock
safety_backup:
  description:
    - The backup that was made before a restore, in the form of RV(backup); V(null) when there is none.
    - In a failure only its name, when it stays.
  type: dict
  returned: with O(state=restored)
verified:
  description:
    - Whether the system holds the configuration of the backup, as a comparison of backups proves. V(null) when nothing
      proves it, as with a system whose backups differ each time.
    - V(false) only in a failure, when two fresh backups equal each other, and not the restored one.
    - V(null) with a warning where something went wrong while it was compared, be it on the system or where the module
      runs. The restore was done then, and only what the system holds is not known.
  type: bool
  returned: with O(state=restored)
system:
  description: The system that answered.
  type: dict
  returned: success
  contains:
    host:
      description: The option O(host).
      type: str
      sample: edge1
    machineid:
      description: Its machine id.
      type: str
      sample: '001122334455'
    distversion:
      description: Its firmware.
      type: str
      sample: 22.20.06.1
elapsed:
  description: Seconds that the module took.
  type: float
  returned: always
tries:
  description: How often the most repeated request was sent; 1 when nothing had to be repeated.
  type: int
  returned: always
error:
  description: What went wrong, for programs.
  type: dict
  returned: failure
  contains:
    kind:
      description: A word for the class of the error.
      type: str
      sample: incomplete
    operation:
      description: What was being done.
      type: str
      sample: list the backups
    system:
      description: The option O(host).
      type: str
      sample: edge1
    tries:
      description: As RV(tries).
      type: int
    elapsed:
      description: As RV(elapsed).
      type: float
    hint:
      description: What to do about it.
      type: str
"""

from ansible_collections.netops.activelogic.plugins.module_utils._python import require_python

require_python()

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.netops.activelogic.plugins.module_utils._connection import (
    connection_argument_spec,
    connection_required_by,
)
from ansible_collections.netops.activelogic.plugins.module_utils._module._work import work_for_state
from ansible_collections.netops.activelogic.plugins.module_utils._runner import run


def argument_spec() -> dict[str, dict[str, Any]]:
    """The module's options; the action plugin reads them too."""
    return {
        **connection_argument_spec(),
        "state": {"type": "str", "choices": ["present", "absent", "restored"], "default": "present"},
        "name": {"type": "str"},
        "names": {"type": "list", "elements": "str"},
        "max_age": {"type": "str"},
        "always": {"type": "bool"},
        "prefix": {"type": "str", "default": ""},
        "resource_name": {"type": "str"},
        "system_name": {"type": "bool", "default": False},
        "timezone": {"type": "str"},
        "min_size": {"type": "int", "default": 1},
        "verify": {"type": "str", "choices": ["archive", "size"], "default": "archive"},
        "force": {"type": "bool", "default": False},
        "safety_backup": {"type": "bool", "default": True},
        "settle_after_restore": {"type": "float", "default": 15},
        "expected_machine_id": {"type": "str"},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[("name", "names"), ("name", "max_age", "always"), ("max_age", "resource_name")],
        required_if=[
            ("state", "present", ("name", "max_age", "always"), True),
            ("state", "absent", ("name", "names"), True),
            ("state", "restored", ("name",)),
        ],
        required_by=connection_required_by(),
    )
    run(module, work_for_state(module.params["state"]))


if __name__ == "__main__":
    main()
