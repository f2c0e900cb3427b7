"""The manual: Sphinx reads this file. Pages about methods, results and rooms are written from the code and the records first."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pages import write_all

import spikequant

project = "spikequant"
author = "the spikequant authors"
release = version = spikequant.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "methods/*", "decisions/README.md", "decisions/template.md"]
html_theme = "furo"
html_title = f"spikequant {release}"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#00588a", "color-brand-content": "#00588a"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
html_static_path = ["static"]
html_css_files = ["manual.css"]
html_copy_source = html_show_sourcelink = False
highlight_language = "none"
pygments_dark_style = "github-dark"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": False, "exclude-members": "model_config, __init__, __new__"}
napoleon_use_ivar = True
myst_heading_anchors = 3
nitpicky = False

write_all(Path(__file__).parent / "generated")
