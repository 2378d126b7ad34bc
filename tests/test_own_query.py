"""The address of the page holds nothing that Gradio takes for its own."""

from __future__ import annotations

import re
from urllib.request import urlopen

import pytest

from semerge.ui.safe import RESERVED, without_reserved
from semerge.ui.tabs.inspect_choice import Look

# Gradio's queue asks pandas for what pandas has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")


@pytest.mark.parametrize("query", ["", "page=2&tab=inspect", "page=%00", "deep_link=x", "page=&x"])
def test_the_page_opens_whatever_an_address_names(fake_page: str, query: str) -> None:
    with urlopen(f"{fake_page}?{query}") as answer:
        text = answer.read().decode()
    assert answer.status == 200
    assert re.findall(r'"deep_link_state": ?"(\w+)"', text) == ["none"]
    assert re.findall(r'"current_page": ?"(.*?)"', text) == [""]


def test_what_is_left_of_an_address_is_as_it_was() -> None:
    same = b"tab=language&text=%E2%80%A8+%FF&&x"
    assert without_reserved(same) == same
    query = b"page=1&text=%E2%80%A8+%FFa&page=&table_page=2&deep_link=%00&x="
    assert without_reserved(query) == b"text=%E2%80%A8+%FFa&table_page=2&x="


def test_the_pages_of_a_table_have_a_name_of_their_own() -> None:
    values = Look(page=1).link()
    assert values == {"table_page": 2} and not {*values} & {*RESERVED}
