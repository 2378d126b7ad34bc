"""The seven tasks of `mini-text`: titles and what an input looks like."""

from __future__ import annotations

TASKS: dict[str, tuple[str, str]] = {
    "sentiment_mr": ("Film reviews", "a sentence from a film review: praise or blame"),
    "banking77": ("Bank questions", "a question to an online bank, 77 kinds"),
    "clinc_domain": ("Assistant domains", "a request to an assistant; the answer is its field"),
    "snips_intent": ("Voice commands", "a command about music, books, films, food or weather"),
    "clickbait": ("Headlines", "a headline: news or clickbait"),
    "stackoverflow20": ("Programming questions", "the title of a programming question, 20 tags"),
    "language_id": ("Languages", "a sentence in one of 17 languages"),
}
"""Task -> (title, about)."""
