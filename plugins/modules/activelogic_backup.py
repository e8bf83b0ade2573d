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
  - A backup counts as there only when it is complete. It is listed, is not empty, and has the same size in two listings
    that are two seconds apart.
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
      - V(absent) needs O(name) or O(names). A backup that is not there is fine.
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
    type: str
  always:
    description:
      - Make a new backup each time.
    type: bool
  prefix:
    description:
      - How the names of new backups begin. With O(max_age) only backups whose names begin so are looked at.
      - A new name is the prefix, the time in UTC and four random characters, such as
        C(nightly-20260131T021500Z-7f3a.plb).
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
    type: bool
    default: false
  timezone:
    description:
      - The time zone of names that the system chose, such as V(UTC) or V(Europe/Stockholm). Without it their age is
        not known.
    type: str
  min_size:
    description:
      - Bytes that a complete backup has at least.
    type: int
    default: 1
  verify:
    description:
      - How a backup that the task makes or relies on is looked at, once the system lists it as complete.
      - V(archive) downloads it, and looks whether it is whole. That shows where it is an archive of a usual format
        (gzip, zip, tar, bzip2 or xz) by its checksums and its end; nothing can be said about other content. It needs
        the right to download, and room for a copy in the folder for temporary files where the module runs.
      - An archive that would need more than about 45 MiB of memory, more than O(transfer_timeout), or that unpacks to
        more than 256 MiB and to more than 100 times its size, is not read to its end, and a warning says so.
      - V(size) relies on the listing alone. A backup that stays at half its size is then taken for a whole one, unless
        O(min_size) tells.
    type: str
    choices: [archive, size]
    default: archive
  force:
    description:
      - With O(state=present) and O(name), make the backup anew if the one that is there is not complete.
      - With O(state=restored), restore without looking for a proof that it is not needed.
    type: bool
    default: false
  safety_backup:
    description:
      - Make a backup of everything before a restore. If it can't be made, nothing is restored. It stays when something
        was restored, and RV(safety_backup) names it.
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
"""

EXAMPLES = r"""
- name: Have a backup that is at most a day old
  netops.activelogic.activelogic_backup:
    max_age: 24h

- name: Make a named backup before an upgrade
  netops.activelogic.activelogic_backup:
    name: before-upgrade.plb

- name: Make a backup of one resource
  netops.activelogic.activelogic_backup:
    always: true
    prefix: rules-
    resource_name: Ruleset

- name: Remove two backups
  netops.activelogic.activelogic_backup:
    state: absent
    names:
      - before-upgrade.plb
      - rules-20260131T021500Z-7f3a-only-ruleset.plb

- name: Bring a configuration back
  netops.activelogic.activelogic_backup:
    state: restored
    name: before-upgrade.plb
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
from ansible_collections.netops.activelogic.plugins.module_utils._runner import run
from ansible_collections.netops.activelogic.plugins.module_utils._states import apply_state


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
    run(module, apply_state)


if __name__ == "__main__":
    main()
