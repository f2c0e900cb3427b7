"""The pages of the manual that nobody writes by hand: from the registry of methods, the committed results and the public names."""

from pathlib import Path

from pages import findings, methods, reference, results

Pages = dict[str, str]
"""The text of each page, or picture, by its path in the folder of generated pages."""


def all_pages() -> Pages:
    """Every generated page."""
    return methods.pages() | results.pages() | findings.pages() | reference.pages()


def write_all(folder: Path) -> None:
    """Write them; files that stayed the same are not touched, and what no page is any more is removed."""
    wanted = {folder / name: text for name, text in all_pages().items()}
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
