# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection options: their specification, their sources, and their validation.

Private to this collection. The action plugins use the same tables to fill in options on the control node.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.errors import AnsibleFallbackNotFound

from . import _failures
from ._errors import ActiveLogicError
from ._files._access import native, shown
from ._names import why_illegal
from ._options import hide_login, logins_in

ENVIRONMENT_PREFIX = "ACTIVELOGIC_"
VARIABLE_PREFIX = "activelogic_"
REQUIRED = ("host", "username", "password")
PATHS = ("ca_path", "client_cert", "client_key")
SHORTEST_PASSWORD = 8
"""Characters; a shorter password is likely to occur in results by chance, and Ansible masks them then."""


@dataclass(frozen=True)
class Settings:
    """The connection options for one system. Times are in seconds; see the documentation of the options.

    Paths are as :func:`_access.native` returns them.
    """

    host: str
    username: str
    password: str
    gateway_url: str | None = None
    validate_certs: bool = True
    ca_path: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy_url: str | None = None
    proxy_username: str | None = None
    proxy_password: str | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    transfer_timeout: float = 3600.0
    wait_timeout: float = 1800.0
    retries: int = 4
    retry_delay: float = 1.0
    retry_max_delay: float = 30.0
    sdk_module: str = "activelogic"

    def __repr__(self) -> str:
        """Without passwords."""
        return f"Settings(host={self.host!r}, username={self.username!r}, gateway_url={self.gateway_url!r})"


def environment_name(option: str) -> str:
    """Environment variable that an option falls back to."""
    return ENVIRONMENT_PREFIX + option.upper()


def variable_name(option: str) -> str:
    """Ansible variable that an option falls back to; the action plugins read it."""
    return VARIABLE_PREFIX + option


def _environment(name: str) -> str:
    """Fallback for the argument specification: like core's ``env_fallback``, but an empty variable counts as unset."""
    value = os.environ.get(name)
    if not value:
        raise AnsibleFallbackNotFound
    return value


def _option(option: str, **more: Any) -> dict[str, Any]:
    return {"fallback": (_environment, [environment_name(option)]), **more}


def connection_argument_spec() -> dict[str, dict[str, Any]]:
    """The connection options, which the modules of this collection share."""
    return {
        "host": {"type": "str"},  # never from the environment: it would be the same for all hosts
        "username": _option("username", type="str"),
        "password": _option("password", type="str", no_log=True),
        "gateway_url": _option("gateway_url", type="str"),
        "validate_certs": _option("validate_certs", type="bool", default=True),
        "ca_path": _option("ca_path", type="path"),
        "client_cert": _option("client_cert", type="path"),
        "client_key": _option("client_key", type="path", no_log=False),
        "proxy_url": _option("proxy_url", type="str"),
        "proxy_username": _option("proxy_username", type="str"),
        "proxy_password": _option("proxy_password", type="str", no_log=True),
        "connect_timeout": _option("connect_timeout", type="float", default=10),
        "read_timeout": _option("read_timeout", type="float", default=60),
        "transfer_timeout": _option("transfer_timeout", type="float", default=3600),
        "wait_timeout": _option("wait_timeout", type="float", default=1800),
        "retries": _option("retries", type="int", default=4),
        "retry_delay": _option("retry_delay", type="float", default=1),
        "retry_max_delay": _option("retry_max_delay", type="float", default=30),
        "sdk_module": _option("sdk_module", type="str", default="activelogic"),
    }


def not_set(option: str) -> ActiveLogicError:
    """The error for a required option that is not set: it names all places where it can be set."""
    if option == "host":
        return _failures.HOST_NOT_SET.error()
    return _failures.LOGIN_NOT_SET.error(
        option=option, variable=variable_name(option), environment=environment_name(option)
    )


def connection_required_by() -> dict[str, str]:
    """Connection options that require another one."""
    return {"client_key": "client_cert", "proxy_password": "proxy_username"}


def settings_from(params: Mapping[str, Any]) -> Settings:
    """Read the connection options from a module's parameters and validate them; nothing is contacted.

    :raises OptionError: for an invalid option.
    """
    given = {each.name: params[each.name] for each in fields(Settings) if params.get(each.name) not in (None, "")}
    for required in REQUIRED:
        if required not in given:
            raise not_set(required)
    given.update((option, native(given[option])) for option in PATHS if option in given)
    settings = Settings(**given)
    check_places(given)
    check_login("username", settings.username, colon=settings.gateway_url is None)
    check_login("password", settings.password)
    _check_numbers(settings)
    if settings.gateway_url is None:
        _check_sdk_module(settings.sdk_module)
        return settings
    for option in PATHS:
        path = getattr(settings, option)
        if path is not None and not os.access(path, os.R_OK):
            raise _failures.OPTION_FILE_UNREADABLE.error(option=option, path=shown(path))
    check_login("proxy_username", settings.proxy_username or "", colon=False)
    check_login("proxy_password", settings.proxy_password or "")
    return settings


