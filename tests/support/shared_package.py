"""A package that offers a step and a template, as pip lays it out."""

from pathlib import Path

CODE = '''\
"""A shared step; whoever imports this is told."""
from pathlib import Path

import falaj as fj

Path(__file__).with_name("imported").touch()


@fj.step
def clean(rows: list[float], least: float = 0.5) -> list[float]:
    """Drop what is too small.

    Args:
        rows: Numbers.
        least: The smallest that stays.
    """
    return [row for row in rows if row >= least]
'''
POINTS = """\
[falaj.steps]
clean = {module}.tidy:clean
broken = {module}.tidy:nothing

[falaj.templates]
churn-{module} = {module}.churn
gone-{module} = {module}.nowhere
"""


def install(site: Path, name: str, author: str = "Acme") -> Path:
    """Install a package as pip lays it out, and return its folder."""
    module = name.replace("-", "_")
    package = site / module
    (package / "churn").mkdir(parents=True)
    (package / "__init__.py").write_text("from pathlib import Path\nPath(__file__).with_name('imported').touch()\n")
    (package / "tidy.py").write_text(CODE)
    (package / "churn" / "README.md").write_text("# Churn\n\nWho leaves.\n")
    (package / "churn" / "churn.py").write_text("import falaj as fj\n")
    info = site / f"{module}-1.2.dist-info"
    info.mkdir()
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\nSummary: Tidy rows\n"
    (info / "METADATA").write_text(said + (f"Author: {author}\n" if author else ""))
    (info / "entry_points.txt").write_text(POINTS.format(module=module))
    return package
