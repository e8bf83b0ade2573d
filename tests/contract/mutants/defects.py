# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Named defects of the embedded system, and the contract tests that must fail for each.

A defect replaces a method of the API or of the store below it, but never one that the tests use to observe the system:
``Store.fact``, ``configuration``, ``change``, ``set_user`` and ``digest`` stay as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activelogic_embedded import archive, exception
from activelogic_embedded import backup as backup_file
from activelogic_embedded import connection as connection_file
from activelogic_embedded.archive import ArchiveError
from activelogic_embedded.backup import Backup, BackupFile
from activelogic_embedded.connection import Connection
from activelogic_embedded.store import TITLES, Level, Resource, Store, StoreError

VARIABLE = "CONTRACT_DEFECT"
"""Environment variable that names the active defect."""

SDK_WAYS = ("sdk-async", "sdk-sync")
CLIENT_DIRECT = "client-direct"
WAYS = (*SDK_WAYS, "client-gateway", CLIENT_DIRECT)

LOOKS_FIRST = "the client looks for the name before it sends the command"
NEW_RESOURCE = "the client opens a new resource for every command"
PATHS_ONLY = "the client hands over paths and nothing else"
OWN_FILE = "the gateway has it written to a new file of its own"
OWN_PROCESS = "the gateway gives each session a process of its own, which remembers nothing of others"
NO_SUCH_CALL = "the client has no such call"


@dataclass(frozen=True)
class Defect:
    """A defect: its description, the tests that must fail, and in which ways; if not in all, the reason."""

    sentence: str
    apply: Callable[[], None]
    tests: tuple[str, ...]
    ways: tuple[str, ...] = WAYS
    reason: str = ""


DEFECTS: dict[str, Defect] = {}


def defect(sentence: str, *tests: str, ways: tuple[str, ...] = WAYS, reason: str = "") -> Callable[[Any], Any]:
    """Register a function that creates a defect, under the function's name."""

    def enter(apply: Callable[[], None]) -> Callable[[], None]:
        DEFECTS[apply.__name__] = Defect(sentence, apply, tests, ways, reason)
        return apply

    return enter


def sdk_defect(sentence: str, *tests: str, reason: str) -> Callable[[Any], Any]:
    """Like :func:`defect`, for defects that only the ways of the Python API can reveal."""
    return defect(sentence, *tests, ways=SDK_WAYS, reason=reason)


def put(owner: object, name: str, value: object) -> None:
    """Replace an attribute of a class, module or object."""
    setattr(owner, name, value)


def _content(path: str | Path | None) -> bytes:
    """Content of a file; empty if it does not exist."""
    return Path(path).read_bytes() if isinstance(path, (str, Path)) and Path(path).exists() else b""


def _write(path: str | Path, content: bytes) -> None:
    Path(path).write_bytes(content)


def listed(change: Callable[[Store, list[tuple[str, int]]], Iterable[tuple[str, int]]]) -> None:
    """Make listings go through ``change``, in the API only."""

    async def wrong(self: Backup, cls: type) -> list[BackupFile]:
        rows = [(each.name, each.size) for each in await right(self, cls)]
        return [BackupFile(name, size) for name, size in change(self._store, rows)]

    right = Backup.list
    put(Backup, "list", wrong)


def created(change: Callable[..., tuple[str, str | None]], returned: Callable[[str], str] = str) -> None:
    """Make create_new use what ``change(backup, name, resource_name)`` returns as its arguments."""

    async def wrong(self: Backup, name: str = "", resource_name: str | None = None) -> str:
        return returned(await right(self, *change(self, name, resource_name)))

    right = Backup.create_new
    put(Backup, "create_new", wrong)


def packed(change: Callable[[Store, str | None, Callable[..., bytes]], bytes]) -> None:
    """Make ``change(store, resource, pack)`` produce the content of new backups."""

    def wrong(self: Store, resource: str | None, *more: Any) -> bytes:
        return change(self, resource, lambda wanted: right(self, wanted, *more))

    right = Store.pack
    put(Store, "pack", wrong)


def restored(change: Callable[[Store, str, str | None, Callable[..., int]], int]) -> None:
    """Make restores call ``change(store, name, resource, restore)``."""

    def wrong(self: Store, name: str, resource: str | None, *more: Any) -> int:
        return change(self, name, resource, lambda *given: right(self, *given, *more))

    right = Store.restore
    put(Store, "restore", wrong)


def removed(change: Callable[[Store, str, Callable[[str], int]], int]) -> None:
    """Make removals call ``change(store, name, remove)``."""

    def wrong(self: Store, name: str) -> int:
        return change(self, name, lambda wanted: right(self, wanted))

    right = Store.remove
    put(Store, "remove", wrong)


def downloaded(change: Callable[[Store, str, bytes], bytes]) -> None:
    """Make the data of downloads go through ``change``."""

    async def wrong(self: Backup, backup_name: str, *, ofile_obj: Any = None, dest_path: Any = None) -> None:
        if ofile_obj is not None or dest_path is None:
            await right(self, backup_name, ofile_obj=ofile_obj, dest_path=dest_path)
            return
        buffer = io.BytesIO()
        await right(self, backup_name, ofile_obj=buffer)
        _write(dest_path, change(self._store, backup_name, buffer.getvalue()))

    right = Backup.download
    put(Backup, "download", wrong)


def uploaded(
    change: Callable[[bytes], bytes] = bytes, name: Callable[[str], str] = str, then: Callable[..., None] | None = None
) -> None:
    """Make the data and names of uploads from paths go through functions, then call ``then`` with store and name."""

    async def wrong(self: Backup, backup_name: str, *, ifile_obj: Any = None, in_path: Any = None) -> None:
        if ifile_obj is not None or in_path is None:
            await right(self, backup_name, ifile_obj=ifile_obj, in_path=in_path)
            return
        await right(self, name(backup_name), ifile_obj=io.BytesIO(change(_content(in_path))))
        if then is not None:
            then(self._store, backup_name)

    right = Backup.upload
    put(Backup, "upload", wrong)


