# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection options that are rejected before anything is contacted."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.netops.activelogic.plugins.module_utils._connection import (
    Settings,
    connection_argument_spec,
    masking_warning,
    settings_from,
)
from ansible_collections.netops.activelogic.plugins.module_utils._errors import OptionError

LOGIN = {"host": "edge1", "username": "u", "password": "secret-of-twenty-char"}


def settings(**more: Any) -> Settings:
    defaults = {name: option.get("default") for name, option in connection_argument_spec().items()}
    return settings_from({**defaults, **LOGIN, **more})


def test_defaults_of_the_settings_are_those_of_the_options() -> None:
    assert settings() == Settings(LOGIN["host"], LOGIN["username"], LOGIN["password"])


@pytest.mark.parametrize("option", ["host", "username", "password"])
@pytest.mark.parametrize("value", [None, ""])
def test_empty_counts_as_not_set_and_the_error_names_every_place(option: str, value: str | None) -> None:
    with pytest.raises(OptionError) as caught:
        settings(**{option: value})
    sentence = caught.value.sentence("edge1")
    assert f"activelogic_{option}" in sentence
    by_environment = option != "host"  # a variable would apply to all hosts of an inventory
    assert (f"ACTIVELOGIC_{option.upper()}" in sentence) is by_environment
    assert ("fallback" in connection_argument_spec()[option]) is by_environment
    assert ("activelogic_use_connection_login" in sentence) is by_environment


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example.com:8443",
        "https://gateway.example.com/",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "http://[::1]:8080",
    ],
)
def test_good_gateway_url_is_accepted(url: str) -> None:
    assert settings(gateway_url=url).gateway_url == url


@pytest.mark.parametrize(
    "url",
    [
        "gateway.example.com",
        "ftp://gateway.example.com",
        "http://gateway.example.com",
        "https://user:pass@gateway.example.com",
        "https://gateway.example.com?a=b",
        "https://gateway.example.com#a",
        "https://",
        "https://gateway.example.com:port",
        "https://gate way.example.com",
    ],
)
def test_bad_gateway_url_is_refused(url: str) -> None:
    with pytest.raises(OptionError, match="gateway_url"):
        settings(gateway_url=url)


@pytest.mark.parametrize("url", ["http://proxy.example.com:3128", "https://proxy.example.com/", "http://[::1]:3128"])
def test_good_proxy_url_is_accepted(url: str) -> None:
    assert settings(gateway_url="https://gateway", proxy_url=url).proxy_url == url


@pytest.mark.parametrize(
    "url",
    [
        "proxy.example.com:3128",
        "socks5://proxy.example.com",
        "http://",
        "http://user@proxy.example.com",
        "http://user:hidden@proxy.example.com",
        "user:hidden@proxy.example.com",
        "http://proxy.example.com/#hidden",
        "http://proxy.example.com?hidden",
        "http://proxy.example.com:hidden",
        "http://pro xy",
    ],
)
def test_bad_proxy_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(OptionError, match="proxy_url") as caught:
        settings(proxy_url=url)
    assert "hidden" not in caught.value.sentence("edge1")


@pytest.mark.parametrize("option", ["username", "password"])
@pytest.mark.parametrize("text", ["a\n", "\ra", "a\tb", "a\0", "a\x7f", "a\udc80"])
def test_login_that_can_not_be_sent_is_refused(option: str, text: str) -> None:
    with pytest.raises(OptionError, match=f"{option} (holds a control|is not valid)") as caught:
        settings(**{option: text})
    assert text not in caught.value.sentence("edge1")


def test_colon_in_a_user_name_is_refused_where_http_ends_the_name_there() -> None:
    assert settings(username="a:b").username == "a:b"
    with pytest.raises(OptionError, match="username holds a colon"):
        settings(username="a:b", gateway_url="https://gateway")


@pytest.mark.parametrize("password", ["a:b", " a ", "ä€😀", "a\xa0b", "'\"\\$`"])
def test_password_may_hold_anything_else(password: str) -> None:
    assert settings(password=password, gateway_url="https://gateway").password == password


@pytest.mark.parametrize("option", ["connect_timeout", "read_timeout", "transfer_timeout", "wait_timeout"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_timeout_that_never_ends_or_has_ended_is_refused(option: str, value: float) -> None:
    with pytest.raises(OptionError, match=option):
        settings(**{option: value})


@pytest.mark.parametrize("option", ["retries", "retry_delay", "retry_max_delay"])
def test_negative_repetition_is_refused(option: str) -> None:
    with pytest.raises(OptionError, match=option):
        settings(**{option: -1})


@pytest.mark.parametrize("option", ["ca_path", "client_cert", "client_key"])
def test_missing_file_is_named(option: str) -> None:
    with pytest.raises(OptionError, match=f"{option} .*/nowhere"):
        settings(gateway_url="https://127.0.0.1", **{option: "/nowhere"})


@pytest.mark.parametrize("host", ["a/b", "..", "a\nb"])
def test_host_that_would_leave_its_place_in_a_url_is_refused(host: str) -> None:
    with pytest.raises(OptionError, match="host"):
        settings(host=host)


def test_sdk_module_is_a_module_name() -> None:
    with pytest.raises(OptionError, match="sdk_module"):
        settings(sdk_module="os; import sys")


def test_settings_do_not_show_the_password() -> None:
    assert LOGIN["password"] not in repr(settings())


@pytest.mark.parametrize(
    ("password", "result", "begin"),
    [
        ("seven-7", {}, "The password is shorter"),
        ("eight--8", {"backup": {"name": "eight-8.plb"}}, None),
        ("before-u", {"diff": {"after": {"backups": [{"name": "before-upgrade.plb"}]}}}, "The password is part"),
        ("10394934", {"backup": {"size": 110394934}}, "The password is part"),
        ("edge-one", {"system": {"machineid": None}, "changed": True}, "The password is part"),
        ("somebody", {"somebody": 1}, None),
    ],
)
def test_password_that_would_mask_more_than_itself_is_told(
    password: str, result: dict[str, Any], begin: str | None
) -> None:
    params = {"host": "edge-one.example.com", "username": "admin", "password": password, "names": None}
    warning = masking_warning(params, result)
    assert (warning is None) if begin is None else str(warning).startswith(begin)
    assert password not in str(warning)
