"""The documents as a site: python tools/site.py

Takes README.md and whatever it leads to by links, as git knows it, into .site/pages, and has zensical build .site/html
from that, every warning an error. A link to nothing fails here, one to a heading that is none there; so does a page of
docs/ that no link leads to, or that the site's menu lacks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path, PurePosixPath
from posixpath import normpath

__all__ = ["complaints", "linked"]

ROOT = Path(__file__).parents[1]
FIRST = "README.md"
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def main() -> None:
    known = set(_git("ls-files", "--cached", "--others", "--exclude-standard").splitlines())
    pages, wrong = linked(ROOT, known)
    wrong += complaints(ROOT, known, pages)
    if wrong:
        sys.exit("\n".join(wrong))
    staged = ROOT / ".site" / "pages"
    shutil.rmtree(staged.parent, ignore_errors=True)
    for page in pages:
        (staged / page).parent.mkdir(parents=True, exist_ok=True)
        if page.endswith(".md"):
            (staged / page).write_text(with_files((ROOT / page).read_text(), page, known))
        else:
            shutil.copyfile(ROOT / page, staged / page)
    build = [Path(sysconfig.get_path("scripts")) / "zensical", "build", "--clean", "--strict"]
    ran = subprocess.run(
        build,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode:
        sys.exit(ran.stdout)
    print(f"{len(pages)} files: {staged.parent / 'html' / 'index.html'}")


def linked(root: Path, known: set[str]) -> tuple[list[str], list[str]]:
    """Every file that the first page leads to, and sentences about links that lead to none."""
    found, wrong = [FIRST], list[str]()
    for page in found:  # grows
        if not page.endswith(".md"):
            continue
        for target in LINK.findall(FENCE.sub("", (root / page).read_text())):
            if "://" in target:
                continue
            path = file_of(page, target, known)
            if path not in known:
                wrong.append(f"{page}: {target} is no file that git knows of")
            elif path not in found:
                found.append(path)
    return sorted(found), wrong


def file_of(page: str, target: str, known: set[str]) -> str:
    """What a link of the page leads to: in a folder it is the README, as where checkouts are looked at."""
    path = normpath(str(PurePosixPath(page).parent / target))
    return readme if path not in known and (readme := f"{path}/{FIRST}") in known else path


def with_files(text: str, page: str, known: set[str]) -> str:
    """The page's text, in which links to folders name the file."""

    def named(link: re.Match[str]) -> str:
        folder = file_of(page, link[1], known) != normpath(str(PurePosixPath(page).parent / link[1]))
        return link[0].replace(link[1], f"{link[1].rstrip('/')}/{FIRST}", 1) if folder else link[0]

    return LINK.sub(named, text)


def complaints(root: Path, known: set[str], pages: list[str]) -> list[str]:
    """What of docs/ no link reaches, and which of its pages the menu lacks."""
    menu = set(
        re.findall(
            r'"([^"]+\.md)"', str(tomllib.loads((root / "zensical.toml").read_text())).replace("'", '"')
        )
    )
    docs = {name for name in known if re.fullmatch(r"docs/.*\.md", name)}
    return [
        *(f"{page}: no link leads to it" for page in sorted(docs - set(pages))),
        *(f"{page}: not in the menu (zensical.toml)" for page in sorted(docs - menu) if page.count("/") == 1),
        *(f"{page}: in the menu, and no page" for page in sorted(menu - set(pages))),
    ]


def _git(*arguments: str) -> str:
    command = [shutil.which("git") or "git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
