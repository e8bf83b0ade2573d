# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Invalid options, missing packages, and modules that are interrupted or crash."""

from __future__ import annotations

import os
import re
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.errors.scene import BACKUP, INFO, ODD_GATEWAY, TRANSFER, Facts, Scene, case
from tests.harness.interpreters import old_pythons
from tests.harness.login import DIRECT, GATEWAY
from tests.harness.waiting import until

from .tls import nobody_connects

HIDDEN = "hidden-in-the-url"
TRUTH = "a truth value, as YAML reads yes, no, on, off, true and false"
NUMBER = "a number, of which leading and trailing zeros are lost"


@case("OPTION_UNKNOWN", GATEWAY)
def misspelt_options_and_no_login(scene: Scene) -> Facts:
    given: dict[str, Any] = {"nam": "x.plb", "passwort": "x", "zzz": True}
    scene.ansible(BACKUP, variables={"activelogic_username": None, "activelogic_password": None}, **given)
    return {"module": BACKUP, "named": "nam (did you mean name?) and passwort (did you mean password?) and zzz"}


def _not_text(label: str, source: str, given: str, variables: dict[str, Any], **options: Any) -> None:
    """A value that YAML does not parse as a string."""

    def bring_about(scene: Scene) -> Facts:
        module = TRANSFER if "dest" in options else BACKUP
        scene.ansible(module, variables=variables, **options)
        return {"source": source, "given": given}

    bring_about.__name__ = label
    case("OPTION_NOT_TEXT", GATEWAY)(bring_about)


_not_text("list_as_a_name", "name", "a list", {}, name=["a", "b"])
_not_text("path_that_is_a_word_of_yaml", "dest", TRUTH, {}, direction="fetch", name="x.plb", dest=True)
_not_text(
    "password_of_digits", "the variable activelogic_password", NUMBER, {"activelogic_password": 12345678}, name="x.plb"
)
_not_text("address_of_digits", "the variable ansible_host", NUMBER, {"ansible_host": 10.1}, name="x.plb")


@case("OPTION_NOT_NUMBER", GATEWAY)
def no_seconds_at_all(scene: Scene) -> Facts:
    scene.ansible(BACKUP, name="x.plb", settle_after_restore=False)
    return {"source": "settle_after_restore"}


@case("HOST_NOT_SET")
def empty_host(scene: Scene) -> None:
    scene.run(INFO, host="")


@case("CONNECTION_LOGIN_MISSING", GATEWAY)
def connection_without_a_password(scene: Scene) -> Facts:
    unset = {"activelogic_username": None, "activelogic_password": None}
    login = {"activelogic_use_connection_login": True, "ansible_user": "root"}
    scene.ansible(INFO, variables={**unset, **login})
    return {
        "option": "password",
        "variable": "activelogic_password",
        "why": "the connection's user root has no password",
    }


def _login_not_sendable(name: str, option: str, text: str, flaw: str, *ways: str) -> None:
    def bring_about(scene: Scene) -> Facts:
        with nobody_connects() as url:
            proxy = {"proxy_url": url, "proxy_username": "operator"} if option.startswith("proxy") else {}
            more = {"gateway_url": url} if scene.way == GATEWAY else {}
            scene.run(INFO, **{**more, **proxy, option: text})
        return {"option": option, "flaw": flaw}

    bring_about.__name__ = name
    case("LOGIN_NOT_SENDABLE", *ways)(bring_about)


CONTROL = "holds a control character, such as the end of a line"
COLON = "holds a colon, where HTTP would end the user name"
_login_not_sendable("password_with_the_end_of_its_line", "password", "secret-of-the-test\n", CONTROL)
_login_not_sendable("user_with_a_tab", "username", "ad\tmin", CONTROL)
_login_not_sendable("user_with_a_colon", "username", "DOMAIN:admin", COLON, GATEWAY)
_login_not_sendable("proxy_user_with_a_colon", "proxy_username", "a:b", COLON, GATEWAY)
_login_not_sendable("proxy_password_with_a_zero", "proxy_password", "a\0b", CONTROL, GATEWAY)


