# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificate files: dates are read correctly, valid files are accepted, and OpenSSL never prompts for a passphrase."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from ansible_collections.netops.activelogic.plugins.module_utils import _tls_files
from ansible_collections.netops.activelogic.plugins.module_utils._errors import OptionError

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


def client(folder: Path, begin: datetime | None = None, end: datetime | None = None) -> str:
    """A file with a certificate and its key."""
    issued = trustme.CA().issue_cert("x@example.com", not_before=begin, not_after=end)
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    return str(folder / "client.pem")


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        ("2024-01-01", "2025-01-01", "it expired on 2025-01-01"),
        ("1960-01-01", "1999-12-31", "it expired on 1999-12-31"),
        ("2024-01-01", "2055-01-01", ""),
        ("2051-01-01", "2055-01-01", "it is not valid before 2051-01-01 00:00 UTC"),
        ("2026-05-31T23:59:59", "2026-06-01T00:00:01", ""),
    ],
)
def test_dates_of_a_certificate(tmp_path: Path, begin: str, end: str, said: str) -> None:
    dates = [datetime.fromisoformat(each).replace(tzinfo=timezone.utc) for each in (begin, end)]
    assert _tls_files.expired(client(tmp_path, *dates), NOW) == said


def test_dates_that_can_not_be_read_are_no_reason(tmp_path: Path) -> None:
    path = Path(client(tmp_path, NOW - timedelta(days=9), NOW - timedelta(days=8)))
    assert _tls_files.expired(str(path), NOW)
    content = path.read_bytes()
    for damaged in (content[:-700], b"", content.replace(b"MII", b"MIA"), b"-----BEGIN CERTIFICATE-----\n-----END"):
        path.write_bytes(damaged)
        assert _tls_files.expired(str(path), NOW) == ""
    assert _tls_files.expired("/nowhere", NOW) == ""


def test_files_that_are_fine_are_taken(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    windows = (tmp_path / "ca.pem").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "windows.pem").write_bytes(b"\xef\xbb\xbf" + b"Comments may stand here.\r\n" + windows)
    for name in ("ca.pem", "windows.pem"):
        _tls_files.check_authorities("ca_path", str(tmp_path / name))
    _tls_files.check_client(client(tmp_path), None)
    issued = authority.issue_cert("x@example.com")
    issued.private_key_pem.write_to_path(tmp_path / "key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    _tls_files.check_client(str(tmp_path / "cert"), str(tmp_path / "key"))


def test_folder_of_authorities_is_taken_when_openssl_has_named_them(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with pytest.raises(OptionError, match="openssl rehash"):
        _tls_files.check_authorities("ca_path", str(tmp_path))
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True, timeout=60)
    _tls_files.check_authorities("ca_path", str(tmp_path))


ASK_FOR = """
import sys
from ansible_collections.netops.activelogic.plugins.module_utils._errors import OptionError
from ansible_collections.netops.activelogic.plugins.module_utils._tls_files import check_client
try:
    check_client(*sys.argv[1:], *([None] * (3 - len(sys.argv))))
except OptionError as error:
    print(error.reason)
"""


@pytest.mark.parametrize("part", ["key", "certificate"])
@pytest.mark.parametrize("algorithm", ["aes256", "des3"])
def test_nobody_is_asked_for_a_pass_phrase_on_the_terminal(tmp_path: Path, algorithm: str, part: str) -> None:
    """Not even for a certificate: PEM allows encrypting those too, though nobody does so on purpose."""
    both = Path(client(tmp_path))
    command = ["openssl", "ec", "-in", str(both), f"-{algorithm}", "-passout", "pass:phrase"]
    key = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    content = both.read_bytes()
    certificate = content[content.index(b"-----BEGIN CERTIFICATE") :]
    files = [tmp_path / "x.pem"]
    if part == "key":
        files[0].write_bytes(certificate + key)
    else:
        files[0].write_bytes(key.replace(b"EC PRIVATE KEY", b"CERTIFICATE"))
        files.append(both)
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", ASK_FOR, *map(str, files)])  # noqa: S606
    seen = b""
    while b"pass phrase:" not in seen:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # the process has ended
            break
    os.close(terminal)
    _pid, status = os.waitpid(pid, 0)
    assert b"pass phrase" not in seen
    assert status == 0
    assert str(files[0]).encode() in seen
    assert (b"is encrypted" in seen) is (part == "key")