def logged_in(change: Callable[[Store, str, str, Callable[[str, str], bool]], bool]) -> None:
    """Make ``change(store, username, password, judge)`` decide on logins."""

    def wrong(self: Store, username: str, password: str) -> bool:
        return change(self, username, password, lambda *given: right(self, *given))

    right = Store.may_log_in
    put(Store, "may_log_in", wrong)


def unchecked(command: str, level: Level | None) -> None:
    """Make a command require ``level`` instead of its own; ``None`` requires nothing."""

    async def wrong(self: Backup, *positional: Any, **named: Any) -> Any:
        with contextlib.ExitStack() as stack:
            check = self._check
            put(self, "_check", lambda _level: check(Level.NONE if level is None else level))
            stack.callback(self.__dict__.pop, "_check")
            return await right(self, *positional, **named)

    right = getattr(Backup, command)
    setattr(Backup, command, wrong)


def others(store: Store) -> list[Store]:
    """All other systems in the same root folder."""
    folders = [each.parent for each in sorted(store.folder.parent.glob("*/system.sqlite"))]
    return [Store(each) for each in folders if each != store.folder and not each.name.startswith(".")]


# Backup.list

SIZES = "test_list.py::test_every_backup_is_listed_with_its_name_and_its_size_in_bytes"
SIZE_OF_NOW = "test_list.py::test_the_size_is_that_of_now"
EVERY_LISTING = "test_list.py::test_every_listing_is_a_new_one"
LEGAL_NAMES = "test_create_new.py::test_a_legal_name_is_kept_as_it_is"


@defect("sizes are one byte too large", SIZES)
def list_adds_a_byte() -> None:
    listed(lambda _store, rows: [(name, size + 1) for name, size in rows])


