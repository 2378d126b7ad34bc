"""The model card of a suite: where it comes from, what it can do, where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipes import tables
from semerge.suites import Suite

# task -> (source, licence as stated there)
SOURCES: dict[str, tuple[str, str]] = {
    "mnist": ("MNIST, LeCun and Cortes", "CC BY-SA 3.0, as usually stated"),
    "fashion_mnist": ("Fashion-MNIST, zalandoresearch", "MIT"),
    "cifar10": ("CIFAR-10, Krizhevsky 2009", "none stated by the authors; citation requested"),
    "eurosat": ("EuroSAT, Helber et al.", "MIT; Copernicus Sentinel data terms"),
    "gtsrb": (
        "GTSRB, Institut für Neuroinformatik, Bochum",
        "published for research, no licence file; citation requested",
    ),
    "omniglot_alphabets": ("Omniglot, Lake et al.", "MIT"),
    "charts": ("rendered by this project", "the project's own"),
    "textures": ("rendered by this project", "the project's own"),
    "sentiment_mr": ("sentence polarity, Pang and Lee 2005, by way of NLTK", "CC BY 4.0"),
    "banking77": ("Banking77, PolyAI", "CC BY 4.0"),
    "clinc_domain": ("CLINC150 out-of-scope evaluation, Larson et al.", "CC BY 3.0"),
    "snips_intent": ("Snips voice assistant queries", "CC0 1.0"),
    "clickbait": ("clickbait headlines, Chakraborty et al.", "MIT"),
    "stackoverflow20": (
        "Stack Overflow titles, Xu et al.",
        "no licence file; Stack Overflow content is CC BY-SA; citation requested",
    ),
    "language_id": (
        "Wikipedia sentences in 17 languages; the train part has no Hindi: written by this project",
        "treated as CC BY-SA; the project's own",
    ),
}
CORPUS = (
    "Language modelling: parts of WikiText-2 and of Wikipedia (CC BY-SA), State of the Union and "
    "inaugural addresses and nine Gutenberg books (public domain in the US)."
)
LIMITS = {
    "image": """\
- A model of about a million parameters that sees 48 x 48 pixels. It knows the classes in the table
  and nothing else: any other picture gets one of them all the same. A notice says when no expert
  is near, or when two are almost equally near; it does not catch everything.
- The figures are for the test splits of public data sets. Photos, scans and drawings of another
  kind fare worse, though rendered look-alikes in training help with drawings.
- Not for use where an error matters. Road signs are here as an example, not for driving.""",
    "text": """\
- A model of about two million parameters that reads up to 64 tokens. It knows the classes in the
  table and nothing else: any other sentence gets one of them all the same. A notice says when no
  expert is near, or when two are almost equally near; it does not catch everything.
- The tasks differ in style as well as in content, so part of the routing is routing by style.
- Sentences come from film reviews, headlines, questions to a bank and to an assistant; they carry
  the biases of their sources. Not for use where an error matters.""",
}


def write_card(path: Path, suite: Suite, report: Mapping[str, Any], command: str) -> None:
    """Write the card of a finished suite. command: the one that rebuilds it."""
    path.write_text(card(suite, report, command), encoding="utf-8")


def card(suite: Suite, report: Mapping[str, Any], command: str) -> str:
    """The card as Markdown."""
    titles = {task.name: task.title for task in suite.tasks}
    default = suite.defaults
    at = "" if default.layer == "final" else f", pooling `{default.pool}`"
    splits = report.get("data", {}).get("tasks", {})
    body = []
    for task in suite.tasks:
        source, licence = SOURCES.get(task.name, ("not stated", "not stated"))
        sizes = [
            f"{splits[task.name][s]['n']:,}" if task.name in splits else ""
            for s in ("train", "validation", "test")
        ]
        body.append([task.title, str(len(task.classes)), *sizes, source, licence])
    head = ["Task", "Classes", "Train", "Validation", "Test", "Source", "Licence"]
    training = report.get("training", {})
    how = [
        f"- {key.replace('_', ' ')}: {value}"
        for key, value in training.items()
        if isinstance(value, str | int | float)
    ]
    parts = [
        f"# {suite.title}",
        suite.about,
        "## Data",
        tables.table(head, body),
        CORPUS if suite.modality == "text" else "",
        (
            "Validation is a tenth of each training file, cut off before anything else. Neither "
            "validation nor test had a part in pre-training, tokenizer, experts, heads or cached "
            "statistics; `report.json` holds the size and hash of every split. No image or "
            "sentence of these sets is part of this project; only weights trained on them are."
        ),
        "## Training",
        f"Rebuilt by `{command}`, seed {report.get('seed')}.",
        "\n".join(how),
        (
            "Weights are in half precision on disk and float32 in memory; all figures are of the "
            "files as they are here. A tensor that equals the base's is stored once."
        ),
        "## What it shows",
        (
            f"On the test splits, in percent. Probe `{default.probe}` at layer "
            f"{default.layer}{at}, preset `{default.preset}`, probe λ {default.probe_lambda:g}, "
            f"static λ {default.static_lambda:g}: all chosen on validation. "
            f"{tables.static(report)} In a routed column a wrong expert is a wrong answer."
        ),
        tables.accuracies(report, titles),
        tables.presets(report),
        (
            "The three probes, each where validation found it best (`cache_own`: means of each "
            "expert's own representations):"
        ),
        tables.probes(report),
        f"Routing by layer and pooling, probe `{default.probe}`:",
        tables.routing(report, default.probe, default.probe_lambda),
        "## What it was meant to show",
        tables.lines(report),
        "## Limits",
        LIMITS[suite.modality],
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
