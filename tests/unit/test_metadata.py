# Copyright (c) Contributors to the netops.activelogic collection
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that read the artifact's metadata understand it, and its links work where it is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import ansible_collections.netops.activelogic as collection
import pytest
import yaml

ROOT = Path(next(iter(collection.__path__)))
TREE = ROOT.parent.parent.parent
"""The parent of ``ansible_collections``: for a folder below it, ansible-builder finds nothing and succeeds."""

PAGES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.md") if "tests" not in path.relative_to(ROOT).parts)
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)


def requirements(tree: Path) -> dict[str, list[str]]:
    """The packages that ansible-builder would install for the collections below a folder."""
    command = [str(Path(sys.executable).parent / "ansible-builder"), "introspect", str(tree)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    found = yaml.safe_load(done.stdout)
    assert isinstance(found, dict)
    return found


def test_execution_environment_gets_requests() -> None:
    found = requirements(TREE)
    assert [line.partition("#")[0].strip() for line in found["python"]] == ["requests>=2.25"]
    assert found["python"][0].endswith("# from collection netops.activelogic")
    assert found["system"] == []
    assert not requirements(ROOT).get("python"), "it finds the collection only from above"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as repository web pages generate them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_pages() -> None:
    assert {"README.md", "docs/errors.md", "roles/backup_and_fetch/README.md"} <= set(map(str, PAGES))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_what_is_in_the_artifact(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in filter(None, (each for found in LINK.findall(text) for each in found)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _hash, anchor = unquote(link).partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        assert target.resolve().is_relative_to(ROOT.resolve())
        assert not anchor or anchor in anchors(target), f"{page} links to {link}"


def test_every_page_of_the_documentation_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.parts[0] in ("docs", "roles"):
            assert f"]({page})" in text