@defect("sizes are rounded up to 1024 bytes", SIZES)
def list_rounds_sizes() -> None:
    listed(lambda _store, rows: [(name, -size // 1024 * -1024) for name, size in rows])


@defect(
    "a size is that of the first backup of its name", SIZE_OF_NOW, ways=(*SDK_WAYS, CLIENT_DIRECT), reason=OWN_PROCESS
)
def list_remembers_sizes() -> None:
    seen: dict[tuple[str, str], int] = {}
    listed(lambda store, rows: [(name, seen.setdefault((str(store.folder), name), size)) for name, size in rows])


@defect("the last backup is missing", EVERY_LISTING)
def list_omits_the_last() -> None:
    listed(lambda _store, rows: rows[:-1])


@defect("no more than 100 backups are listed", "test_list.py::test_many_backups_are_all_listed")
def list_stops_at_100() -> None:
    listed(lambda _store, rows: rows[:100])


@defect("only names that end in .plb are listed", LEGAL_NAMES)
def list_shows_plb_only() -> None:
    listed(lambda _store, rows: [row for row in rows if row[0].endswith(".plb")])


@defect("names that begin with a dot are not listed", LEGAL_NAMES)
def list_hides_dots() -> None:
    listed(lambda _store, rows: [row for row in rows if not row[0].startswith(".")])


@defect("names are listed in lower case", LEGAL_NAMES)
def list_lowers_names() -> None:
    listed(lambda _store, rows: [(name.lower(), size) for name, size in rows])


@defect("names lose their blanks at the ends", LEGAL_NAMES)
def list_strips_names() -> None:
    listed(lambda _store, rows: [(name.strip(), size) for name, size in rows])


@defect("backups of other systems are listed too", "test_list.py::test_the_backups_of_another_system_are_not_listed")
def list_shows_other_systems() -> None:
    listed(lambda store, rows: [*rows, *(row for other in others(store) for row in other.listing())])


@sdk_defect("a backup is listed twice", EVERY_LISTING, reason="the client lists it once")
def list_repeats_itself() -> None:
    listed(lambda _store, rows: [*rows, *rows[:1]])


@defect(
    "the listing is that of a system's first one", EVERY_LISTING, ways=(*SDK_WAYS, CLIENT_DIRECT), reason=OWN_PROCESS
)
def list_remembers_the_first() -> None:
    seen: dict[Path, list[tuple[str, int]]] = {}
    listed(lambda store, rows: seen.setdefault(store.folder, rows))


@defect("the last committed change is not listed yet", EVERY_LISTING)
def list_lags_behind() -> None:
    seen: dict[Path, list[tuple[str, int]]] = {}

    def change(store: Store, rows: list[tuple[str, int]]) -> list[tuple[str, int]]:
        before, seen[store.folder] = seen.get(store.folder, []), rows
        return before

    listed(change)


# Backup.create_new

ONE_INCLUDED = "test_create_new.py::test_with_a_resource_only_that_one_is_included"
ALL_INCLUDED = "test_create_new.py::test_without_a_resource_all_resources_are_included"
MOMENT = "test_create_new.py::test_a_backup_holds_the_configuration_of_its_moment"
UNNAMED_ONE = "test_create_new.py::test_a_backup_of_one_resource_gets_a_generated_name_too"
UNKNOWN_RESOURCE = "test_create_new.py::test_an_unknown_resource_is_refused_and_nothing_is_created"
GENERATED = "test_create_new.py::test_a_generated_name_holds_the_minute_in_which_it_was_made"
GENERATED_TWICE = "test_create_new.py::test_a_generated_name_is_refused_where_it_exists"
APPEARS = "test_create_new.py::test_a_backup_of_the_given_name_appears"
CREATING_CHANGES_NOTHING = "test_create_new.py::test_creating_changes_no_configuration_and_no_other_backup"


@defect("a backup of everything holds one resource", ALL_INCLUDED)
def create_holds_too_little() -> None:
    packed(lambda _store, resource, pack: pack(resource or "Ruleset"))


@defect("a backup of everything lacks the configuration", ALL_INCLUDED)
def create_lacks_config() -> None:
    def wrong(self: Store, resource: str | None, *more: Any) -> bytes:
        data = self.configuration()
        left = {title: value for title, value in data.items() if title != "Config" or resource}
        put(self, "configuration", lambda: left)
        try:
            return right(self, resource, *more)
        finally:
            del self.configuration

    right = Store.pack
    put(Store, "pack", wrong)


@defect("a backup of one resource holds all", ONE_INCLUDED)
def create_of_one_holds_all() -> None:
    packed(lambda store, resource, pack: pack(None if resource in store.configuration() else resource))


@defect("a backup of one resource holds another one", ONE_INCLUDED)
def create_of_one_holds_another() -> None:
    swapped = {"Ruleset": "Config", "Config": "Ruleset"}
    packed(lambda _store, resource, pack: pack(swapped.get(resource or "", resource)))


@defect("a resource whose name has a blank can't be backed up", ONE_INCLUDED)
def create_refuses_blanks_in_resources() -> None:
    packed(lambda _store, resource, pack: pack(resource and resource.split()[0]))


@defect("without a name the resource is ignored", UNNAMED_ONE)
def create_unnamed_holds_all() -> None:
    created(lambda self, name, resource: (name, resource if name or resource not in TITLES.values() else None))


@defect("an unknown resource stands for all", UNKNOWN_RESOURCE)
def create_takes_unknown_resources() -> None:
    packed(lambda store, resource, pack: pack(resource if resource in store.configuration() else None))


@defect("an unknown resource is refused as a critical error", UNKNOWN_RESOURCE)
def create_refuses_critically() -> None:
    def change(_store: Store, resource: str | None, pack: Callable[..., bytes]) -> bytes:
        try:
            return pack(resource)
        except StoreError as error:
            raise exception.PLDBCriticalError(str(error)) from error

    packed(change)


@defect("an unknown resource is refused after a backup was made", UNKNOWN_RESOURCE)
def create_refuses_too_late() -> None:
    async def wrong(self: Backup, name: str = "", resource_name: str | None = None) -> str:
        is_known = resource_name is None or resource_name in self._store.configuration()
        made = await right(self, name, resource_name if is_known else None)
        if not is_known:
            raise exception.PLDBError("there is no such resource")
        return made

    right = Backup.create_new
    put(Backup, "create_new", wrong)


@defect("another name than that of the backup is returned", APPEARS)
def create_returns_another_name() -> None:
    created(lambda _self, name, resource: (name, resource), lambda name: name.removesuffix(".plb"))


@defect("the backup gets another name than the one that is returned", APPEARS)
def create_stores_another_name() -> None:
    created(lambda _self, name, resource: (f"{name}.plb", resource), lambda name: name.removesuffix(".plb"))


@defect("the given name is ignored", APPEARS)
def create_ignores_the_name() -> None:
    created(lambda _self, _name, resource: ("", resource))


@defect("names are kept in lower case", LEGAL_NAMES)
def create_lowers_names() -> None:
    created(lambda _self, name, resource: (name.lower(), resource))


@defect("long names are cut", LEGAL_NAMES)
def create_cuts_names() -> None:
    created(lambda _self, name, resource: (name[:100], resource))


@defect("generated names have another form", GENERATED)
def create_generates_another_form() -> None:
    created(lambda _self, name, resource: (name or f"{backup_file.now():%Y%m%d-%H%M}.plb", resource))


@defect("generated names tell another minute", GENERATED)
def create_generates_another_minute() -> None:
    created(lambda _self, name, resource: (name or f"{backup_file.now():%Y%m%d-%H}.{_minute():02}.plb", resource))


def _minute() -> int:
    return (backup_file.now().minute + 7) % 60


@defect("a second generated name of a minute gets a number", GENERATED_TWICE)
def create_numbers_names() -> None:
    def change(self: Backup, name: str, resource: str | None) -> tuple[str, str | None]:
        made = name or backup_file.now().strftime("%Y%m%d-%H.%M.plb")
        while not name and (self._store.backups / made).exists():
            made = made.removesuffix(".plb") + "-2.plb"
        return made, resource

    created(change)


@defect("a second backup of a generated name replaces the first", GENERATED_TWICE)
def create_replaces_generated_names() -> None:
    def change(self: Backup, name: str, resource: str | None) -> tuple[str, str | None]:
        made = name or backup_file.now().strftime("%Y%m%d-%H.%M.plb")
        if not name:
            (self._store.backups / made).unlink(missing_ok=True)
        return made, resource

    created(change)


@defect(
    "a backup holds the configuration of a system's first one",
    MOMENT,
    ways=(*SDK_WAYS, CLIENT_DIRECT),
    reason=OWN_PROCESS,
)
def create_remembers_the_configuration() -> None:
    seen: dict[tuple[Path, str | None], bytes] = {}
    packed(lambda store, resource, pack: seen.setdefault((store.folder, resource), pack(resource)))


@defect("a backup is empty", APPEARS)
def create_makes_empty_files() -> None:
    packed(lambda _store, _resource, _pack: b"")


@defect("the first backup is removed when another one is made", CREATING_CHANGES_NOTHING)
def create_removes_the_first() -> None:
    def change(self: Backup, name: str, resource: str | None) -> tuple[str, str | None]:
        first = sorted(self._store.backups.iterdir())[:1]
        if first and len(list(self._store.backups.iterdir())) > 1:
            first[0].unlink()
        return name, resource

    created(change)


@defect("making a backup changes the configuration", CREATING_CHANGES_NOTHING)
def create_changes_configuration() -> None:
    def change(self: Backup, name: str, resource: str | None) -> tuple[str, str | None]:
        self._store.change("Config", lambda data: {**data, "last_backup": name})
        return name, resource

    created(change)


# Backup.restore

ALL_BACK = "test_restore.py::test_all_resources_come_back"
ONE_BACK = "test_restore.py::test_with_a_resource_only_that_one_comes_back"
AGAIN = "test_restore.py::test_a_backup_can_be_restored_again"
NAMED = "test_restore.py::test_of_several_backups_the_named_one_is_restored"
DAMAGED = "test_restore.py::test_damaged_bytes_are_refused_and_nothing_changes"
ABSENT = "test_restore.py::test_a_resource_that_no_backup_holds_is_refused"


def _current(store: Store) -> int:
    return store._next_revision()


@defect("nothing is restored", ALL_BACK)
def restore_does_nothing() -> None:
    restored(lambda store, _name, _resource, _restore: _current(store))


def _kept(store: Store, wanted: Callable[[str], bool], restore: Callable[[], int]) -> int:
    """Restore, then put back the earlier data of the wanted resources."""
    before = store.configuration()
    revision = restore()
    with store._connect() as database:
        store._write(database, {title: data for title, data in before.items() if wanted(title)})
    return revision


@defect("what is new in a resource stays", ALL_BACK)
def restore_merges() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        before = store.configuration()
        revision = restore(name, resource)
        after = store.configuration()
        with store._connect() as database:
            store._write(database, {title: {**before[title], **after[title]} for title in after})
        return revision

    restored(change)


@defect("one resource is not restored with the others", ALL_BACK)
def restore_leaves_one_out() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        left_out = "System Diagnostics" if resource is None else ""
        return _kept(store, lambda title: title == left_out, lambda: restore(name, resource))

    restored(change)


@defect("a restore of one resource restores all", ONE_BACK)
def restore_of_one_restores_all() -> None:
    restored(lambda store, name, resource, restore: restore(name, None if resource in TITLES.values() else resource))


@defect("a restore of one resource restores nothing", ONE_BACK)
def restore_of_one_restores_nothing() -> None:
    restored(lambda store, name, resource, restore: _current(store) if resource else restore(name, None))


@defect("a restore of one resource restores another one", ONE_BACK)
def restore_of_one_restores_another() -> None:
    swapped = {"Ruleset": "Config", "Config": "Ruleset"}
    restored(lambda _store, name, resource, restore: restore(name, swapped.get(resource or "", resource)))


@defect("a resource whose name has a blank can't be restored", ONE_BACK)
def restore_refuses_blanks_in_resources() -> None:
    restored(lambda _store, name, resource, restore: restore(name, resource and resource.split()[0]))


@defect("the first backup is restored, whichever is named", NAMED)
def restore_takes_the_first() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        names = [each for each, _size in store.listing()]
        return restore(names[0] if name in names else name, resource)

    restored(change)


@defect("the newest backup is restored, whichever is named", NAMED)
def restore_takes_the_newest() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        newest = max(store.backups.iterdir(), key=lambda each: each.stat().st_mtime_ns).name
        return restore(newest if (store.backups / name).exists() else name, resource)

    restored(change)


@defect("a backup is restored only once", AGAIN, ways=(*SDK_WAYS, CLIENT_DIRECT), reason=OWN_PROCESS)
def restore_works_once() -> None:
    seen: set[tuple[Path, str]] = set()

    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        is_first = (store.folder, name) not in seen
        seen.add((store.folder, name))
        return restore(name, resource) if is_first else _current(store)

    restored(change)


@defect("a restored backup is gone", "test_restore.py::test_a_restore_changes_no_backup")
def restore_removes_the_backup() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        revision = restore(name, resource)
        (store.backups / name).unlink()
        return revision

    restored(change)


@defect("backups newer than the restored one are gone", "test_restore.py::test_a_restore_changes_no_backup")
def restore_removes_newer_backups() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        revision = restore(name, resource)
        made = (store.backups / name).stat().st_mtime_ns
        for each in [each for each in store.backups.iterdir() if each.stat().st_mtime_ns > made]:
            each.unlink()
        return revision

    restored(change)


@defect("other systems that have the backup are restored too", "test_restore.py::test_another_system_is_not_restored")
def restore_reaches_other_systems() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        for other in others(store):
            if (other.backups / name).exists():
                right(other, name, resource)
        return restore(name, resource)

    right = Store.restore
    restored(change)


@defect(
    "a backup that was not made on the system is refused",
    "test_restore.py::test_a_backup_of_another_machine_is_restored",
)
def restore_refuses_other_machines() -> None:
    def path(store: Store, content: bytes) -> Path:
        return store.folder / f"made-{hashlib.sha256(content).hexdigest()}"

    def pack(store: Store, resource: str | None, make: Callable[..., bytes]) -> bytes:
        content = make(resource)
        path(store, content).touch()
        return content

    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        if not path(store, store.path(name).read_bytes()).exists():
            raise StoreError("the backup is of another machine")
        return restore(name, resource)

    packed(pack)
    restored(change)


def _loaded(change: Callable[[bytes, Callable[[bytes], Any]], Any]) -> None:
    right = archive.load
    put(archive, "load", lambda packed: change(packed, right))


@defect("bytes behind the end of a backup are not noticed", DAMAGED)
def restore_ignores_what_follows() -> None:
    def change(packed: bytes, load: Callable[[bytes], Any]) -> Any:
        for length in (len(packed), len(packed) - 1, len(packed) // 2):
            with contextlib.suppress(ArchiveError):
                return load(packed[:length])
        return load(packed)

    _loaded(change)


@defect("a damaged backup is restored as nothing", DAMAGED)
def restore_takes_damaged_backups() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        try:
            return restore(name, resource)
        except StoreError as error:
            if "can't be restored" in str(error):
                return _current(store)
            raise

    restored(change)


@defect("a damaged backup is refused after something was changed", DAMAGED)
def restore_refuses_too_late() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        try:
            return restore(name, resource)
        except StoreError:
            with store._connect() as database:
                store._write(database, {"Ruleset": {}})
            raise

    restored(change)


@defect("a resource that is not in the backup is passed over", ABSENT, ONE_INCLUDED)
def restore_ignores_absent_resources() -> None:
    def change(store: Store, name: str, resource: str | None, restore: Callable[..., int]) -> int:
        try:
            return restore(name, resource)
        except StoreError as error:
            if "does not hold" in str(error):
                return _current(store)
            raise

    restored(change)


# Backup.remove

REMOVES = "test_remove.py::test_the_backup_is_gone_and_every_other_one_is_as_it_was"


@defect("nothing is removed", REMOVES)
def remove_does_nothing() -> None:
    removed(lambda store, _name, _remove: _current(store))


@defect("all backups are removed", REMOVES)
def remove_removes_all() -> None:
    removed(lambda store, name, remove: max([remove(each) for each, _size in store.listing()], default=0))


@defect("backups whose names begin with the given one are removed too", REMOVES)
def remove_takes_a_prefix() -> None:
    def change(store: Store, name: str, remove: Callable[[str], int]) -> int:
        return max([remove(each) for each, _size in store.listing() if each.startswith(name)], default=0)

    removed(change)


@defect("backups whose names end with the given one are removed too", REMOVES)
def remove_takes_a_suffix() -> None:
    def change(store: Store, name: str, remove: Callable[[str], int]) -> int:
        return max([remove(each) for each, _size in store.listing() if each.endswith(name)], default=0)

    removed(change)


@defect("the first backup is removed, whichever is named", REMOVES)
def remove_takes_the_first() -> None:
    removed(lambda store, name, remove: remove(store.listing()[0][0]))


@defect("a removed backup leaves an empty one", REMOVES)
def remove_leaves_an_empty_file() -> None:
    def change(store: Store, name: str, remove: Callable[[str], int]) -> int:
        revision = remove(name)
        (store.backups / name).touch()
        return revision

    removed(change)


@defect("a removed backup stays under another name", REMOVES)
def remove_renames() -> None:
    def change(store: Store, name: str, remove: Callable[[str], int]) -> int:
        content = store.path(name).read_bytes()
        revision = remove(name)
        (store.backups / f"{name}.old").write_bytes(content)
        return revision

    removed(change)


@defect(
    "the backup is removed from other systems too",
    "test_remove.py::test_a_backup_of_the_same_name_on_another_system_stays",
)
def remove_reaches_other_systems() -> None:
    def change(store: Store, name: str, remove: Callable[[str], int]) -> int:
        for other in others(store):
            (other.backups / name).unlink(missing_ok=True)
        return remove(name)

    removed(change)


# Backup.download

ANY_SIZE = "test_download.py::test_a_backup_of_any_size_arrives_whole"
EXACT = "test_download.py::test_the_file_holds_exactly_the_backup"
NAMED_FILE = "test_download.py::test_of_several_backups_the_named_one_is_written"
DATA_OF_NOW = "test_download.py::test_the_data_are_those_of_now"


@defect("only the first MiB is downloaded", EXACT)
def download_stops_at_1_mib() -> None:
    downloaded(lambda _store, _name, content: content[: 2**20])


@defect("the last byte is not downloaded", EXACT)
def download_loses_the_last_byte() -> None:
    downloaded(lambda _store, _name, content: content[:-1])


@defect("a download of a multiple of 1 MiB loses its last MiB", ANY_SIZE)
def download_loses_a_whole_piece() -> None:
    downloaded(lambda _store, _name, content: content if len(content) % 2**20 else content[: -(2**20)])


@defect("line ends are translated in downloads", EXACT)
def download_translates_line_ends() -> None:
    downloaded(lambda _store, _name, content: content.replace(b"\r\n", b"\n"))


@defect("one bit is flipped in downloads", EXACT)
def download_flips_a_bit() -> None:
    downloaded(lambda _store, _name, content: content[:-1] + bytes([content[-1] ^ 1]))


@defect("downloads are filled up to 512 bytes", EXACT)
def download_pads() -> None:
    downloaded(lambda _store, _name, content: content + b"\x00" * (-len(content) % 512))


@defect("the first backup is downloaded, whichever is named", NAMED_FILE)
def download_takes_the_first() -> None:
    downloaded(lambda store, _name, _content: (store.backups / store.listing()[0][0]).read_bytes())


@defect(
    "a download gives the first backup that had the name",
    DATA_OF_NOW,
    ways=(*SDK_WAYS, CLIENT_DIRECT),
    reason=OWN_PROCESS,
)
def download_remembers() -> None:
    seen: dict[tuple[Path, str], bytes] = {}
    downloaded(lambda store, name, content: seen.setdefault((store.folder, name), content))


@defect("a downloaded backup is gone", "test_download.py::test_a_download_changes_nothing_on_the_system")
def download_removes_the_backup() -> None:
    def change(store: Store, name: str, content: bytes) -> bytes:
        (store.backups / name).unlink()
        return content

    downloaded(change)


@defect(
    "a download writes over the start of a file that is there",
    "test_download.py::test_a_file_that_is_there_is_replaced_wholly",
    ways=(*SDK_WAYS, CLIENT_DIRECT),
    reason=OWN_FILE,
)
def download_keeps_the_old_end() -> None:
    async def wrong(self: Backup, backup_name: str, *, ofile_obj: Any = None, dest_path: Any = None) -> None:
        old = _content(dest_path)
        await right(self, backup_name, ofile_obj=ofile_obj, dest_path=dest_path)
        if old:
            new = _content(dest_path)
            _write(dest_path, new + old[len(new) :])

    right = Backup.download
    put(Backup, "download", wrong)


# Backup.upload

STORED = "test_upload.py::test_the_system_holds_exactly_the_file"
ANY_BYTES = "test_upload.py::test_any_bytes_arrive_as_they_are"
ANY_NUMBER = "test_upload.py::test_any_number_of_bytes_arrives"
UPLOAD_NAMES = "test_upload.py::test_a_legal_name_is_kept_as_it_is"
UPLOAD_CHANGES_NOTHING = "test_upload.py::test_an_upload_changes_no_configuration_and_no_other_backup"


@defect("only the first MiB is stored", STORED)
def upload_stops_at_1_mib() -> None:
    uploaded(lambda content: content[: 2**20])


@defect("an upload of a multiple of 1 MiB loses its last MiB", ANY_NUMBER)
def upload_loses_a_whole_piece() -> None:
    uploaded(lambda content: content if len(content) % 2**20 or len(content) == 2**20 else content[: -(2**20)])


@defect("the last byte is not stored", STORED)
def upload_loses_the_last_byte() -> None:
    uploaded(lambda content: content[:-1] or content)


@defect("line ends are translated in uploads", ANY_BYTES)
def upload_translates_line_ends() -> None:
    uploaded(lambda content: content.replace(b"\r\n", b"\n"))


@defect("NUL bytes at the end are not stored", ANY_BYTES)
def upload_strips_nul() -> None:
    uploaded(lambda content: content.rstrip(b"\x00") or content)


@defect("one bit is flipped in uploads", STORED)
def upload_flips_a_bit() -> None:
    uploaded(lambda content: bytes([content[0] ^ 1]) + content[1:])


@defect("an upload that is no gzip is refused", ANY_BYTES)
def upload_refuses_other_content() -> None:
    def change(content: bytes) -> bytes:
        if not content.startswith(b"\x1f\x8b"):
            raise exception.PLDBError("the file is no backup")
        return content

    uploaded(change)


@defect("names are stored in lower case", UPLOAD_NAMES)
def upload_lowers_names() -> None:
    uploaded(name=str.lower)


@defect("names get the end .plb where they lack it", UPLOAD_NAMES)
def upload_appends_plb() -> None:
    uploaded(name=lambda name: name if name.endswith(".plb") else f"{name}.plb")


@defect(
    "an upload is restored at once",
    UPLOAD_CHANGES_NOTHING,
    "test_restore.py::test_what_was_downloaded_removed_and_uploaded_again_is_restored",
)
def upload_changes_configuration() -> None:
    uploaded(then=lambda store, name: store.change("Config", lambda data: {**data, "uploaded": name}))


@defect(
    "an upload removes a backup of the same content",
    "test_upload.py::test_the_same_file_can_be_stored_again_under_another_name",
)
def upload_removes_duplicates() -> None:
    def then(store: Store, name: str) -> None:
        content = (store.backups / name).read_bytes()
        for each in list(store.backups.iterdir()):
            if each.name != name and each.read_bytes() == content:
                each.unlink()

    uploaded(then=then)


@defect("an upload is stored on all systems", "test_upload.py::test_a_file_on_one_system_is_not_stored_on_another")
def upload_reaches_other_systems() -> None:
    def then(store: Store, name: str) -> None:
        for other in others(store):
            (other.backups / name).write_bytes((store.backups / name).read_bytes())

    uploaded(then=then)


# Connecting

WRONG_PASSWORD = "test_connecting.py::test_a_wrong_password_is_refused_and_not_told"  # noqa: S105 - a test's name
ANY_PASSWORD = "test_connecting.py::test_a_password_of_any_characters_logs_in"  # noqa: S105 - a test's name
UNKNOWN_USER = "test_connecting.py::test_an_unknown_user_is_refused"
WHICH_SYSTEM = "test_connecting.py::test_the_session_tells_which_system_it_is"


@defect("any password is taken", WRONG_PASSWORD)
def login_takes_any_password() -> None:
    logged_in(lambda store, username, _password, _judge: store.has_user(username))


def _alike(form: Callable[[str], str]) -> None:
    """Accept every password that ``form`` maps to the same text as the user's own."""

    def set_user(self: Store, username: str, password: str | None, levels: Any) -> None:
        right(self, username, password, levels)
        if password is not None:
            (self.folder / f"password-{username}").write_text(password, encoding="utf-8")

    def change(store: Store, username: str, password: str, judge: Callable[[str, str], bool]) -> bool:
        path = store.folder / f"password-{username}"
        if "\x00" in username or not path.exists():
            return judge(username, password)
        return form(path.read_text(encoding="utf-8")) == form(password)

    right = Store.set_user
    put(Store, "set_user", set_user)
    logged_in(change)


@defect("only the first 8 characters of a password count", WRONG_PASSWORD)
def login_takes_8_characters() -> None:
    _alike(lambda password: password[:8])


@defect("only the first 72 characters of a password count", ANY_PASSWORD)
def login_takes_72_characters() -> None:
    _alike(lambda password: password[:72] if len(password) >= 72 else password)


@defect("upper and lower case of a password are alike", WRONG_PASSWORD)
def login_ignores_case() -> None:
    _alike(str.lower)


@defect("blanks at the ends of a password don't count", WRONG_PASSWORD)
def login_strips_passwords() -> None:
    _alike(str.strip)


@defect("passwords outside ASCII are refused", ANY_PASSWORD)
def login_refuses_other_alphabets() -> None:
    logged_in(lambda _store, username, password, judge: password.isascii() and judge(username, password))


@defect("upper and lower case of a user's name are alike", UNKNOWN_USER)
def login_ignores_case_of_users() -> None:
    logged_in(lambda _store, username, password, judge: judge(username.lower(), password))


@defect("blanks at the ends of a user's name don't count", UNKNOWN_USER)
def login_strips_users() -> None:
    logged_in(lambda _store, username, password, judge: judge(username.strip(), password))


@defect("users of other systems are taken", "test_connecting.py::test_the_user_of_another_system_is_refused")
def login_takes_users_of_other_systems() -> None:
    def change(store: Store, username: str, password: str, judge: Callable[[str, str], bool]) -> bool:
        return judge(username, password) or any(right(other, username, password) for other in others(store))

    right = Store.may_log_in
    logged_in(change)


@defect(
    "the password of any user is taken",
    "test_connecting.py::test_a_user_logs_in_with_no_password_but_the_own",
)
def login_takes_passwords_of_other_users() -> None:
    def change(store: Store, username: str, password: str, judge: Callable[[str, str], bool]) -> bool:
        known = [row[0] for row in store._rows("SELECT username FROM users")]
        return username in known and any(judge(each, password) for each in known)

    logged_in(change)


@defect("a refused login is a PLDBError", WRONG_PASSWORD)
def login_raises_another_class() -> None:
    put(connection_file, "PLDBIOError", exception.PLDBError)


@defect(
    "nobody at the address is a PLDBIOError",
    "test_connecting.py::test_a_system_that_is_not_there_refuses_the_connection",
)
def connect_raises_another_class() -> None:
    put(connection_file, "ConnectionRefusedError", exception.PLDBIOError)


@defect("the machine id is in upper case", WHICH_SYSTEM)
def machineid_in_upper_case() -> None:
    put(Connection, "machineid", property(lambda self: "X" + self._fact("machineid")[1:].upper()))


@defect("all systems have one machine id", "test_connecting.py::test_two_systems_have_different_machine_ids")
def machineid_of_all_systems() -> None:
    put(Connection, "machineid", property(lambda _self: "001122334455"))


@defect("the firmware is told without its last part", WHICH_SYSTEM)
def distversion_cut() -> None:
    put(Connection, "distversion", property(lambda self: self._fact("distversion").rpartition(".")[0]))


# Privileges

READ_ONLY = "test_privileges.py::test_a_read_user_is_refused_what_changes_something"
READS = "test_privileges.py::test_a_read_user_lists_and_downloads"
NO_PRIVILEGE = "test_privileges.py::test_a_user_without_privilege_is_refused_everything"
WRITES = "test_privileges.py::test_a_write_user_may_do_everything"


@defect("a read user may create", READ_ONLY)
def read_may_create() -> None:
    unchecked("create_new", Level.READ)


@defect("a read user may restore", READ_ONLY)
def read_may_restore() -> None:
    unchecked("restore", Level.READ)


@defect("a read user may remove", READ_ONLY)
def read_may_remove() -> None:
    unchecked("remove", Level.READ)


@defect("a read user may upload", READ_ONLY)
def read_may_upload() -> None:
    unchecked("upload", Level.READ)


@defect("a user without privilege may list", NO_PRIVILEGE)
def none_may_list() -> None:
    unchecked("list", None)


@defect("a user without privilege may read", NO_PRIVILEGE)
def none_may_read() -> None:
    unchecked("list", None)
    unchecked("download", None)


@defect("a user without privilege may do everything", NO_PRIVILEGE)
def none_may_do_everything() -> None:
    for command in ("list", "download", "create_new", "restore", "remove", "upload"):
        unchecked(command, None)


@defect("a read user may not list", READS)
def read_may_not_list() -> None:
    unchecked("list", Level.WRITE)


@defect("a read user may not download", READS)
def read_may_not_download() -> None:
    unchecked("download", Level.WRITE)


@defect("a write user may not restore", WRITES)
def write_may_not_restore() -> None:
    async def wrong(self: Backup, *positional: Any, **named: Any) -> None:
        if self._username == "user-write":
            raise exception.PLDBError("only an administrator may do this")
        await right(self, *positional, **named)

    right = Backup.restore
    put(Backup, "restore", wrong)


@defect("a refused privilege is a critical error", READ_ONLY)
def privileges_refuse_critically() -> None:
    def wrong(self: Backup, level: Level) -> None:
        if self._store.level(self._username, Resource.BACKUP) < level:
            raise exception.PLDBCriticalError("not allowed")
        right(self, level)

    right = Backup._check
    put(Backup, "_check", wrong)


# PLDBNewDataCommitted

NEXT_IS_STALE = "test_stale.py::test_the_next_command_after_a_commit_of_another_session_is_stale"
FOR_GOOD = "test_stale.py::test_retrying_on_the_same_object_never_helps_and_a_new_resource_does"


@defect("every command is stale once somebody has committed", "test_list.py::test_every_listing_is_a_new_one")
def stale_for_everybody() -> None:
    def wrong(self: Store, _seen: Callable[[], int]) -> bool:
        return self.revision() == 0

    put(Store, "is_current", wrong)


@sdk_defect("no command is ever stale", NEXT_IS_STALE, reason=NEW_RESOURCE)
def stale_never() -> None:
    put(Store, "is_current", lambda _self, _seen: True)
    right = Store.commit
    put(Store, "commit", lambda self, _seen: right(self, self.revision))


@sdk_defect("reads are never stale", NEXT_IS_STALE, reason=NEW_RESOURCE)
def stale_writes_only() -> None:
    put(Store, "is_current", lambda _self, _seen: True)


@sdk_defect("only the first command is stale", FOR_GOOD, reason=NEW_RESOURCE)
def stale_once() -> None:
    def wrong(self: Backup, level: Level) -> None:
        try:
            right(self, level)
        except exception.PLDBNewDataCommitted:
            self._revision, self._is_stale = self._store.revision(), False
            raise

    right = Backup._check
    put(Backup, "_check", wrong)


@sdk_defect(
    "a session's own commits make its resource stale",
    "test_stale.py::test_ones_own_commands_do_not_make_the_resource_stale",
    reason=NEW_RESOURCE,
)
def stale_by_own_commits() -> None:
    def wrong(self: Backup, command: Callable[[], int]) -> None:
        before = self._revision
        right(self, command)
        self._revision = before

    right = Backup._commit
    put(Backup, "_commit", wrong)


@sdk_defect("reading commits", "test_stale.py::test_reading_in_another_session_commits_nothing", reason=NEW_RESOURCE)
def stale_by_reads() -> None:
    async def wrong(self: Backup, cls: type) -> list[BackupFile]:
        rows = await right(self, cls)
        self._revision = self._store._next_revision()
        return rows

    right = Backup.list
    put(Backup, "list", wrong)


@sdk_defect("a stale command is a PLDBError", NEXT_IS_STALE, reason=NEW_RESOURCE)
def stale_raises_another_class() -> None:
    put(backup_file, "PLDBNewDataCommitted", exception.PLDBError)


@sdk_defect(
    "an upload is stored although another session committed meanwhile",
    "test_stale_during.py::test_a_commit_during_an_upload_makes_it_stale_and_nothing_is_stored",
    reason=NEW_RESOURCE,
)
def stale_checked_early() -> None:
    right = Store.commit
    put(Store, "commit", lambda self, _seen: right(self, self.revision))


# Visible only in the Python API


@sdk_defect(
    "a missing backup is removed without an error",
    "test_remove.py::test_a_missing_backup_is_refused",
    reason=LOOKS_FIRST,
)
def remove_ignores_missing_names() -> None:
    def change(store: Store, name: str, remove: Callable[[str], int]) -> int:
        return remove(name) if (store.backups / name).exists() else store.revision()

    removed(change)


@sdk_defect(
    "a second backup of a name replaces the first",
    "test_create_new.py::test_a_taken_name_is_refused_and_the_old_backup_stays",
    reason=LOOKS_FIRST,
)
def create_replaces() -> None:
    put(Store, "require_name", lambda self, name, **_given: self._check_name(name))


@sdk_defect(
    "any class can be listed", "test_list.py::test_a_listing_of_anything_else_is_a_value_error", reason=NO_SUCH_CALL
)
def list_takes_any_class() -> None:
    async def wrong(self: Backup, _cls: type) -> list[BackupFile]:
        return await right(self, BackupFile)

    right = Backup.list
    put(Backup, "list", wrong)


@sdk_defect(
    "a listing is made of tuples",
    "test_list.py::test_a_listing_is_made_of_backup_files",
    reason="the client takes name and size of whatever it gets",
)
def list_gives_something_else() -> None:
    row = type("Row", (tuple,), {"name": property(lambda self: self[0]), "size": property(lambda self: self[1])})

    async def wrong(self: Backup, cls: type) -> Any:
        return [row((each.name, each.size)) for each in await right(self, cls)]

    right = Backup.list
    put(Backup, "list", wrong)


@sdk_defect(
    "an upload begins at the start of its file",
    "test_upload.py::test_the_data_are_read_from_where_the_file_stands",
    reason=PATHS_ONLY,
)
def upload_rewinds() -> None:
    async def wrong(self: Backup, backup_name: str, *, ifile_obj: Any = None, in_path: Any = None) -> None:
        if ifile_obj is not None and hasattr(ifile_obj, "seek") and not isinstance(ifile_obj, type):
            with contextlib.suppress(OSError, ValueError):
                ifile_obj.seek(0)
        await right(self, backup_name, ifile_obj=ifile_obj, in_path=in_path)

    right = Backup.upload
    put(Backup, "upload", wrong)


@sdk_defect("a download closes its file", "test_download.py::test_a_bytesio_gets_the_data", reason=PATHS_ONLY)
def download_closes_its_file() -> None:
    async def wrong(self: Backup, backup_name: str, *, ofile_obj: Any = None, dest_path: Any = None) -> None:
        await right(self, backup_name, ofile_obj=ofile_obj, dest_path=dest_path)
        if ofile_obj is not None:
            ofile_obj.close()

    right = Backup.download
    put(Backup, "download", wrong)


@sdk_defect(
    "an empty file is stored",
    "test_upload.py::test_an_empty_input_is_a_type_error",
    reason="the client refuses an empty file itself, or takes any refusal of it",
)
def upload_takes_empty_files() -> None:
    async def wrong(self: Backup, backup_name: str, *, ifile_obj: Any = None, in_path: Any = None) -> None:
        try:
            await right(self, backup_name, ifile_obj=ifile_obj, in_path=in_path)
        except TypeError as error:
            if "empty" not in str(error):
                raise
            (self._store.backups / backup_name).touch()

    right = Backup.upload
    put(Backup, "upload", wrong)


def _unchecked_argument(fragment: str) -> None:
    """Suppress TypeErrors whose text contains this fragment; such calls do nothing."""

    def silent(right: Callable[..., Any]) -> Callable[..., Any]:
        async def wrong(self: Backup, *positional: Any, **named: Any) -> None:
            try:
                await right(self, *positional, **named)
            except TypeError as error:
                if fragment not in str(error):
                    raise

        return wrong

    put(Backup, "download", silent(Backup.download))
    put(Backup, "upload", silent(Backup.upload))


for _name, _fragment, _test in (
    ("name_unchecked", "backup_name", "test_download.py::test_a_name_that_is_no_str_is_a_type_error"),
    ("path_unchecked", "str or pathlib", "test_upload.py::test_a_path_of_another_type_is_a_type_error"),
    ("neither_unchecked", "One of", "test_upload.py::test_neither_file_nor_path_is_a_type_error"),
    ("both_unchecked", "not both", "test_download.py::test_both_file_and_path_is_a_type_error"),
    ("file_unchecked", "file object", "test_upload.py::test_what_is_no_file_object_is_a_type_error"),
    ("writable_unchecked", "writable", "test_download.py::test_a_file_that_is_not_writable_is_a_type_error"),
    ("readable_unchecked", "readable", "test_upload.py::test_a_file_that_is_not_readable_is_a_type_error"),
    ("text_unchecked", "binary mode", "test_download.py::test_a_file_opened_in_text_mode_is_a_type_error"),
):
    DEFECTS[_name] = Defect(
        f"no TypeError says: {_fragment}",
        lambda fragment=_fragment: _unchecked_argument(fragment),  # type: ignore[misc]
        (_test,),
        SDK_WAYS,
        PATHS_ONLY,
    )


@sdk_defect(
    "facts can be read after close",
    "test_connecting.py::test_after_close_facts_are_value_errors_and_commands_have_no_session",
    reason=NO_SUCH_CALL,
)
def facts_after_close() -> None:
    put(Connection, "_fact", lambda self, key: self._store.fact(key))


@sdk_defect(
    "the end of the block does not close", "test_connecting.py::test_the_end_of_the_block_closes", reason=NO_SUCH_CALL
)
def block_does_not_close() -> None:
    async def leave(*_given: Any) -> None:
        return None

    put(Connection, "__aexit__", leave)
    put(connection_file._ConnectionProxy, "__exit__", lambda *_given: None)


@sdk_defect(
    "the overview lists other systems only",
    "test_connecting.py::test_the_overview_lists_this_system_and_others",
    reason=NO_SUCH_CALL,
)
def overview_lacks_itself() -> None:
    def wrong(self: Any) -> Any:
        return [each for each in right(self) if each.systemid != self._store.fact("machineid")]

    right: Callable[[Any], Any] = connection_file.SystemOverview._listing
    put(connection_file.SystemOverview, "_listing", wrong)


@sdk_defect(
    "configmd5 never changes",
    "test_connecting.py::test_the_md5_of_the_overview_follows_the_configuration",
    reason=NO_SUCH_CALL,
)
def overview_md5_is_constant() -> None:
    put(Store, "config_md5", lambda _self: "0" * 32)
