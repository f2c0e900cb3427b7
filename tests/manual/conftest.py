"""Where the manual lies, and its generated pages."""

import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))  # conf.py does the same: the package `pages` writes what nobody writes by hand
