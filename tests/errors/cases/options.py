# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that can't be right, packages that are missing, and the module's own end."""

from __future__ import annotations

import json
import re
import signal
import time

from runner import DIRECT, GATEWAY
from scene import BACKUP, INFO, TRANSFER, Facts, Scene, case


@case("OPTION_NOT_SET")
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
    scene.run(INFO, gateway_url="https://admin:hidden-in-the-url@gateway")
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


@case("PROXY_URL_WRONG", GATEWAY)
def proxy_of_another_kind(scene: Scene) -> None:
    scene.run(INFO, proxy_url="socks5://127.0.0.1:1080")


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
    deadline = time.monotonic() + 20
    state = scene.lab.root / scene.system / "quirks.json"
    while not json.loads(state.read_text(encoding="utf-8"))["state"]["happened"]:
        assert time.monotonic() < deadline, "the module never listed"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    scene.end(process)
    return {"signal": "SIGTERM"}


@case("UNEXPECTED", GATEWAY)
def defect_below(scene: Scene) -> Facts:
    defect = f"def close(self):\n    raise RuntimeError({scene.lab.password!r})\n"
    scene.python("sitecustomize.py", f"import requests\n\n\n{defect}\n\nrequests.Session.close = close\n")
    scene.run(INFO)
    return {"exception": "RuntimeError", "place": "sitecustomize.py:5 in close"}
