"""What the documentation names exists, and what exists is documented."""

from __future__ import annotations

import re

from django.core.management import get_commands, load_command_class

from config import env

ROOT = env.REPOSITORY
APPS = {"accounts", "catalog", "usage", "billing", "gateway", "portal"}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_setting_is_documented_and_no_other() -> None:
    read_by_code = {
        name
        for path in (ROOT / "config").glob("*.py")
        for name in re.findall(
            r'env_(?:text|bool|int|secret|origin)\(\s*"([A-Z_]+)"|environ\.get\("([A-Z_]+)"', path.read_text()
        )
        for name in name
        if name
    }
    documented = set(re.findall(r"`([A-Z][A-Z_]+)`", read("docs/settings.md").split("|---|", 1)[1]))
    assert documented - {"NAME_FILE", "WARNING"} == read_by_code - {"JEONGSAN_TEST_SLOT"}


def test_make_targets_in_the_readmes_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", read("Makefile"), re.MULTILINE))
    for readme in ("README.md", "README.ko.md"):
        named = set(re.findall(r"`?make ([a-z]+)", read(readme)))
        assert named <= targets, readme
        assert {"demo", "test"} <= named


def test_commands_in_the_readmes_exist() -> None:
    ours = {name for name, app in get_commands().items() if app in APPS}
    for readme in ("README.md", "README.ko.md"):
        assert set(re.findall(r"manage\.py ([a-z_]+)", read(readme))) <= ours, readme


def test_every_command_says_what_it_and_its_arguments_do() -> None:
    for name, app in get_commands().items():
        if app in APPS:
            command = load_command_class(app, name)
            assert command.help, name
            silent = [one.dest for one in command.create_parser("manage.py", name)._actions if not one.help]
            assert not silent, name


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "README.ko.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", read(page)):
            link = next(part for part in target if part)
            if not link.startswith("http"):
                assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"


def test_the_changelog_names_this_version() -> None:
    version = re.search(r'^version = "(.+)"', read("pyproject.toml"), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in read("CHANGELOG.md")
