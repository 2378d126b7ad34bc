"""Sentences as the models get them: one written form, nothing invisible, within the limits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from semerge.errors import UserError

MAX_CHARACTERS = 2_000

# Controls (but no white space), soft hyphen, zero-width and direction marks, fillers that look like
# nothing, annotation anchors. The joiners U+200C and U+200D are looked at one by one below.
_INVISIBLE = dict.fromkeys(
    [
        *(*range(0x09), *range(0x0E, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0)),
        *(0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F)),
        *(*range(0x2060, 0x2070), 0x3164, 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC), 0xE0001),
    ]
)
# Tag characters spell the flags of England, Scotland and Wales, and hide text everywhere else.
_TAGS = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f)|[\U000e0020-\U000e007f]"
)
_JOINERS = "\u200c\u200d"
_EMOJI = re.compile("[\u2190-\u2bff\U0001f000-\U0001faff]")


@dataclass(frozen=True)
class CleanText:
    """One sentence, or a pair; `text_b` is None where there is no second one."""

    text: str
    text_b: str | None = None
    notices: tuple[str, ...] = ()


def clean_text(text: str | None, text_b: str | None = None) -> CleanText:
    """Bring one sentence, or a pair, into one written form (NFC), without invisible characters.

    White space is folded to single spaces. A blank `text_b` counts as none. Length is limited to
    `MAX_CHARACTERS` each. Nothing is escaped: what shows the text has to do that.

    Raises `UserError` for what is no text, empty, too long or not valid Unicode.
    """
    notices: list[str] = []
    first = _clean(text, "sentence", notices)
    if not first:
        raise UserError("Type a sentence.")
    second = _clean(text_b, "second sentence", notices)
    return CleanText(first, second or None, tuple(notices))


def _clean(text: object, what: str, notices: list[str]) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise UserError(f"The {what} must be text, not a value of type {type(text).__name__}.")
    _check_length(len(text), what, 5 * MAX_CHARACTERS)  # bounds the work below
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"The {what} holds characters that are not valid Unicode.")
    visible = _TAGS.sub(lambda match: match[1] or "", text.translate(_INVISIBLE))
    removed = len(visible) < len(text)
    visible = unicodedata.normalize("NFC", visible)
    joined = "".join(c for i, c in enumerate(visible) if c not in _JOINERS or _joins(visible, i))
    removed |= len(joined) < len(visible)
    clean = " ".join(unicodedata.normalize("NFC", joined).split())
    _check_length(len(clean), what, MAX_CHARACTERS)
    if all(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in clean):
        return ""  # marks and joiners with nothing to stand on
    if removed:
        notices.append(f"Invisible characters were removed from the {what}.")
    return clean


def _check_length(length: int, what: str, limit: int) -> None:
    if length > limit:
        shown = f"{length:,} characters; the limit is {MAX_CHARACTERS:,}"
        raise UserError(f"The {what} has {shown}.")


def _joins(text: str, at: int) -> bool:
    """Whether the joiner at `at` shapes its neighbours, as in emoji, Hindi or Persian.

    Follows the contextual rules for joiners of RFC 5892, appendix A, with emoji added.
    """
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if before and unicodedata.combining(before) == 9:  # a virama
        return True
    if text[at] == "\u200d":
        return bool(_EMOJI.match(after) and (_EMOJI.match(before) or before == "\ufe0f"))
    sides = [unicodedata.bidirectional(side) for side in (before, after) if side]
    return len(sides) == 2 and sides[0] in ("AL", "NSM") and sides[1] == "AL"
