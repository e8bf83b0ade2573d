# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the files and folders that the configuration names: what is wrong or unsafe, and what to do about it."""

from __future__ import annotations

import os
import pwd
import re
import ssl
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .certificate import validity
from .config import Tls

_CERTIFICATE = re.compile(rb"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN ([A-Z]+ )*PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """Something that is wrong; ``is_fatal`` if the gateway can't start because of it."""

    text: str
    is_fatal: bool = True


# state_dir


def state_dir_problem(path: Path) -> str | None:
    """Say why this user can't use ``state_dir``, and what to do; ``None`` if they can. Changes nothing."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        above = path.parent
        while not os.path.lexists(above) and above != above.parent:
            above = above.parent
        if not above.is_dir():
            return f"{path} can't be made, because {above} is not a folder; name another one"
        if not os.access(above, os.W_OK | os.X_OK):
            return f"{path} can't be made by user {_user()}, who may not write to {above}; make it for this user"
        return None
    except OSError as error:
        return f"{path} can't be used: {error.strerror}; name another one"
    said = _flaw_of_folder(path, found)
    for name in ("spool", "operations.sqlite"):
        said = said or _flaw_within(path / name)
    return said


def _user(number: int | None = None) -> str:
    number = os.geteuid() if number is None else number
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _flaw_of_folder(path: Path, found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return f"{path} is a link; name the folder itself"
    if not stat.S_ISDIR(found.st_mode):
        return f"{path} is not a folder; name another one"
    if found.st_uid != os.geteuid():
        return (
            f"{path} belongs to user {_user(found.st_uid)}, and this is user {_user()}; run as the user to whom it"
            f" belongs, or change its owner: chown {_user()} {path}"
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return f"{path} can't be written to by user {_user()}; change its permissions: chmod 700 {path}"
    return None


def _flaw_within(path: Path) -> str | None:
    """Say what is wrong with the spool or database in the folder, if anything."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path} can't be used: {error.strerror}"
    if path.name == "spool":
        return _flaw_of_folder(path, found)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        return f"{path} is not a file of user {_user()}; find out how it came there, and remove it"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{path} can't be written to by user {_user()}; change its permissions: chmod 600 {path}"
    return None


# Certificates and their key


def tls_findings(tls: Tls) -> list[Finding]:
    """Check the files of ``tls``."""
    found: list[Finding] = []
    certificate = _read("certificate", tls.certificate, _CERTIFICATE, "certificate", found)
    key = _read("key", tls.key, _KEY, "private key", found)
    if tls.client_ca is not None and _read("client_ca", tls.client_ca, _CERTIFICATE, "certificate", found):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(tls.client_ca)
        except (OSError, ssl.SSLError):
            found.append(Finding(f"tls.client_ca: {tls.client_ca} holds a certificate that is damaged; copy it again"))
    if key is not None:
        found += _flaws_of_key(tls.key, key)
    if certificate is not None:
        found += _flaws_of_time(tls.certificate)
    if certificate is not None and key is not None and not any(each.is_fatal for each in found):
        found += _flaws_of_pair(tls)
    return found


def _read(option: str, path: Path, wanted: re.Pattern[bytes], what: str, found: list[Finding]) -> bytes | None:
    """Read a PEM file; adds a finding and returns ``None`` if it does not contain what is wanted."""
    try:
        content = path.read_bytes()
    except OSError as error:
        found.append(
            Finding(
                f"tls.{option}: {path} can't be read by user {_user()}: {error.strerror}; correct path or permissions"
            )
        )
        return None
    if wanted.search(content):
        return content
    if content.startswith(b"\x30"):
        said = "is in DER form; convert it to PEM with openssl"
    elif not content.strip():
        said = f"is empty; put the {what} there, in PEM form"
    else:
        said = f"holds no {what} in PEM form; put it there, or name another file"
    found.append(Finding(f"tls.{option}: {path} {said}"))
    return None


def _flaws_of_key(path: Path, content: bytes) -> list[Finding]:
    if _ENCRYPTED.search(content):
        return [Finding(f"tls.key: {path} is encrypted, and nobody types its passphrase; decrypt it: openssl pkey")]
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return []
    who = "everybody" if mode & 0o007 else "its group"
    said = f"tls.key: {path} is open to {who} (mode {mode:04o}); close it: chmod 600 {path}"
    return [Finding(said, is_fatal=False)]


def _flaws_of_time(path: Path) -> list[Finding]:
    try:
        begin, end = validity(path)
    except (OSError, ValueError):
        return [Finding(f"tls.certificate: {path} holds a certificate that is damaged; copy it again")]
    now = datetime.now(UTC)
    if end < now:
        said = f"has expired on {end:%Y-%m-%d %H:%M} UTC; renew it"
    elif begin > now:
        said = f"is not valid before {begin:%Y-%m-%d %H:%M} UTC; check the clock, or take another one"
    else:
        return []
    return [Finding(f"tls.certificate: {path} {said}", is_fatal=False)]


def _flaws_of_pair(tls: Tls) -> list[Finding]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            said = f"does not belong to the certificate {tls.certificate}; name the key for which it was issued"
        else:
            said = f"or the certificate {tls.certificate} can't be used ({error.reason}); take another pair"
        return [Finding(f"tls.key: the key {tls.key} {said}")]
    return []
