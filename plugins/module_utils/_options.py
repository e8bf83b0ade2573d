# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of the options of every module: their names, their types, and their paths.

Private to this collection. Core silently converts a list or a Boolean to text, and resolves a relative path in whatever
folder the module runs in; here both are errors.
"""

from __future__ import annotations

import datetime
import difflib
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ._failures import OPTION_NOT_NUMBER, OPTION_NOT_TEXT, OPTION_UNKNOWN, PATH_RELATIVE, VALIDATE_UNREADABLE

NUMBERS_AS_TEXT = ("group", "max_age", "newer_than", "older_than", "owner")
"""Options of type ``str`` that may be numbers: seconds, or the id of a user or a group."""

HIDDEN = "********"
TEXTS = ("str", "path")
NUMBERS = ("int", "float")


def require_known(spec: Mapping[str, Mapping[str, Any]], given: Iterable[str], module: str) -> None:
    """Reject options that the module does not have, and suggest the ones that were probably meant.

    :raises OptionError: which names all of them.
    """
    known = {name for option, each in spec.items() for name in (option, *each.get("aliases", ()))}
    named = []
    for option in sorted(set(given) - known):
        meant = difflib.get_close_matches(option, sorted(known), n=1)
        named.append(f"{option} (did you mean {meant[0]}?)" if meant else option)
    if named:
        raise OPTION_UNKNOWN.error(module=module, named=" and ".join(named))


def require_written_right(spec: Mapping[str, Any], value: Any, source: str, option: str) -> None:
    """Reject a value of a wrong YAML or JSON type, which core would convert to a text or number that nobody wrote.

    :param spec: the specification of the option.
    :param source: where the value comes from, such as "name" or "the variable activelogic_password".
    :raises OptionError: for a value of another type; it does not show the value.
    """
    kind = spec.get("type", "str")
    if kind == "list" and isinstance(value, (list, tuple)):
        for each in value:
            require_written_right({"type": spec.get("elements", "raw")}, each, f"an entry of {source}", option)
    elif kind in TEXTS:
        given = _not_text(value)
        if given and not (option in NUMBERS_AS_TEXT and _is_number(value)):
            raise OPTION_NOT_TEXT.error(source=source, given=given)
    elif kind in NUMBERS and isinstance(value, bool):
        raise OPTION_NOT_NUMBER.error(source=source)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _not_text(value: Any) -> str:
    """The type of a value that is not text, for a message; empty for text (which includes encrypted vault values)."""
    if isinstance(value, bool):
        return "a truth value, as YAML reads yes, no, on, off, true and false"
    if _is_number(value):
        return "a number, of which leading and trailing zeros are lost"
    if isinstance(value, (list, tuple, set)):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (datetime.date, datetime.datetime)):
        return "a date"
    return ""


def require_absolute(path: str, option: str, folder: str | None = None) -> str:
    """Return a local path, in which ``~`` and variables are already replaced, if it is absolute.

    :param folder: where a relative path would have been resolved; by default the current folder.
    :raises OptionError: for a relative path; it says what the path would have become.
    """
    if not os.path.isabs(path):
        raise PATH_RELATIVE.error(option=option, path=path, absolute=_would_be(path, folder))
    return path


def require_absolute_paths(spec: Mapping[str, Mapping[str, Any]], params: Mapping[str, Any]) -> None:
    """Require that every option of type ``path``, and the program in ``validate``, is an absolute path.

    :param params: the parameters of a module, in which core has replaced ``~`` and variables.
    :raises OptionError: for the first relative path.
    """
    for option, each in spec.items():
        value = params.get(option)
        if each.get("type") == "path" and value is not None:
            require_absolute(value, option)
    program = _program(params.get("validate") or "")
    if os.sep in program:  # a command without a slash is looked up in PATH
        require_absolute(program, "the command in validate")


def _program(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise VALIDATE_UNREADABLE.error(flaw=str(error).lower()) from None
    return expand(words[0]) if words else ""


def expand(path: str) -> str:
    """Replace ``~`` and variables, as core does for options of type ``path``."""
    return os.path.expanduser(os.path.expandvars(path))


def _would_be(path: str, folder: str | None) -> str:
    try:
        return os.path.normpath(os.path.join(folder or os.getcwd(), path))
    except OSError:  # the current folder is gone
        return f"{path} in a folder that is not there any more"


def hide_login(text: str) -> str:
    """Mask the login before the ``@`` of a URL or a host, and everything after a ``?`` or ``#`` in a URL.

    In a plain name these characters have no meaning.
    """
    for secret in _secrets(text):
        text = text.replace(secret, HIDDEN)
    return text


def logins_in(texts: Iterable[Any]) -> set[str]:
    """Everything that Ansible has to mask: what :func:`hide_login` masks, and passwords alone."""
    found = {secret for text in texts if isinstance(text, str) for secret in _secrets(text)}
    return (found | {secret.partition(":")[2] for secret in found}) - {""}


def _secrets(text: str) -> list[str]:
    _scheme, slashes, rest = text.rpartition("://")
    place = re.split("[?#]", rest, maxsplit=1) if slashes else [rest]
    login, at, _host = place[0].rpartition("@")
    found = [login] if at and (slashes or ":" in login) else []
    return [each for each in (*found, *place[1:]) if each]
