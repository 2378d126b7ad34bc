"""What `evaluate` prints, from assets/templates: figures, the table, a diagnosis in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from semerge.common import listed, measured, rendered, samples
from semerge.evaluation.field.costs import TIMED
from semerge.evaluation.figures import HEADINGS
from semerge.methods import METHODS
from semerge.registry import TASK_ARITHMETIC
from semerge.suites.published import published_lines

Part = Mapping[str, Any]


def lines(content: dict[str, Any], titles: Mapping[str, str]) -> list[str]:
    """The object of `evaluate --json` as text. titles: of the suite's tasks, by name."""
    tasks, config, ran = content["tasks"], content["config"], _ran(content)
    averages = {name: content[name] for name in ("average_real", "average_all")}
    text = rendered(
        "evaluation.txt",
        {"reported": None} | content,
        ran=ran,
        usual_method=TASK_ARITHMETIC,
        method=METHODS.title(config["method"]),
        settings=_told(config, "probe layer pool preset static_lambda probe_lambda"),
        rescaling=_told(config, "similarity normalise temperature mass quantise fallback"),
        columns=HEADINGS,
        titles=titles,
        wide=max(len(titles.get(name, name)) for name in tasks | averages),
        figures=tasks | {name: row for name, row in averages.items() if row},
    )
    diagnosis = diagnosis_lines(content["diagnosis"], titles) if "diagnosis" in content else []
    field = field_lines(content) if "table" in content else []
    return [*text, *field, *diagnosis, *published_lines(content.get("family"), tasks, ran)]


# ---- the table of methods, probes and presets ----------------------------------------------------

NOTHING = "–"
LEFT = ("method", "probe", "pool", "preset", "data", "note")
"""Columns of words."""
AXES = ("layer", "pool")
"""Told where the rows differ in it."""


def field_lines(content: Part) -> list[str]:
    """The table, what of it could not be had, and what its columns are."""
    table: Sequence[Part] = content["table"]
    rows = [row for row in table if "reason" not in row]
    told = [name for name in AXES if len({row[name] for row in rows} - {None}) > 1]
    cells = [_cells(row, told) for row in rows]
    against = Counter(row["against"]["row"] for row in rows if row["against"])
    rivals = [table[i] for i, _ in against.most_common()]
    return rendered(
        "field.txt",
        content,
        rows=aligned(cells, LEFT),
        left_out=_left_out(table),
        timed=TIMED,
        stored=any(row["merge"] and row["merge"]["stored"] for row in rows),
        rivals=[listed(_settings(row, told).values()) for row in rivals],
    )


def _settings(row: Part, told: Sequence[str]) -> dict[str, str]:
    """What a row is of, by column."""
    return {name: str(row[name] or NOTHING) for name in ("method", "probe", *told, "preset")}


def _cells(row: Part, told: Sequence[str]) -> dict[str, str]:
    """One row of the table in words, by column. told: the axes among the settings."""
    shares, merge, against = row["average_all"], row["merge"], row["against"]

    def points(value: float | None, sign: str = "") -> str:
        # + 0.0, as what rounds to -0 is no loss
        return NOTHING if value is None else f"{round(100 * value, 2) + 0.0:{sign}.2f}"

    found = _settings(row, told)
    for name in ("static_oracle", "se_oracle", "se_routed", "routing"):
        found[HEADINGS[name]] = points(shares.get(name))
    found |= {
        "passes": f"{row['passes']:.1f}",
        "ms": measured(row["ms"]),
        "merge s": measured(merge["seconds"]) + "*" * merge["stored"] if merge else NOTHING,
        "MB": measured(row["bytes"] / 1e6),
        "data": listed(row["data"]) or "none",
    }
    found |= dict.fromkeys(("gain", "interval", "p"), NOTHING)
    if against:
        p = against["p"]
        found |= {
            "gain": points(against["difference"], "+"),
            "interval": f"{points(against['low'], '+')} to {points(against['high'], '+')}",
            "p": f"{p:.3f}" if p >= 1e-3 else f"{p:.0e}",
        }
    return found | {"note": row["note"]}


def _left_out(table: Sequence[Part]) -> list[str]:
    """The rows that could not be had, those with the same reason in one line."""
    alike: dict[tuple[str | None, str], list[str]] = {}
    for row in table:
        if "reason" in row:
            alike.setdefault((row["probe"], row["reason"]), []).append(row["method"])
    had = {row["method"] for row in table if "reason" not in row and row["merge"]}

    def what(probe: str | None, methods: Sequence[str]) -> str:
        if probe is None:
            return listed(methods)
        return probe if had <= set(methods) else f"{probe} with {listed(methods)}"

    return [f"{what(probe, methods)}: {reason}" for (probe, reason), methods in alike.items()]


def aligned(rows: Sequence[Mapping[str, str]], left: Sequence[str] = ()) -> list[str]:
    """A table as lines, under its headings; all rows have the same columns. left: those of words,
    which begin below each other, as numbers end."""
    columns = list(rows[0]) if rows else []
    wide = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}

    def line(row: Mapping[str, str]) -> str:
        cells = (
            row[name].ljust(wide[name]) if name in left else row[name].rjust(wide[name])
            for name in columns
        )
        return "  ".join(cells).rstrip()

    return [line(row) for row in ({name: name for name in columns}, *rows)] if rows else []


# ---- other parts ---------------------------------------------------------------------------------


def diagnosis_lines(diagnosis: Part, titles: Mapping[str, str]) -> list[str]:
    """What `diagnosis.diagnose` gave as text, each figure with its number of samples. titles: of
    the suite's tasks, by name."""
    settings = _told(diagnosis["at"], "probe layer pool preset probe_lambda")
    return rendered("diagnosis.txt", diagnosis, settings=settings, titles=titles)


def _told(settings: Part, names: str) -> str:
    """These of the settings, in words; what is off is left out."""
    values = [(name.replace("_lambda", " λ"), settings[name]) for name in names.split()]
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values
        if value is not None
    )


def _ran(content: dict[str, Any]) -> str:
    """What was run, so that nobody takes a part for the whole."""
    limit = content["config"]["limit"]
    most = f", at most {limit:,} a task" if limit is not None else ""
    return f"{content['data']}: {samples_of(content)}{most}"


def samples_of(content: dict[str, Any]) -> str:
    """How many samples were run, of how many where it was stopped."""
    if "stopped" in content:
        return f"{content['n']:,} of {samples(content['stopped']['of'])}"
    return samples(content["n"])
