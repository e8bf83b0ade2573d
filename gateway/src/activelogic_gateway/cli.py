# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``activelogic-gateway``."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import resource
import signal
import sqlite3
import ssl
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from . import __version__, logs
from .api.app import create_app
from .api.openapi import openapi
from .config import STANDARD_OUTPUT, Config, ConfigError, Limits, Tls, load
from .gateway import Gateway
from .isolation import Processes, check
from .logins import Logins
from .server import GatewayServer, listen, url_of, write_ready_file
from .setup_checks import state_dir_problem, tls_findings
from .spool import Spool
from .store import Store
from .tls import TlsError, days_left, tls_context
from .vendor_package import SdkMissing
from .vendor_session import Sessions

logger = logging.getLogger(__name__)

DESCRIPTORS = 64
"""File descriptors that the gateway needs apart from connections and sessions."""

DESCRIPTORS_PER_SESSION = 4


class StartError(Exception):
    """The gateway can't start; the text is one sentence."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="activelogic-gateway", description="Offer the Backup resource of ActiveLogic systems over HTTPS."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the gateway until SIGTERM or SIGINT")
    check = commands.add_parser("check", help="check a configuration and the files that it names; changes nothing")
    for each in (serve, check):
        each.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, gateway.yml")
    serve.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help='written once connections are accepted: {"url": ..., "pid": ...}',
    )
    commands.add_parser("openapi", help="print the OpenAPI document of the HTTP API")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 on success, 2 if the configuration or the environment is unusable."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "openapi":
            return _openapi()
        config = load(options.config)
        if options.command == "check":
            return _check(config)
        return _serve(config, options.ready_file)
    except ConfigError as error:
        for problem in error.problems:
            print(f"activelogic-gateway: {problem}", file=sys.stderr)
    except (SdkMissing, StartError, TlsError) as error:
        print(f"activelogic-gateway: {error}", file=sys.stderr)
    return 2


def _prepare_environment(config: Config) -> None:
    """Set the environment variables that the package reads in its processes."""
    if config.embedded_root is not None:
        os.environ["ACTIVELOGIC_EMBEDDED_ROOT"] = str(config.embedded_root)


def _check(config: Config) -> int:
    problems: list[str] = []
    _prepare_environment(config)
    try:
        check(config.sdk, config.isolation)
    except SdkMissing as error:
        problems.append(str(error))
    if config.tls is not None:
        problems += [each.text for each in tls_findings(config.tls)]
    if config.embedded_root is not None and not config.embedded_root.is_dir():
        problems.append(f"embedded_root: {config.embedded_root} is not a folder")
    said = state_dir_problem(config.state_dir)
    if said is not None:
        problems.append(f"state_dir: {said}")
    if config.audit_log not in (None, STANDARD_OUTPUT) and not _is_writable_file(config.audit_log):
        problems.append(f"audit_log: {config.audit_log} can't be made or written to")
    for problem in problems:
        print(f"activelogic-gateway: {problem}", file=sys.stderr)
    if problems:
        return 2
    print(f"The configuration is good: {len(config.systems)} systems, through the Python package {config.sdk}.")
    return 0


def _is_writable_folder(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def _is_writable_file(path: Path) -> bool:
    """Whether the file can be written or created."""
    if path.exists():
        return not path.is_dir() and os.access(path, os.W_OK)
    return _is_writable_folder(path.parent)


def _openapi() -> int:
    print(json.dumps(openapi(), indent=2, sort_keys=True))
    return 0


def _lock(state_dir: Path, stack: ExitStack) -> None:
    """Allow one process per state_dir. The folder itself is locked: somebody could delete a lock file in it."""
    said = state_dir_problem(state_dir)
    if said is not None:
        raise StartError(f"state_dir: {said}")
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        os.fchmod(folder, 0o700)
    except OSError as error:
        raise StartError(f"state_dir: {state_dir} can't be used: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StartError(f"state_dir: {state_dir} is in use by another gateway") from error
    except OSError as error:
        raise StartError(
            f"state_dir: {state_dir} can't be locked ({error.strerror}); name a folder on a disk"
        ) from error


def _raise_descriptor_limit(limits: Limits) -> None:
    """Raise the soft limit of file descriptors to what all connections and sessions need.

    :raises StartError: if the hard limit is too low.
    """
    needed = DESCRIPTORS + 3 * limits.connections + DESCRIPTORS_PER_SESSION * limits.sessions
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise StartError(
            f"the process may open {hard} files, {needed} are needed for limits.connections and limits.sessions;"
            " raise its limit (LimitNOFILE in systemd), or lower these"
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _remove_old(ready_file: Path) -> None:
    """Delete an earlier process's ready file, which must not be mistaken for this one's."""
    try:
        ready_file.unlink(missing_ok=True)
    except OSError as error:
        raise StartError(f"--ready-file: {ready_file} can't be removed: {error.strerror}") from error
    if not _is_writable_folder(ready_file.parent):
        raise StartError(f"--ready-file: {ready_file} can't be written")


def _tls(tls: Tls) -> ssl.SSLContext:
    findings = tls_findings(tls)
    for each in findings:
        if each.is_fatal:
            raise StartError(each.text)
        logger.warning("%s", each.text)
    return tls_context(tls)


def _serve(config: Config, ready_file: Path | None) -> int:
    os.umask(0o077)
    secrets = logs.Secrets()
    log = logs.set_up(secrets)
    _prepare_environment(config)
    context = _tls(config.tls) if config.tls is not None else None
    limits = config.limits
    _raise_descriptor_limit(limits)
    with ExitStack() as stack:
        stack.callback(log.close, logs.CLOSE_SECONDS)
        _lock(config.state_dir, stack)
        if ready_file is not None:
            _remove_old(ready_file)
        store = Store(config.state_dir / "operations.sqlite")
        spool = Spool(
            config.state_dir / "spool",
            limits.spool_bytes,
            limits.spool_free_bytes,
            limits.spool_bytes_per_system,
            limits.spool_bytes_per_user,
        )
        try:
            spool.open()
            audit = logs.AuditLog(config.audit_path)
            stack.callback(audit.close)
        except OSError as error:
            raise StartError(f"{error.filename} can't be used: {error.strerror}") from error
        processes = Processes(config.sdk, config.isolation, secrets)
        processes.start()
        stack.callback(processes.close)
        sessions = Sessions(processes, limits.sessions, secrets)
        logins = Logins(
            limits.remember_login_seconds,
            limits.failed_logins_per_minute,
            limits.failed_logins_per_minute_and_address,
        )
        gateway = Gateway(config, sessions, store, spool, logins, audit, secrets)
        gateway.certificate_days_left = lambda: days_left(config.tls)
        try:
            store.open()
            stack.callback(store.close)
            gateway.recover()
        except (OSError, sqlite3.Error) as error:
            raise StartError(
                f"state_dir: operations.sqlite can't be used ({error}); move it away to start without it, and then look"
                " at the systems before an operation is sent again"
            ) from error
        try:
            sock = listen(config)
        except OSError as error:
            raise StartError(f"listen: {config.listen} can't be used: {error.strerror or error}") from error
        stack.callback(sock.close)
        url = url_of(sock, config)

        def ready() -> None:
            if ready_file is not None:
                write_ready_file(ready_file, url)
            print(f"activelogic-gateway {__version__} listens on {url}", file=sys.stderr, flush=True)

        # uvicorn raises the signal again after its clean shutdown, which these handlers ignore. They also ignore a
        # SIGHUP before the server handles it: the certificates have just been read.
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, lambda _signal, _frame: None)
        server = GatewayServer(create_app(gateway), gateway, sock, context, ready)
        asyncio.run(server.serve())
        started = server.started
    sys.stdout.flush()
    sys.stderr.flush()
    return 0 if started else 1
