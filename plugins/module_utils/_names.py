# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup names: which are legal, how new ones are made, and what they say. Private to this collection.

The rules are in one place, as names are used in URLs, in paths on the control node, and on the system.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Container
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from ._failures import NAME_NOT_LEGAL, NO_UNUSED_NAME, PREFIX_RESERVED, TIMEZONE_UNKNOWN
from ._text import shorten

MAX_NAME_BYTES = 255
MAX_SHOWN = 80
"""Characters shown of an illegal name."""

SAFETY_PREFIX = "pre-restore-"
COMPARE_PREFIX = "compare-"
"""Prefix of backups that a restore makes for a comparison, and removes again."""

OWN_PREFIXES = (SAFETY_PREFIX, COMPARE_PREFIX)
"""Prefixes that only a restore may use."""

PARTIAL_MARK = "-only-"

FULL = "full"
PARTIAL = "partial"
SAFETY = "safety"

FUTURE_TOLERANCE = timedelta(minutes=5)

_ORDINARY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")
_OURS = re.compile(
    r"(?P<prefix>.*)(?P<date>[0-9]{8}T[0-9]{6}Z)-[0-9a-f]{4}"
    r"(?P<part>-only-(?:[a-z0-9]+(?:-[a-z0-9]+)*)?)?\.plb",
    re.DOTALL,
)
"""Exactly the names that :func:`generate` makes.

No prefix can be mistaken for the end of a name: the resource is in lower case, and the letters of a date are not. So a
full backup ends in date and hex digits, and a partial one in its resource, whatever the prefix is.
"""

_VENDOR = re.compile(r"(?P<date>[0-9]{8}-[0-9]{2}\.[0-9]{2})\.plb")
_OUR_DATE = "%Y%m%dT%H%M%SZ"
_VENDOR_DATE = "%Y%m%d-%H.%M"


def why_illegal(name: str) -> str:
    """Why ``name`` is not a legal backup name, as a clause without a subject; empty if it is legal.

    Legal: 1 to 255 bytes of UTF-8, no ``/``, ``\\``, NUL or other control character, not ``.`` or ``..``.
    """
    if _ORDINARY.fullmatch(name) is not None:
        return ""
    if not name:
        return "is empty"
    if name in (".", ".."):
        return f"is {name!r}"
    forbidden = _FORBIDDEN.search(name)
    if forbidden:
        return f"holds {forbidden[0]!r}" if forbidden[0] in "/\\" else "holds a control character"
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > MAX_NAME_BYTES:
        return f"has {size} bytes of UTF-8, more than {MAX_NAME_BYTES}"
    return ""


def require_legal(name: str, option: str = "name") -> str:
    """Return ``name``; :raises OptionError: which names ``option``, when it is not a legal backup name."""
    reason = why_illegal(name)
    if reason:
        raise NAME_NOT_LEGAL.error(option=option, name=shorten(name, MAX_SHOWN), flaw=reason)
    return name


def generate(now: datetime, *, prefix: str = "", resource_name: str | None = None) -> str:
    """Make a new name: ``<prefix><YYYYMMDDTHHMMSSZ>-<4 hex>.plb``, with ``-only-<resource>`` for a partial backup.

    :param now: an aware datetime; written in UTC.
    :raises OptionError: if the prefix or the resource makes the name illegal.
    """
    stamp = now.astimezone(timezone.utc).strftime(_OUR_DATE)
    whole = f"{prefix}{stamp}-{secrets.token_hex(2)}"
    require_legal(f"{whole}.plb", "prefix")
    if not resource_name:
        return f"{whole}.plb"
    part = re.sub(r"[^A-Za-z0-9]+", "-", resource_name).strip("-").lower()
    return require_legal(f"{whole}{PARTIAL_MARK}{part or 'part'}.plb", "resource_name")


def unused(now: datetime, taken: Container[str], *, prefix: str, resource_name: str | None = None) -> str:
    """Make a new name that is not taken, see :func:`generate`.

    :raises ConflictError: when twenty tries gave taken names.
    """
    for _number in range(20):
        name = generate(now, prefix=prefix, resource_name=resource_name)
        if name not in taken:
            return name
    raise NO_UNUSED_NAME.error()


def require_prefix(prefix: str) -> str:
    """Return ``prefix``; :raises OptionError: when full backups would look like those that a restore makes."""
    if prefix in OWN_PREFIXES:
        raise PREFIX_RESERVED.error(prefix=prefix)
    return prefix


def purpose(name: str) -> str:
    """The purpose of a backup by its name: ``safety`` (made by a restore), ``partial`` or ``full``.

    A name that is not exactly in our form counts as that of a full backup.
    """
    ours = _OURS.fullmatch(name)
    if ours is None or _moment(ours.group("date"), _OUR_DATE, timezone.utc) is None:
        return FULL
    prefix, part = ours.group("prefix", "part")
    if prefix == COMPARE_PREFIX or (prefix == SAFETY_PREFIX and part is None):
        return SAFETY
    return FULL if part is None else PARTIAL


def mistaken_for(name: str, resource_name: str | None) -> str:
    """What a name chosen by the user would be mistaken for; empty when it fits the backup.

    :param resource_name: the resource of a partial backup; ``None`` for a full one.
    """
    by_name = purpose(name)
    if by_name == SAFETY:
        return "one that a restore made"
    if by_name == PARTIAL and not resource_name:
        return "a backup of one resource"
    if by_name == FULL and resource_name and created_at(name, timezone.utc) is not None:
        return "a full backup"
    return ""


def zone_from(name: str | None) -> tzinfo | None:
    """The time zone of names that the system chooses; ``UTC`` needs no time zone database.

    :raises OptionError: for a zone that is unknown where the module runs.
    """
    if not name:
        return None
    if name.upper() == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise TIMEZONE_UNKNOWN.error(name=name) from None


def created_at(name: str, zone: tzinfo | None = None) -> datetime | None:
    """The time of creation by the name; ``None`` if the name does not contain it.

    :param zone: the time zone of names that the system chose (``20210622-04.48.plb``). Without it their date is
        unknown, as a guess could make old backups look fresh.
    :return: an aware datetime in UTC.
    """
    ours = _OURS.fullmatch(name)
    if ours:
        return _moment(ours.group("date"), _OUR_DATE, timezone.utc)
    vendor = _VENDOR.fullmatch(name)
    if vendor and zone is not None:
        return _moment(vendor.group("date"), _VENDOR_DATE, zone)
    return None


def _moment(text: str, form: str, zone: tzinfo) -> datetime | None:
    """Parse a time, and convert it to UTC; ``None`` if it does not exist."""
    try:
        return datetime.strptime(text, form).replace(tzinfo=zone).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def is_ahead(now: datetime, created: datetime | None) -> bool:
    """Whether a date is so far in the future that one of two clocks must be wrong."""
    return created is not None and created - now > FUTURE_TOLERANCE


def age_at(now: datetime, created: datetime | None) -> timedelta | None:
    """Age of a backup; ``None`` when it is unknown, also for a date more than 5 minutes in the future."""
    if created is None or is_ahead(now, created):
        return None
    return max(now - created, timedelta(0))
