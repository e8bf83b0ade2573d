# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file ``gateway.yml``: its keys, their defaults, and their validation."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from .config_errors import sentence

GIB = 1024**3

STANDARD_OUTPUT = Path("-")
"""The audit log's path that means standard output."""


class ConfigError(Exception):
    """The configuration is invalid; each entry of ``problems`` says what is wrong, and where."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _below_base(path: Path, info: ValidationInfo) -> Path:
    """Resolve relative paths against the folder of the configuration file (``context["base"]``)."""
    base = (info.context or {}).get("base", Path.cwd())
    return Path(base) / path.expanduser()


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"should be a number, not {str(value).lower()}")
    return value


def _no_empty_path(value: Any) -> Any:
    """Reject an empty path, which would mean the folder of the configuration file."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty; name a file or folder, or remove it")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("holds a NUL character; correct the path")
    return value


FilePath = Annotated[Path, BeforeValidator(_no_empty_path), AfterValidator(_below_base)]
LogPath = Annotated[
    Path,
    BeforeValidator(_no_empty_path),
    AfterValidator(lambda path, info: path if path == STANDARD_OUTPUT else _below_base(path, info)),
]
Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=2**62)]
Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=30 * 86400, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(_Section):
    """The gateway's certificate (PEM, with its chain), its key, and optionally the CA of client certificates."""

    certificate: FilePath
    key: FilePath
    client_ca: FilePath | None = None


class System(_Section):
    """One ActiveLogic system; ``host`` is the only address that the gateway connects to for it."""

    host: str

    @model_validator(mode="after")
    def _check(self) -> System:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,252}", self.host):
            raise ValueError(f"host should be an address or a host name, without a port, not {self.host!r}")
        return self


class Limits(_Section):
    """Every limit, with its unit in its name."""

    upload_bytes: Count = 8 * GIB
    spool_bytes: Count = 32 * GIB
    spool_free_bytes: Count = 64 * 1024**2
    spool_bytes_per_system: Count = 24 * GIB
    spool_bytes_per_user: Count = 16 * GIB
    first_byte_seconds: Seconds = 60
    content_seconds: Seconds = 3600
    read_seconds: Seconds = 60
    write_seconds: Seconds = 1800
    transfer_seconds: Seconds = 3600
    owner_seconds: Seconds = 60
    stuck_seconds: Seconds = 300
    remember_login_seconds: Seconds = 60
    failed_logins_per_minute: Count = 5
    failed_logins_per_minute_and_address: Count = 30
    waiting_writes_per_system: Count = 8
    parallel_downloads_per_system: Count = 4
    waiting_downloads_per_system: Count = 100
    unfinished_uploads_per_user: Count = 20
    sessions: Count = 200
    logins_per_system: Count = 20
    logins_per_address: Count = 100
    connections: Count = 200
    connections_per_address: Count = 150
    keep_alive_seconds: Seconds = 30
    header_seconds: Seconds = 10
    header_bytes: Count = 65536
    body_bytes_per_second: Count = 1024
    stalled_seconds: Seconds = 60
    keep_operations_days: Count = 7
    shutdown_seconds: Seconds = 5


class Isolation(_Section):
    """Session processes: whether the package is imported once for all of them, and their limit of address space."""

    preload: Annotated[bool, Field(strict=True)] = True
    memory_bytes: Annotated[int, BeforeValidator(_no_bool), Field(ge=64 * 1024**2, le=2**50)] = GIB


class Config(_Section):
    """The whole of ``gateway.yml``."""

    sdk: str = "activelogic"
    embedded_root: FilePath | None = None
    listen: str = "127.0.0.1:8443"
    tls: Tls | None = None
    state_dir: FilePath
    audit_log: LogPath | None = None
    systems: dict[str, System] = Field(min_length=1)
    limits: Limits = Limits()
    isolation: Isolation = Isolation()

    @property
    def audit_path(self) -> Path | None:
        """The audit log's file; ``None`` for standard output (``-`` in the configuration)."""
        if self.audit_log == STANDARD_OUTPUT:
            return None
        return self.audit_log or self.state_dir / "audit.log"

    @property
    def listen_address(self) -> tuple[str, int]:
        """Address without brackets, and port; port 0 lets the operating system choose."""
        return split_address(self.listen)

    @model_validator(mode="after")
    def _check(self) -> Config:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", self.sdk, re.ASCII):
            raise ValueError(f"sdk should be the name of a Python module, not {self.sdk!r}")
        if self.embedded_root is not None and not self.sdk.startswith("activelogic_embedded"):
            raise ValueError("embedded_root goes with sdk activelogic_embedded only; remove one of the two")
        address, _ = self.listen_address
        if self.tls is None and not is_loopback(address):
            raise ValueError(
                f"tls is needed, because listen ({self.listen}) is not a loopback address; add certificate and key"
            )
        known: dict[str, str] = {}
        for name, system in self.systems.items():
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}", name):
                raise ValueError(
                    f"systems: the name {name!r} should have only letters, digits, '.', '_' and '-', and begin with a"
                    " letter, digit or '_'"
                )
            for word in {name, system.host}:
                if known.setdefault(word, name) != name:
                    raise ValueError(
                        f"systems.{name}: {word!r} already stands for systems.{known[word]}; remove one of the two"
                    )
        return self

    def find_system(self, word: str) -> str | None:
        """Return the name of the system that ``word`` names, by exact name or address; ``None`` if none."""
        if word in self.systems:
            return word
        return next((name for name, system in self.systems.items() if system.host == word), None)


def split_address(listen: str) -> tuple[str, int]:
    """Split ``127.0.0.1:8443`` or ``[::1]:8443``; raises ``ValueError`` with a sentence."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", listen)
    if found is None or int(found[3]) > 65535:
        raise ValueError("listen should have the form 127.0.0.1:8443 or [::1]:8443")
    return found[1] or found[2], int(found[3])


def is_loopback(address: str) -> bool:
    """Whether ``address`` is reachable from this machine only."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class _Loader(yaml.SafeLoader):
    """A safe YAML loader that also rejects duplicate keys."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if isinstance(key, (str, int)) and key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        if isinstance(key, (str, int)):
            seen.add(key)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path: Path) -> Config:
    """Read and validate the configuration at ``path``.

    :raises ConfigError: with one entry for each error.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path} can't be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path} is not UTF-8"]) from error
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of the safe loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        said = getattr(error, "problem", None) or "a character that YAML does not allow"
        no_yaml = "" if isinstance(error, yaml.constructor.ConstructorError) else "this is not YAML: "
        raise ConfigError([f"{path}: {where}{no_yaml}{said}"]) from error
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: should be a mapping with the keys state_dir, systems, ..."])
    try:
        return Config.model_validate(data, context={"base": path.resolve().parent})
    except ValidationError as error:
        raise ConfigError([f"{path}: {sentence(each, Config)}" for each in error.errors()]) from error