def check_places(given: Mapping[str, Any]) -> None:
    """Check the options that name a system or a server; the action plugins do so before they start a module.

    :param given: options by name; missing ones are fine.
    :raises OptionError: which masks anything in them that may be a login.
    """
    host = given.get("host") or "host"
    if why_illegal(host) or hide_login(host) != host:
        raise _failures.HOST_NOT_LEGAL.error(host=hide_login(host))
    if given.get("gateway_url") and (flaw := _url_flaw(given["gateway_url"], remote_http=False)):
        raise _failures.GATEWAY_URL_WRONG.error(flaw=flaw)
    if given.get("proxy_url") and (flaw := _url_flaw(given["proxy_url"], remote_http=True)):
        raise _failures.PROXY_URL_WRONG.error(flaw=flaw)


def logins_in_places(params: Mapping[str, Any]) -> set[str]:
    """Logins in options that must not contain one: Ansible returns the options of a module even if it fails."""
    return logins_in(params.get(option) for option in ("host", "gateway_url", "proxy_url"))


def check_login(option: str, text: str, *, colon: bool = True) -> None:
    """Reject a user name or password that can't be sent.

    RFC 7617, section 2: no control characters in either, no colon in the name. Control characters are rejected without
    a gateway too: they are there by mistake, such as the newline at the end of a file.

    :param colon: whether it may contain a colon.
    """
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise _failures.LOGIN_NOT_SENDABLE.error(
            option=option, flaw="holds a control character, such as the end of a line"
        )
    if not colon and ":" in text:
        raise _failures.LOGIN_NOT_SENDABLE.error(
            option=option, flaw="holds a colon, where HTTP would end the user name"
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _failures.LOGIN_NOT_SENDABLE.error(option=option, flaw="is not valid Unicode") from None


def masking_warning(params: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """A warning if Ansible will mask more than the password in a result; the warning never contains the password.

    Ansible replaces every occurrence of a ``no_log`` value, even in numbers.

    :param params: the module's parameters, which Ansible returns as ``invocation``.
    :param result: what the module is about to return.
    """
    password = params.get("password")
    if not password:
        return None
    if len(password) < SHORTEST_PASSWORD:
        why = f"The password is shorter than {SHORTEST_PASSWORD} characters."
    else:
        others = {option: value for option, value in params.items() if option != "password"}
        if not holds_password([others, result], password):
            return None
        why = "The password is part of a name or another value in the options or the result."
    return (
        f"{why} Ansible masks every occurrence of it in results,"
        " so names and sizes may show as ********: give the user another password."
    )


def holds_password(value: Any, password: str) -> bool:
    """Whether a password occurs anywhere in a value, by Ansible's rules: not in keys, Booleans and null."""
    if isinstance(value, Mapping):
        return any(holds_password(each, password) for each in value.values())
    if isinstance(value, (list, tuple)):
        return any(holds_password(each, password) for each in value)
    return value is not None and not isinstance(value, bool) and password in str(value)


def _check_numbers(settings: Settings) -> None:
    for option in ("connect_timeout", "read_timeout", "transfer_timeout", "wait_timeout"):
        if not 0 < getattr(settings, option) < 10**9:
            raise _failures.SECONDS_NOT_POSITIVE.error(option=option)
    for option in ("retries", "retry_delay", "retry_max_delay"):
        if not 0 <= getattr(settings, option) < 10**9:
            raise _failures.NUMBER_NEGATIVE.error(option=option)


def _check_sdk_module(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name):
        raise _failures.SDK_MODULE_NOT_A_NAME.error(name=name)


def _url_flaw(url: str, *, remote_http: bool) -> str | None:
    """What is wrong with a URL, as a clause without a subject, or ``None``.

    :param remote_http: whether plain http is allowed beyond the loopback interface.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "is not a valid URL"
    if parts.scheme not in ("http", "https") or not host or re.search(r"\s", url):
        return "is not an http or https URL" if remote_http else "is not an https URL"
    if "@" in url or parts.query or parts.fragment:
        return "must hold no user, query or fragment"
    if parts.scheme == "http" and not remote_http and not is_loopback(host):
        return "is plain http, which is allowed on the loopback interface only"
    return None


def is_loopback(host: str) -> bool:
    """Whether the host of a URL is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
