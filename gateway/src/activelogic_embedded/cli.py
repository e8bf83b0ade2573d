# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``activelogic-embedded``: create, change and inspect embedded systems."""

from __future__ import annotations

import argparse
import json
import secrets
import sqlite3
import string
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import admin
from .store import EVERY_RESOURCE, Level, StoreError

PASSWORD_LENGTH = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 with one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (StoreError, OSError, ValueError, sqlite3.Error) as error:
        print(f"activelogic-embedded: {_text(error)}", file=sys.stderr)
        return 2
    return 0


def _text(error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return f"{error} exists already"
    if isinstance(error, UnicodeError):
        return "text that is not UTF-8, or can't be written as such"
    if isinstance(error, sqlite3.Error):
        return f"the system's database can't be used: {error}"
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="activelogic-embedded",
        description="Embedded ActiveLogic systems for demonstrations and tests, each in a folder below ROOT."
        " Programs find them by the environment variable ACTIVELOGIC_EMBEDDED_ROOT.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="create systems", description="Create systems with factory configuration.")
    init.add_argument("root", type=Path, metavar="ROOT", help="the folder of all systems; created if missing")
    init.add_argument("names", nargs="+", metavar="NAME", help="name of a system, also its address")
    init.add_argument("--username", default="admin", help="the user who gets all privileges (default: admin)")
    _add_password_file(init, "by default one is generated and printed once")
    init.set_defaults(run=_init)

    user = commands.add_parser("user", help="add or change a user", description="Add or change a user of a system.")
    _add_system(user)
    user.add_argument("username", metavar="USERNAME")
    user.add_argument("--privilege", required=True, choices=[each.name.lower() for each in Level])
    user.add_argument("--resource", action="append", help="limit the privilege to this resource; may be repeated")
    _add_password_file(user, "a new user needs one")
    user.set_defaults(run=_user)

    show = commands.add_parser("show", help="print configuration", description="Print configuration data as JSON.")
    _add_system(show)
    show.add_argument("resource", nargs="?", metavar="RESOURCE", help="such as Ruleset; default: all")
    show.set_defaults(run=_show)

    change = commands.add_parser("set", help="change configuration", description="Change one value of a resource.")
    _add_system(change)
    change.add_argument("resource", metavar="RESOURCE", help="such as Config, Ruleset or 'System Diagnostics'")
    change.add_argument("key", metavar="KEY", help="such as ntp.enabled")
    change.add_argument("value", metavar="VALUE", help="JSON; anything else is taken as a string")
    change.set_defaults(run=_set)

    quirks = commands.add_parser(
        "quirks",
        help="show or change the quirks of a system",
        description="Change quirks of a system, and print all of them as JSON.",
    )
    _add_system(quirks)
    quirks.add_argument(
        "quirks",
        nargs="*",
        metavar="KEY=VALUE",
        help="such as restart_after=5 or volatile=content; values are JSON, anything else is taken as a string",
    )
    quirks.add_argument(
        "--outage", action="store_true", help="begin an outage now, with the duration of the quirk outage"
    )
    quirks.set_defaults(run=_quirks)

    digest = commands.add_parser(
        "digest", help="print a digest", description="Print a SHA-256 over all data of one system, or of all."
    )
    digest.add_argument("root", type=Path, metavar="ROOT")
    digest.add_argument("name", nargs="?", metavar="NAME")
    digest.set_defaults(run=_digest)
    return parser


def _add_system(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, metavar="ROOT", help="the folder of all systems")
    parser.add_argument("name", metavar="NAME", help="name of the system")


def _add_password_file(parser: argparse.ArgumentParser, otherwise: str) -> None:
    text = f"file with the password in its first line, - for standard input; {otherwise}"
    parser.add_argument("--password-file", metavar="FILE", help=text)


def _read_password(file: str) -> str:
    if file == "-":
        line = sys.stdin.readline()
    else:
        with Path(file).open(encoding="utf-8") as source:
            line = source.readline()
    password = line.rstrip("\r\n")
    if not password:
        raise StoreError(f"the first line of {file} is empty")
    return password


def _init(options: argparse.Namespace) -> None:
    for name in options.names:  # all or none
        admin.require_free(options.root, name)
    if len(set(options.names)) < len(options.names):
        raise StoreError("a name is given twice")
    if options.password_file:
        password = _read_password(options.password_file)
    else:
        alphabet = string.ascii_letters + string.digits
        password = "".join(secrets.choice(alphabet) for _number in range(PASSWORD_LENGTH))
    for name in options.names:
        admin.create_system(options.root, name, options.username, password)
    if not options.password_file:
        print(f"password of {options.username}: {password}")


def _user(options: argparse.Namespace) -> None:
    password = _read_password(options.password_file) if options.password_file else None
    level = Level[options.privilege.upper()]
    levels = dict.fromkeys(options.resource or [EVERY_RESOURCE], level)
    admin.set_user(options.root, options.name, options.username, password, levels)


def _show(options: argparse.Namespace) -> None:
    print(json.dumps(admin.show(options.root, options.name, options.resource), indent=2, ensure_ascii=False))


def _set(options: argparse.Namespace) -> None:
    admin.set_value(options.root, options.name, options.resource, options.key, _value(options.value))


def _quirks(options: argparse.Namespace) -> None:
    given = {}
    for each in options.quirks:
        key, equals, value = each.partition("=")
        if not equals:
            raise StoreError(f"{each!r} is not KEY=VALUE")
        given[key] = _value(value)
    quirks = (
        admin.set_quirks(options.root, options.name, **given) if given else admin.quirks(options.root, options.name)
    )
    if options.outage:
        admin.begin_outage(options.root, options.name)
    print(json.dumps(asdict(quirks), indent=2))


def _value(text: str) -> Any:
    """Decode JSON, or return the text itself; NaN and the like are not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _digest(options: argparse.Namespace) -> None:
    print(admin.digest(options.root, options.name))