def _relative(option: str, path: str, expanded: str = "", **more: Any) -> None:
    """A relative path, which depends on the module's working directory; it is rejected before anything is contacted."""

    def bring_about(scene: Scene) -> Facts:
        given = {option: path, **more}
        if option == "REQUESTS_CA_BUNDLE":
            scene.environment[option] = given.pop(option)
            given["ca_path"] = None
        if option == "validate":
            given["dest"] = str(scene.archive)
        with nobody_connects() as url:
            scene.run(TRANSFER if "direction" in more else INFO, gateway_url=url, **given)
        became = expanded or path
        named = "the command in validate" if option == "validate" else option
        return {"option": named, "path": became.split()[0], "absolute": os.path.abspath(became.split()[0])}

    bring_about.__name__ = f"relative_{option}_{path}".replace("/", "_").replace(" ", "_")
    case("PATH_RELATIVE", GATEWAY)(bring_about)


FETCH = {"direction": "fetch", "name": "x.plb"}
_relative("dest", "backups/", **FETCH)
_relative("dest", "$NOT_SET_ANYWHERE/backups", **FETCH)
_relative("dest", "~no-such-user-here/backups", **FETCH)
_relative("src", "./x.plb", direction="push")
_relative("ca_path", "ca.pem")
_relative("client_cert", "../client.pem")
_relative("client_key", "client.key", client_cert="/nowhere/client.pem")
_relative("REQUESTS_CA_BUNDLE", "certs/bundle.pem")
_relative("validate", "./check.sh %s", **FETCH)


@case("PATH_RELATIVE", DIRECT)
def relative_even_where_it_is_not_used(scene: Scene) -> Facts:
    scene.run(INFO, ca_path="ca.pem")
    return {"option": "ca_path", "path": "ca.pem", "absolute": os.path.abspath("ca.pem")}


@case("VALIDATE_UNREADABLE", GATEWAY)
def open_quote(scene: Scene) -> Facts:
    with nobody_connects() as url:
        scene.run(TRANSFER, gateway_url=url, dest=str(scene.archive), validate="gzip -t '%s", **FETCH)
    return {"flaw": "no closing quotation"}


def _old_python(number: str) -> None:
    def bring_about(scene: Scene) -> Facts:
        interpreter = old_pythons().get(number)
        if interpreter is None:
            pytest.skip(f"there is no Python {number} here")
        scene.run_module_file(INFO, interpreter)
        return {"interpreter": interpreter, "version": re.compile(re.escape(number) + r"\.[0-9]+")}

    bring_about.__name__ = f"python_{number}"
    case("PYTHON_TOO_OLD", GATEWAY)(bring_about)


for _number in ("3.6", "3.7", "3.8"):
    _old_python(_number)


@case("LOGIN_NOT_SET")
def empty_password(scene: Scene) -> Facts:
    scene.run(INFO, password="")
    return {
        "option": "password",
        "variable": "activelogic_password",
        "environment": "ACTIVELOGIC_PASSWORD",
    }


@case("HOST_NOT_LEGAL")
def host_with_a_slash(scene: Scene) -> Facts:
    scene.run(INFO, host="../edge")
    return {"host": "../edge"}


@case("HOST_NOT_LEGAL")
def login_before_the_host(scene: Scene) -> Facts:
    scene.secrets.append(HIDDEN)
    scene.run(INFO, host=f"admin:{HIDDEN}@edge")
    scene.host = "********@edge"
    return {"host": "********@edge"}


@case("HOST_NOT_LEGAL", GATEWAY)
def url_with_a_login_as_host(scene: Scene) -> Facts:
    scene.secrets.append(HIDDEN)
    scene.ansible(INFO, variables={"activelogic_host": f"https://admin:{HIDDEN}@edge"}, arguments=["-vvv"])
    scene.host = "https://********@edge"
    return {"host": "https://********@edge"}


@case("SECONDS_NOT_POSITIVE")
def no_time_at_all(scene: Scene) -> Facts:
    scene.run(INFO, read_timeout=0)
    return {"option": "read_timeout"}


@case("NUMBER_NEGATIVE")
def fewer_retries_than_none(scene: Scene) -> Facts:
    scene.run(INFO, retries=-1)
    return {"option": "retries"}


