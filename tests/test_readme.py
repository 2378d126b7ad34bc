"""The README's figures are those of the suites' reports."""

from pathlib import Path

import pytest

from semerge.evaluation import readme
from semerge.suites import available_suites

README = Path(__file__).parents[1] / "README.md"


def test_figures_are_the_reports() -> None:
    if not available_suites():
        pytest.skip("no bundled suite is here")
    text = README.read_text(encoding="utf-8")
    between = text.split(readme.BEGIN)[1].split(readme.END)[0]
    assert between.strip() == readme.results().strip()


def test_write_keeps_what_is_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "results", lambda: "## New\n\nfigures")
    page = tmp_path / "README.md"
    page.write_text(f"above\n{readme.BEGIN}old\n{readme.END}\nbelow\n", encoding="utf-8")
    readme.write(page)
    readme.write(page)
    assert page.read_text(encoding="utf-8") == (
        f"above\n{readme.BEGIN}\n## New\n\nfigures\n{readme.END}\nbelow\n"
    )
