"""Sentences as people really hand them in: foreign, decorated, hostile."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semerge.common import UserError
from semerge.inputs import MAX_CHARACTERS, CleanText, clean_text


def refusal(*texts):
    with pytest.raises(UserError) as caught:
        clean_text(*texts)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 200
    return sentence


@pytest.mark.parametrize(
    "text", [None, "", "  \n\t", "\u00a0\u3000", "\u200b\u200d\ufeff", "\u202e", "\u0301", "\ufe0f"]
)
def test_empty(text):
    assert refusal(text) == "Type a sentence."
    assert clean_text("a", text) == CleanText("a", None, ())


@pytest.mark.parametrize("text", ["a", "1", "?!...", "\N{THUMBS UP SIGN}", "\u2764\ufe0f", "世"])
def test_a_single_character_is_enough(text):
    assert clean_text(text) == CleanText(text)


def test_length():
    assert clean_text("x" * MAX_CHARACTERS).text == "x" * 2000
    assert "2,001" in refusal("x" * 2001)
    assert refusal("x" * 100_000) == "The sentence has 100,000 characters; the limit is 2,000."
    assert "2,000,000" in refusal(" " * 2_000_000)
    assert "second sentence has 2,001" in refusal("a", "x" * 2001)
    assert clean_text("x" + " " * 3000 + "y").text == "x y"  # what counts is what remains
    assert clean_text("e\u0301" * 2000).text == "é" * 2000


@pytest.mark.parametrize("text", [1, 1.5, True, [], {}, b"bytes", ["a"], object()])
def test_other_types(text):
    assert "must be text" in refusal(text)
    assert "second sentence must be text" in refusal("a", text)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00"])
def test_lone_surrogates(text):
    assert "not valid Unicode" in refusal(text)


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("he\x00llo\x1b", "hello"),
        ("a\x1f\x7f\x80\x9fb", "ab"),
        ("\ufeffhello", "hello"),
        ("abc\u202edef\u202c", "abcdef"),
        ("\u2066a\u2069 \u200eb\u200f\u061c", "a b"),
        ("pass\u200bword\u2060", "password"),
        ("soft\u00adware", "software"),
        ("a\u200db\u200cc", "abc"),
        ("a\u200de\u0301", "aé"),
        ("e\u200d\u0301", "é"),
        ("hidden\U000e0041\U000e0042\U000e0001", "hidden"),
        ("\u3164a\uffa0", "a"),
        ("\N{ROCKET}\u200d", "\N{ROCKET}"),
        ("\u200d\N{ROCKET}", "\N{ROCKET}"),
    ],
)
def test_invisible_characters_are_removed_with_a_notice(dirty, clean):
    assert clean_text(dirty) == CleanText(
        clean, None, ("Invisible characters were removed from the sentence.",)
    )
    notices = clean_text("fine", dirty).notices
    assert notices == ("Invisible characters were removed from the second sentence.",)


@pytest.mark.parametrize(
    "dirty", ["  a  b ", "a\nb", "a\r\n\tb", "a\u00a0b", "a\u2028b", "\u3000a\u2003b", "a\x85b"]
)
def test_white_space_is_folded_without_a_word(dirty):
    assert clean_text(dirty) == CleanText("a b")


@pytest.mark.parametrize(
    "text",
    [
        "مرحبا بالعالم",
        "שלום עולם",
        "می\u200cخواهم",  # Persian: the non-joiner is spelling
        "नमस्ते दुनिया",
        "क्\u200dष",  # Hindi: half form by a joiner after the virama
        "你好，世界",
        "👩\u200d👩\u200d👧",
        "👩🏽\u200d🔬",
        "🏳️\u200d🌈",
        "❤️\u200d🔥",
        "🙂\u200d↔️",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # flag of England
        "Z̵̢a̶l̷g̸o",
        "<script>alert(1)</script>",
        "[x](javascript:alert(1)) $\\latex$ {{handlebars}} ${js} | a | b |",
        "<a href='x'>b</a> &amp; <b>",
        "=1+1",
        "@SUM(A1)",
        "-2+3",
    ],
)
def test_text_that_must_stay_as_it_is(text):
    assert clean_text(text) == CleanText(unicodedata.normalize("NFC", text))


def test_composed_and_decomposed_are_one():
    text = "Ångström café Việt 한국어"
    forms = {clean_text(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert forms == {CleanText(text)}


def test_pairs():
    assert clean_text(" a ", " b ") == CleanText("a", "b")
    assert refusal("", "b") == "Type a sentence."


@given(st.text(max_size=60))
def test_cleaning_twice_changes_nothing(text):
    try:
        once = clean_text(text)
    except UserError:
        return
    assert clean_text(once.text) == CleanText(once.text)
    assert clean_text(unicodedata.normalize("NFD", text)).text == once.text
    assert not any(unicodedata.category(character) == "Cc" for character in once.text)


def test_braille_without_a_dot_is_nothing():
    assert refusal("\u2800") == refusal("\u2800 \u2800\u0301") == "Type a sentence."
    assert clean_text("a\u2800\u2801").text == "a\u2800\u2801"
