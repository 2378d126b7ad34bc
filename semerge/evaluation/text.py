"""What `evaluate` prints: the figures as a table, and a diagnosis in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from semerge.evaluation.figures import COLUMNS
from semerge.methods import METHODS
from semerge.registry import TASK_ARITHMETIC
from semerge.suites.published import published_lines

Part = Mapping[str, Any]


def lines(content: dict[str, Any]) -> list[str]:
    """The figures as text, in percent; `r.` is the routed head, everything else the given one."""
    names = [*content["tasks"], "average_real", "average_all"]
    wide = max(len(name) for name in names)
    config = content["config"]
    usual = config["method"] == TASK_ARITHMETIC
    method = "" if usual else f"method {METHODS.title(config['method'])}, "
    text = [
        f"{content['suite']}, {content['split']}, {_ran(content)}",
        method + _told(config, "probe layer pool preset static_lambda probe_lambda"),
        _told(config, "similarity normalise temperature mass quantise fallback"),
        " ".join([" " * wide, *(f"{title:>9}" for title in COLUMNS.values()), f"{'n':>6}"]),
    ]
    figures = content["tasks"] | {name: content[name] for name in names[-2:] if content[name]}
    for name, row in figures.items():
        cells = [f"{100 * row[c]:9.2f}" for c in COLUMNS]
        text.append(" ".join([f"{name:{wide}}", *cells, f"{row.get('n', ''):>6}"]))
    for name, share in content["recovery"].items():
        if "recovery_oracle" in share:
            text.append(
                f"{name}: gap {100 * share['gap']:.2f} points, recovered with the given head "
                f"{share['recovery_oracle']:.1%}, routed {share['recovery_routed']:.1%}"
            )
        elif share:
            text.append(f"{name}: experts are no better than the static merge")
    for head in ("oracle", "routed"):
        fixed, broken = content["fixed"][head], content["broken"][head]
        text.append(f"{head} head: SE fixed {fixed} answers of the static merge, broke {broken}")
    if reported := content.get("reported"):
        worst, most = max(map(abs, reported["difference"].values())), reported["largest"]
        text.append(
            f"report.json has these figures too; the largest difference is {worst:.4f} in an "
            f"average and {abs(most['difference']):.4f} in a task ({most['task']}, "
            f"{COLUMNS[most['column']]})"
        )
    for row in content.get("table", ()):
        other = f"{row['method']}: " if row["method"] != TASK_ARITHMETIC else ""
        cells = [f"{row['probe']:8} {row['layer']!s:>5} {row['pool']:6} {row['preset']:8}"]
        for key in ("routing", "se_oracle", "se_routed"):
            cells.append(f"{key} {100 * row['average_all'][key]:6.2f}")
        text.append(other + " ".join(cells))
    if "diagnosis" in content:
        text += diagnosis_lines(content["diagnosis"])
    return [*text, *published_lines(content.get("family"), content["tasks"], _ran(content))]


def _told(settings: Part, names: str) -> str:
    """These of the settings, in words; what is off is left out."""
    values = {name: settings[name] for name in names.split() if settings[name] is not None}
    return ", ".join(
        f"{name.replace('_lambda', ' λ')} {value:g}"
        if isinstance(value, float)
        else f"{name} {value}"
        for name, value in values.items()
    )


def _ran(content: dict[str, Any]) -> str:
    """What was run, so that nobody takes a part for the whole."""
    limit = content["config"]["limit"]
    most = f", at most {limit:,} a task" if limit is not None else ""
    return f"{content['data']}: {samples_of(content)}{most}"


def samples_of(content: dict[str, Any]) -> str:
    """How many samples were run, of how many where it was stopped."""
    of = f" of {content['stopped']['of']:,}" if "stopped" in content else ""
    return f"{content['n']:,}{of} samples"


# ---- a diagnosis in words ------------------------------------------------------------------------


def diagnosis_lines(diagnosis: Part) -> list[str]:
    """The figures of `diagnosis.diagnose` as text, each with its number of samples."""
    return [*_why(diagnosis), *_choice(diagnosis["choice"]), *_abstention(diagnosis["abstention"])]


def _why(diagnosis: Part) -> Iterator[str]:
    size, at = diagnosis["samples"], diagnosis["at"]
    yield (
        f"diagnosis on {size['validation']} validation and {size['test']} test samples, at most "
        f"{size['a_task']} a task, seed {size['seed']}; "
        f"{_told(at, 'probe layer pool preset probe_lambda')}"
    )
    for probe, row in diagnosis["hypothesis"]["best"].items():
        yield f"  {probe:8} right expert nearest at best (test): {interval(row)}, {point(row)}"
    moved = diagnosis["displacement"]
    for name, row in moved["tasks"].items():
        yield (
            f"  {name}: its expert moves it by {row['own']:.4g}, the others by "
            f"{row['others']:.4g} on average"
        )
    yield f"  mean cosine between two experts' displacements: {moved['drift_correlation']:.2f}"
    yield f"  {moved['verdict']}"
    bias = diagnosis["bias"]
    gaps = ", ".join(f"{name} {gap:.3f}" for name, gap in bias["average"].items())
    yield f"  relative distance to the right expert's embedding (n = {bias['n']}): {gaps}"


def _choice(choice: Part) -> Iterator[str]:
    pick, best, test = choice["pick"], choice["best"], choice["test"]
    yield (
        f"automatic choice on {choice['n']} unlabelled validation samples, of "
        f"{choice['candidates']} candidates: {pick['probe']}, {point(pick)}"
    )
    yield (
        f"  routing {pick['routing']:.1%}; the best with labels has {best['routing']:.1%} "
        f"({best['probe']}, {point(best)}): {100 * choice['gap']:.1f} points away"
    )
    yield (
        f"  on {test['n']} test samples: {test['pick']['routing']:.1%} and "
        f"{test['best_of_validation']['routing']:.1%}"
    )


def _abstention(found: Part) -> Iterator[str]:
    score = found["score"]
    made = found["made"][score]
    yield (
        f"notice 'no expert fits' by the score {score}, set for {found['false_alarm']:.0%} false "
        f"alarms on {found['n']} validation samples"
    )
    yield f"  false alarms on test: {interval(made['false_alarm'])}"
    for kind, row in made["kinds"].items():
        yield f"  missed, {kind}: {interval(row)}"
    if found["left_out"]:
        missed = interval(found["left_out"][score]["miss"])
        yield f"  missed, an expert left out and its task fed: {missed}"
    back = found["fallback"]
    for head in ("oracle", "routed"):
        row = back[head]
        yield (
            f"  static coefficients there, {head} head: accuracy {row['se']:.1%} becomes "
            f"{row['with_fallback']:.1%} ({back['fell_back']} of {back['n']} test samples)"
        )
    if without := back.get("left_out"):  # a suite of two experts has none
        row = without["oracle"]
        yield (
            f"  static coefficients there, an expert left out and its task fed, oracle head: "
            f"accuracy {row['se']:.1%} becomes {row['with_fallback']:.1%}, static throughout "
            f"{row['static']:.1%} ({without['fell_back']} of {without['n']} test samples)"
        )


def interval(row: Part) -> str:
    """A share with its 95 % interval and its samples."""
    if not row["n"]:
        return "no samples"
    return f"{row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%}, n = {row['n']})"


def point(row: Part) -> str:
    """Layer, pooling and λ of a candidate, in words."""
    words = f"layer {row['layer']}"
    if row["layer"] != row["pool"]:
        words += f", pool {row['pool']}"
    return words + (f", λ {row['probe_lambda']:g}" if row["probe_lambda"] else "")
