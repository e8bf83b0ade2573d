# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the connection options. Private to this collection."""

from __future__ import annotations


class ModuleDocFragment:
    """The connection options of all modules; ``connection_argument_spec`` in module_utils specifies them."""

    DOCUMENTATION = r"""
options:
  host:
    description:
      - The ActiveLogic system. With O(gateway_url) its name in the gateway's configuration, else its address.
      - Every option of this group can also come from the variable C(activelogic_<option>), such as
        C(activelogic_username), of a host or group, and from the environment variable C(ACTIVELOGIC_<OPTION>).
        An option of the task wins over the variable, the variable over the environment. An empty string counts as
        not set, wherever it comes from.
      - Where it is set nowhere, it is C(ansible_host), else the name in the inventory.
      - E(ACTIVELOGIC_HOST) counts only for C(localhost), as it would make all hosts of an inventory the same system.
      - Options that are text take no list, truth value or number. Put values such as V('yes') and V('007') in quotes.
    type: str
  username:
    description:
      - A user of the ActiveLogic system. It has to be set in one of the places that O(host) names.
      - Where the variable C(activelogic_use_connection_login) is true, O(username) and O(password) are taken from the
        connection's login (C(ansible_user), C(ansible_password), a machine credential) if they are set nowhere else.
        A machine credential that has no user name logs in as C(root).
      - It holds no control character and, with O(gateway_url), no colon.
    type: str
  password:
    description:
      - The user's password, which has to be set like O(username). Keep it in a vault or in a credential, never on a
        command line.
      - Ansible masks every occurrence of it in results as C(********). Where it is shorter than 8 characters, or part
        of a name, names and sizes may be masked as well, and the module warns. A gateway takes no name that holds it.
      - It holds no control character, such as the end of a line of the file that it is read from.
    type: str
  gateway_url:
    description:
      - The URL of an activelogic-gateway, such as V(https://gateway.example.com:8443). Plain C(http) is allowed on the
        loopback interface only. It holds no user, query or fragment.
      - Where it is not set, the module reaches the system directly, through the vendor's Python package.
    type: str
  validate_certs:
    description:
      - Whether the gateway's certificate has to be trusted. Without it anybody on the way can read the password.
    type: bool
    default: true
  ca_path:
    description:
      - A file with the certificates of the authorities to trust, in PEM format, instead of the usual ones; or a folder
        of them that C(openssl rehash) has prepared.
      - Where it is not set, the file in the environment variable E(REQUESTS_CA_BUNDLE), else the bundle of the Python
        package C(requests).
      - The path has to be absolute once C(~) and variables are replaced, as those of all options that are local paths.
    type: path
  client_cert:
    description:
      - A file with the certificate to show to the gateway, in PEM format; it may hold the key as well. Its path has
        to be absolute.
    type: path
  client_key:
    description:
      - A file with the key of O(client_cert), in PEM format and without a pass phrase. Its path has to be absolute.
    type: path
  proxy_url:
    description:
      - The proxy on the way to the gateway, such as V(http://proxy.example.com:3128). Proxies in the environment are
        not used.
      - It holds no login, which would show in the results of the task; see O(proxy_username).
    type: str
  proxy_username:
    description:
      - A user of the proxy, where it wants a login. A proxy whose URL is C(http) gets the login unencrypted.
    type: str
  proxy_password:
    description:
      - The password of O(proxy_username).
    type: str
  connect_timeout:
    description:
      - Seconds to wait for a connection. With the direct way this includes the login.
    type: float
    default: 10
  read_timeout:
    description:
      - Seconds that the gateway may say nothing before it counts as lost. With the direct way the time for a listing.
    type: float
    default: 60
  transfer_timeout:
    description:
      - Seconds that the download or upload of one backup may take as a whole.
    type: float
    default: 3600
  wait_timeout:
    description:
      - Seconds to wait for the creation, restoration or removal of a backup, for a new backup to be complete, and for
        the system to be ready again after a restore. Each of these has the whole time. Time in the gateway's queue
        counts.
      - Also how long a fetch waits until no other task places files in the same folder.
    type: float
    default: 1800
  retries:
    description:
      - How often a request that failed on the way is sent again, where that is safe. A refused login never is, and
        neither is a command that changes something and whose outcome is not known.
      - A gateway that tries no login for a while, because too many were refused to the user or to this address, is
        asked again after that while.
    type: int
    default: 4
  retry_delay:
    description:
      - Seconds before the first repetition. The pause doubles each time, and varies at random by up to half.
    type: float
    default: 1
  retry_max_delay:
    description:
      - Seconds that a pause between repetitions has at most. Where a gateway tries no login for a while, the pause is
        as long as that, up to O(wait_timeout).
    type: float
    default: 30
  sdk_module:
    description:
      - The Python module with the vendor's interface, for the direct way. Another one than the vendor's own is for
        tests, such as C(activelogic_embedded).
      - It runs in a process of its own, with at most 2 GiB of address space. What it prints is dropped.
    type: str
    default: activelogic
requirements:
  - Python 3.9 or later where the module runs
  - with O(gateway_url), the Python package C(requests)
  - without it, the vendor's Python package C(activelogic), which customers get with their systems
notes:
  - The modules run well on the control node. Set C(ansible_connection=local) for the systems in the inventory, as an
    ActiveLogic system is not a host that Ansible can log in to.
  - What comes from a system or a gateway is not trusted. Messages, warnings and reasons show characters that can't be
    seen, or that change a line on a terminal, as escapes such as C(\x1b); other return values have them as they are.
    Rows of a listing whose names are not legal (with C(/), C(\) or control characters) are passed over with a warning.
    A system may list 100,000 backups.
"""