@case("SDK_MODULE_NOT_A_NAME", DIRECT)
def file_as_module(scene: Scene) -> Facts:
    scene.run(INFO, sdk_module="./activelogic.py")
    return {"name": "./activelogic.py"}


@case("GATEWAY_URL_WRONG", GATEWAY)
def port_that_is_no_number(scene: Scene) -> Facts:
    scene.run(INFO, gateway_url="https://gateway:port")
    return {"flaw": "is not a valid URL"}


@case("GATEWAY_URL_WRONG", GATEWAY)
def another_protocol(scene: Scene) -> Facts:
    scene.run(INFO, gateway_url="ftp://gateway")
    return {"flaw": "is not an https URL"}


@case("GATEWAY_URL_WRONG", GATEWAY)
def login_in_the_url(scene: Scene) -> Facts:
    scene.secrets.append(HIDDEN)
    scene.run(INFO, gateway_url=f"https://admin:{HIDDEN}@gateway")
    return {"flaw": "must hold no user, query or fragment"}


@case("GATEWAY_URL_WRONG", GATEWAY)
def login_in_the_url_shown_by_ansible(scene: Scene) -> Facts:
    scene.secrets.append(HIDDEN)
    scene.ansible(INFO, variables={"activelogic_gateway_url": f"https://{HIDDEN}@gateway"}, arguments=["-vvvvv"])
    return {"flaw": "must hold no user, query or fragment"}


@case("GATEWAY_URL_WRONG", GATEWAY)
def token_in_the_url(scene: Scene) -> Facts:
    scene.secrets.append(HIDDEN)
    scene.run(INFO, gateway_url=f"https://gateway/?token={HIDDEN}")
    return {"flaw": "must hold no user, query or fragment"}


@case("GATEWAY_URL_WRONG", GATEWAY)
def plain_http_to_elsewhere(scene: Scene) -> Facts:
    scene.run(INFO, gateway_url="http://gateway.example.com")
    return {"flaw": "is plain http, which is allowed on the loopback interface only"}


@case("OPTION_FILE_UNREADABLE", GATEWAY)
def no_such_authority(scene: Scene) -> Facts:
    scene.run(INFO, ca_path="/nowhere/ca.pem")
    return {"option": "ca_path", "path": "/nowhere/ca.pem"}


@case("CA_BUNDLE_UNREADABLE", GATEWAY)
def no_such_bundle(scene: Scene) -> Facts:
    scene.environment["REQUESTS_CA_BUNDLE"] = "/nowhere/bundle.pem"
    scene.run(INFO, ca_path=None)
    return {"path": "/nowhere/bundle.pem"}


@case("PASSWORD_IN_OPERATION", GATEWAY)
def name_that_holds_the_password(scene: Scene) -> None:
    scene.run(BACKUP, name=f"{scene.lab.password}.plb")


def _wrong_proxy(name: str, url: str, flaw: str) -> None:
    def bring_about(scene: Scene) -> Facts:
        scene.secrets.append(HIDDEN)
        scene.run(INFO, proxy_url=url)
        return {"flaw": flaw}

    bring_about.__name__ = name
    case("PROXY_URL_WRONG", GATEWAY)(bring_about)


_wrong_proxy("proxy_of_another_kind", "socks5://127.0.0.1:1080", "is not an http or https URL")
_wrong_proxy("proxy_without_a_scheme", f"operator:{HIDDEN}@proxy:3128", "is not an http or https URL")
_wrong_proxy("proxy_with_a_wrong_port", f"http://operator:{HIDDEN}@proxy:port", "is not a valid URL")
_wrong_proxy(
    "login_in_the_url_of_the_proxy", f"http://operator:{HIDDEN}@proxy:3128", "must hold no user, query or fragment"
)
_wrong_proxy("key_in_the_url_of_the_proxy", f"http://proxy:3128/#{HIDDEN}", "must hold no user, query or fragment")


@case("PROXY_URL_WRONG", GATEWAY)
def login_in_the_url_of_the_proxy_shown_by_ansible(scene: Scene) -> Facts:
    scene.secrets.append(HIDDEN)
    variables = {"activelogic_proxy_url": f"http://operator:{HIDDEN}@127.0.0.1:9"}
    scene.ansible(INFO, variables=variables, arguments=["-vvvvv"])
    return {"flaw": "must hold no user, query or fragment"}


