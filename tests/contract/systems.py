# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system of one test, seen through the API and from behind."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract import standins
from tests.contract.ways import REFUSED, SDK_SYNC, STALE, CommandError, SdkSession

NEIGHBOUR = "-other"
"""Suffix of the name of a second system for the same test."""


@dataclass
class System:
    """The system of one test: its login, and the stand-in's view of it."""

    standin: standins.Standin
    name: str
    username: str
    password: str

    def add_user(self, privilege: str) -> tuple[str, str]:
        """Add a user with a privilege; returns its name and password."""
        username, password = f"user-{privilege}", secrets.token_urlsafe(15)
        self.standin.add_user(self.name, username, password, privilege)
        return username, password

    def configuration(self) -> dict[str, Any]:
        return self.standin.configuration(self.name)

    def change(self, resource: str, value: str) -> None:
        self.standin.change(self.name, resource, value)

    def backups(self) -> dict[str, bytes]:
        return self.standin.backups(self.name)

    def neighbour(self) -> System:
        """Another new system, with another password."""
        made = System(self.standin, self.name + NEIGHBOUR, self.username, secrets.token_urlsafe(15))
        made.standin.make(made.name, made.username, made.password)
        return made

    def restores(self) -> int:
        return self.standin.restores(self.name)

    def digest(self) -> str:
        return self.standin.digest(self.name)

    def machineid(self) -> str:
        return self.standin.machineid(self.name)

    def distversion(self) -> str | None:
        """The firmware, if the stand-in provides it."""
        tell = getattr(self.standin, "distversion", None)
        return None if tell is None else str(tell(self.name))

    def answers(self, answer: str, session: Any = None) -> bool:
        """Whether the stand-in declares this behavior, or the session guarantees it whatever the stand-in does."""
        return answer in self.standin.answers or (session is not None and answer in session.answers)

    def quirks(self, **quirks: Any) -> None:
        """Replace the system's quirks by these; skips the test if the stand-in has none."""
        self.needs(standins.QUIRKS)
        self.standin.set_quirks(self.name, quirks)

    def needs(self, answer: str, session: Any = None) -> None:
        """Skip the test unless this behavior is declared (see :meth:`answers`)."""
        if not self.answers(answer, session):
            pytest.skip(f"this stand-in does not say: {answer}")

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Require that the block changes nothing on the system."""
        before = self.digest()
        yield
        assert self.digest() == before

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        """Require that the command in the block is refused and changes nothing."""
        with self.unchanged(), pytest.raises(CommandError) as caught:
            yield
        assert caught.value.word != STALE
        if self.answers(standins.PLAIN_ERRORS):
            assert caught.value.word == REFUSED

    def not_restored(self, session: Any, name: str, resource: str | int) -> None:
        """Require that a resource that the backup does not contain is not restored, and no other either."""
        if self.answers(standins.REFUSES_ABSENT_RESOURCES):
            with self.refused():
                session.restore(name, resource)
            return
        before = self.configuration()
        with contextlib.suppress(CommandError):
            session.restore(name, resource)
        assert self.configuration() == before

    def says(self, text: str, *fragments: str) -> bool:
        """Whether a TypeError's text contains these; always true if the stand-in's texts need not name the cause."""
        return not self.answers(standins.TELLS_CAUSES) or all(each in text for each in fragments)

    def connect(self, way: str = SDK_SYNC) -> SdkSession:
        """A separate session of the user with full privileges, which the test must close."""
        keeps = self.answers(standins.KEEPS_SESSIONS)
        return SdkSession(self.standin.module, way, self.name, self.username, self.password, keeps)