@case("NAME_NOT_LEGAL")
def name_that_leads_elsewhere(scene: Scene) -> Facts:
    scene.run(BACKUP, name="../x.plb")
    return {"option": "name", "name": "../x.plb", "flaw": "holds '/'"}


@case("NAME_NOT_LEGAL")
def prefix_with_a_slash(scene: Scene) -> Facts:
    scene.run(BACKUP, always=True, prefix="a/")
    return {"option": "prefix", "name": re.compile(r"'a/[0-9TZ]+-[0-9a-f]{4}\.plb'"), "flaw": "holds '/'"}


@case("TIMEZONE_UNKNOWN")
def zone_that_nobody_has(scene: Scene) -> Facts:
    scene.run(BACKUP, max_age="1d", timezone="Europe/Nowhere")
    return {"name": "Europe/Nowhere"}


@case("DURATION_WRONG")
def age_in_fortnights(scene: Scene) -> Facts:
    scene.run(BACKUP, max_age="2 fortnights")
    return {"option": "max_age", "text": "2 fortnights"}


@case("PRESENT_NEEDS_MORE")
def not_always(scene: Scene) -> None:
    scene.run(BACKUP, always=False)


@case("FETCH_NEEDS_MORE")
def not_the_latest(scene: Scene) -> None:
    scene.run(TRANSFER, direction="fetch", dest=str(scene.archive), latest=False)


@case("CHECKSUM_WRONG")
def md5(scene: Scene) -> None:
    dest = str(scene.archive)
    scene.run(TRANSFER, direction="fetch", name="x.plb", dest=dest, checksum="md5:d41d8cd98f00b204e9800998ecf8427e")


@case("VALIDATE_WRONG")
def command_without_the_file(scene: Scene) -> None:
    scene.make("x.plb")
    scene.run(TRANSFER, direction="fetch", name="x.plb", dest=str(scene.archive), validate="true")


@case("REQUESTS_MISSING", GATEWAY)
def no_requests(scene: Scene) -> None:
    scene.python("requests.py", "raise ImportError('there is no requests')\n")
    scene.run(INFO)


@case("SDK_MISSING", DIRECT)
def no_package_of_the_vendor(scene: Scene) -> Facts:
    scene.run(INFO, sdk_module="activelogic")
    return {"name": "activelogic", "said": "No module named 'activelogic'"}


@case("ENDED_BY_SIGNAL")
def asked_to_end(scene: Scene) -> Facts:
    scene.fault("list", "wait", seconds=20, times=1)
    process = scene.start(INFO)
    until(scene.has_begun, 20, "the module never listed")
    process.send_signal(signal.SIGTERM)
    scene.end(process)
    return {"signal": "SIGTERM"}


@case("ENDED_BY_SIGNAL", ODD_GATEWAY)
def asked_to_end_while_it_looks_into_an_archive(scene: Scene) -> Facts:
    """Twelve seconds of extended headers, which no timeout option ends."""
    records = b"5 a=\n" * 200_000
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XGLTYPE, len(records)
    header = info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)
    path = scene.file("pushed.plb", header * 40 + tarfile.TarInfo("a").tobuf() + bytes(1024))
    process = scene.start(TRANSFER, direction="push", src=path, verify="content")
    reading = Path(f"/proc/{process.pid}/io")
    whole = 40 * len(header)  # the hashing is done
    until(lambda: int(reading.read_text(encoding="ascii").split()[1]) >= whole, 20, "the module never read the file")
    asked_at = time.monotonic()
    process.send_signal(signal.SIGTERM)
    scene.end(process)
    assert time.monotonic() - asked_at < 3
    assert scene.odd.asked == []
    return {"signal": "SIGTERM"}


@case("UNEXPECTED", GATEWAY)
def defect_below(scene: Scene) -> Facts:
    defect = f"def close(self):\n    raise RuntimeError({scene.lab.password!r})\n"
    scene.python("sitecustomize.py", f"import requests\n\n\n{defect}\n\nrequests.Session.close = close\n")
    scene.run(INFO)
    return {"exception": "RuntimeError", "place": "sitecustomize.py:5 in close"}
