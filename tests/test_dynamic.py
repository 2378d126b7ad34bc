"""Dynamic methods of others: their formulas by hand, and their rows in the table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from matrix_models import agree, random
from merging import effective, of_tensors, vectors_of
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, softmax

from semerge.common import UserError
from semerge.data.batches import batches
from semerge.data.labelled import read_set
from semerge.data.samples import source
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.dynamic import DYNAMICS
from semerge.evaluation.dynamic.centroid import to_means
from semerge.evaluation.dynamic.emr import unified
from semerge.evaluation.dynamic.entropy import unsureness
from semerge.evaluation.dynamic.knn import votes
from semerge.evaluation.dynamic.mergelock import Attention, invertible, locked, turned_back
from semerge.evaluation.dynamic.rmm import rebuilt
from semerge.evaluation.dynamic.sim import residuals as outside
from semerge.evaluation.dynamic.sim import span
from semerge.evaluation.dynamic.smile import Experts, bias_changes
from semerge.evaluation.dynamic.subspace import read, residuals
from semerge.evaluation.dynamic.t_switch import binary
from semerge.evaluation.dynamic.tall import localised
from semerge.evaluation.dynamic.twin import exclusive, leading, trained
from semerge.evaluation.evaluate import Request, evaluate
from semerge.evaluation.field.rivals import Rival
from semerge.routing import route
from semerge.settings import Settings
from semerge.task_vectors import TaskVectors

E1, E2 = torch.eye(3)[:, :1], torch.eye(3)[:, 1:2]


# ---- by hand -------------------------------------------------------------------------------------


def test_nearest_centroid_by_hand() -> None:
    means = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    agree(to_means(torch.tensor([[3.0, 0.0]]), means), [[3, 4]])


def test_votes_by_hand() -> None:
    """Of the three nearest to 0 two are task 1's."""
    rows = torch.tensor([[0.1], [-0.2], [0.3], [5.0], [6.0]]).double()
    tasks = torch.tensor([1, 1, 0, 0, 2])
    agree(votes(torch.tensor([[0.0]]), rows, tasks, 3, k=3), [[2 / 3, 1 / 3, 1]])


def test_sim_by_hand() -> None:
    z1 = torch.tensor([[2, 0, 0.1], [1, 0.1, 0], [3, -0.1, 0]])
    z2 = torch.tensor([[0, 1, 1], [0, 2, 1.9], [0.1, 1, 1.1]])
    bases = [span(rows, energy=0.0, most=1) for rows in (z1, z2)]
    z = torch.tensor([[1, 0.2, 0.1], [0.2, 1, 0.9], [1, 1, 1]])
    expected = [[0.19166, 0.973592], [0.984701, 0.138218], [0.800372, 0.558969]]
    agree(outside(z, bases), torch.tensor(expected), 2e-6)


def test_sim_holds_a_share_of_the_energy() -> None:
    rows = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0])).double()
    assert span(rows, energy=0.75).shape == (4, 3)  # unit vectors, a quarter each
    assert span(rows).shape == (4, 4) and span(rows, most=2).shape == (4, 2)
    v = span(random(9, 5))
    agree(v.mT @ v, torch.eye(v.shape[1]))


def coefficients(distances: list[float], static_lambda: float, **settings: Any) -> Tensor:
    resolved = Settings(**settings)
    from labelled import plane_engine

    engine = plane_engine(static_lambda=static_lambda)
    return route(torch.tensor([distances]), resolved.resolve(engine.suite)).coefficients[0]


def test_dawin_by_hand() -> None:
    """T λ softmax(−H) of three experts, and of an entropy."""
    found = coefficients([0.2, 1.5, 1.0], 0.3, **DYNAMICS["entropy"].published)
    agree(found, torch.tensor([0.52269, 0.14245, 0.23486]), 1e-5)
    agree(unsureness(torch.tensor([[2.0, 0.0, 0.0]])), [0.665573 / math.log(3)])
    agree(unsureness(torch.zeros(1, 5)), [1.0])


def test_mass_by_hand() -> None:
    bases = [E1.double(), E2.double(), torch.tensor([[0.0], [0.6], [0.8]]).double()]
    r = residuals(torch.tensor([[1.0, 2.0, 2.0]]), bases)
    agree(r, torch.tensor([[2.828427, 2.236068, 1.077033]]))
    found = coefficients(r[0].tolist(), 1 / 3, **DYNAMICS["subspace"].published)
    agree(found, torch.tensor([0.099144, 0.192773, 0.708083]), 2e-6)


def test_what_a_task_vector_reads() -> None:
    tau = torch.diag(torch.tensor([1.0, 3.0, 2.0]))
    agree(read(tau, 1).abs(), E2)
    found = read(random(7, 5), 2)
    _, _, vh = torch.linalg.svd(random(7, 5))
    agree(found @ found.mT, vh[:2].mT @ vh[:2])


def test_tall_models_by_hand() -> None:
    taus = torch.tensor([[0.5, -0.1, 0.2], [0.1, 0.3, 0.2], [-0.4, 0.0, 0.2]])
    total = torch.tensor([0.2, 0.2, 0.6])
    # at 1 the second task's first number is a tie: .1 against .2 − .1
    for strictness, masks in ((0.999, ("100", "110", "000")), (0.4, ("101", "111", "101"))):
        found = effective(localised(vectors_of(taus), strictness))
        expected = torch.tensor([[int(x) for x in mask] for mask in masks]) * total
        agree(found, expected)


def test_a_switch_by_hand() -> None:
    """Two of three and one of two are dropped; of one number alone nothing is."""
    taus = torch.tensor([[0.9, 0.1, -0.3, -0.05, 0.5], [2.0, 0.0, 0.0, 0.0, 0.0]])
    one = torch.ones(2, 1)
    made = binary(of_tensors({"e": one}, {"w": taus}, {"z": one}), 0.5).segments[1]
    rows = (made.weights[1:] - made.weights[0]).double()
    agree(rows, [[0.67082, 0, -0.67082, 0, 0], [2, 0, 0, 0, 0]], 2e-6)


def test_auto_switch_adds_the_switches_by_the_votes(home: Path, ready: Engine) -> None:
    """Each sample merged alone, by what `knn` says of it."""
    batch = some(home, ready)[:3]
    found, chosen = run(ready, "auto_switch", batch)
    shares = 1 - run(ready, "knn", batch)
    agree(shares.sum(1), torch.ones(3))
    assert torch.equal(chosen, shares.argmax(1))
    switches = binary(ready.models.vectors)
    with torch.inference_mode():
        for i in range(3):
            params = switches.merge(shares[i])
            z = ready.models.embedding(lambda s, p=params: p, batch[i : i + 1])  # type: ignore[misc]
            agree(found[i], z[0].double(), 1e-4)


def test_emr_by_hand() -> None:
    """Of one tensor; then of two, where each counts once whatever its size."""
    taus = torch.tensor([[0.4, -0.2, 0.3], [0.1, 0.5, -0.6]])
    agree(effective(unified(of_tensors({"w": taus}))), [[0.9, 0, 0], [0.32, 0.4, -0.48]])
    found = effective(unified(of_tensors({"w": taus}, {"b": torch.tensor([[1.0], [2.0]])})))
    own, left = torch.tensor([0.3 + 1, 0.4 + 2]), torch.tensor([0.4 / 3 + 2, 1.5 / 3 + 2])
    factors = (own / left)[:, None]
    agree(found[:, -1:], factors * 2)
    agree(found[:, :3], factors * torch.tensor([[0.4, 0, 0], [0.4, 0.5, -0.6]]))


def test_emr_of_equal_experts_is_the_expert() -> None:
    taus = torch.tensor([[0.4, -0.2, 0.0]]).expand(3, 3)
    agree(effective(unified(of_tensors({"w": taus}))), taus)


def test_twin_by_hand() -> None:
    taus = torch.tensor([[[2.0, 0.0], [0.0, 0.5]], [[0.0, 1.0], [1.0, 0.0]]])
    first = {"e": torch.zeros(2, 1)}
    vectors = of_tensors(
        first, {"w": taus, "b": torch.tensor([[1.0], [0.0]])}, {"end": torch.zeros(2, 1)}
    )
    made = exclusive(vectors, 0.3)
    shared = torch.tensor([[0.6, 0.3], [0.3, 0.15]])
    agree(made.base()["w"], shared)
    own = torch.tensor(
        [
            [[1.382191, -0.367061], [-0.367061, 0.097478]],
            [[-0.725013, 0.528505], [0.528505, -0.385259]],
        ]
    )
    for t in range(2):
        agree(made.expert(t)["w"] - shared, own[t], 1e-6)
        agree(leading(taus[t] - shared, 1), own[t], 1e-6)
    agree(made.expert(0)["b"], [1.0])  # a vector is not cut
    weights = softmax(torch.tensor([2.0, 0.0]), 0)
    agree(weights, torch.tensor([0.880797, 0.119203]))
    found = made.merge(weights)["w"]
    agree(found, torch.tensor([[1.731006, 0.039693], [0.039693, 0.189935]]), 1e-6)


def test_the_router_of_twin_tells_tasks_apart_and_is_the_same_again() -> None:
    rows = [random(60, 4, seed=t).float() + 4 * torch.eye(4)[t] for t in range(3)]
    before = torch.random.get_rng_state()
    router, again = trained(rows, epochs=200), trained(rows, epochs=200)
    assert torch.equal(before, torch.random.get_rng_state())
    unseen = torch.cat([random(40, 4, seed=9 + t).float() + 4 * torch.eye(4)[t] for t in range(3)])
    found = router(unseen)
    assert torch.equal(found, again(unseen)) and not found.requires_grad
    right = found.argmax(1) == torch.arange(3).repeat_interleave(40)
    assert right.float().mean() > 0.9
    agree(router(unseen[:1]), found[:1].double())  # whatever else its batch holds


def test_smile_by_hand() -> None:
    stack = torch.stack(
        [torch.diag(torch.tensor([2.0, 0.0])), torch.diag(torch.tensor([0.0, 0.5]))]
    )
    experts = Experts.of(stack, rank=1)
    x = torch.tensor([[1.0, 2.0]])
    gate = experts.gate(x)
    agree(gate, [[1, 2]])
    agree(softmax(gate, -1), torch.tensor([[0.268941, 0.731059]]))
    agree(x + experts.add(x), [[1, 3]])
    with_bias = Experts.of(stack, torch.tensor([[5.0, 5.0], [0.0, 7.0]]), rank=1)
    agree(x + with_bias.add(x), [[1, 10]])
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 1.0]]])  # each takes its own expert
    agree(experts.add(tokens), [[[0, 1], [6, 0]]])


# ---- on a suite ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ready(home: Path) -> Engine:
    """An engine with samples."""
    suite = load_engine(home / "suite").suite
    return load_engine(suite, source=source(suite, home / "data"))


def some(home: Path, engine: Engine) -> Any:
    ((_, batch),) = batches(engine.backbone, read_set(home / "data", "task1", "test"))
    return engine.models.place(batch)


ROUTERS = [entry.name for entry in DYNAMICS if not entry.model]
MODELS = [entry.name for entry in DYNAMICS if entry.model]


@torch.inference_mode()
def run(engine: Engine, name: str, batch: Any, own: int = 1) -> Any:
    made = DYNAMICS[name].function(engine, "task_arithmetic")
    return made.run(batch, own) if DYNAMICS[name].model else made.run(batch)


@pytest.mark.parametrize("name", ROUTERS)
def test_a_router_sees_each_sample_alone(home: Path, ready: Engine, name: str) -> None:
    batch = some(home, ready)
    whole = run(ready, name, batch)
    assert whole.shape == (len(batch), 3) and (whole >= 0).all() and torch.isfinite(whole).all()
    for i in (0, 5):
        agree(run(ready, name, batch[i : i + 1])[0], whole[i].double(), 1e-4)
    assert len(torch.unique(whole, dim=0)) > 1 or name == "knn"


@pytest.mark.parametrize("name", MODELS)
def test_models_see_each_sample_alone(home: Path, ready: Engine, name: str) -> None:
    batch = some(home, ready)
    whole, _ = run(ready, name, batch)
    assert whole.shape == (len(batch), ready.backbone.output_dim)
    alone, _ = run(ready, name, batch[3:4])
    agree(alone[0], whole[3].double(), 1e-4)
    assert (ready.base_embedding(batch) - whole).abs().max() > 1e-3


def test_the_mlp_reads_what_mass_looks_at(home: Path, ready: Engine) -> None:
    """By the formula of a block, anew: norm, attention, norm; the base's class or last token."""
    models, batch, layer = ready.models, some(home, ready), 2
    segment = models.vectors.segments[layer]
    name = next(name for name in segment.matrices if "mlp.c_fc" in name)
    with torch.inference_mode():
        found = models.read(models.base, batch, layer, name)
        h = models.embed(models.base, batch)
        h = ready.backbone.block(models.base(1), 1, h, batch)
        whole = ready.backbone.block(models.base(2), 2, h, batch)
        p = models.base(2)
        at = name.removesuffix("mlp.c_fc.weight")
        out, into = p[at + "mlp.c_proj.weight"], p[name]
        if segment.outputs_last:
            out, into = out.mT, into.mT
        hidden = linear(found, into, p[at + "mlp.c_fc.bias"])
        approximate = "tanh" if segment.outputs_last else "none"
        added = linear(gelu(hidden, approximate=approximate), out, p[at + "mlp.c_proj.bias"])
        norm = (p[at + "ln_2.weight"], p[at + "ln_2.bias"])
        before = whole - added
        agree(layer_norm(before, before.shape[-1:], *norm), found.double(), 1e-3)


def test_smile_of_full_rank_is_the_expert_where_one_changes_matrices_alone(ready: Engine) -> None:
    """Its term is τ x of the expert that the gate takes."""
    stack, x = random(3, 6, 5).float(), random(4, 7, 5, seed=1).float()
    experts = Experts.of(stack, rank=5)
    chosen = experts.gate(x).argmax(-1)
    agree(experts.add(x), torch.einsum("btoi,bti->bto", stack[chosen], x).double())


def test_a_bias_that_no_expert_changes_is_the_bases() -> None:
    tensors = {"c.weight": torch.ones(2, 3, 4), "d.weight": torch.ones(2, 3, 4)}
    stages = [
        {"e": torch.ones(2, 1)},
        {**tensors, "c.bias": torch.ones(2, 3)},
        {"z": torch.ones(2, 1)},
    ]
    stages[1]["d.bias"] = torch.zeros(2, 3)
    base = {name: torch.full(x.shape[1:], 5.0) for stage in stages for name, x in stage.items()}
    block = of_tensors(*stages, base=base).segments[1]
    changed = bias_changes(block, "c.weight")
    assert changed is not None
    agree(changed, torch.ones(2, 3))
    # d's is in a tensor that could be changed and is not: zeros, either way
    left = bias_changes(block, "d.weight")
    assert left is None or not left.any()
    frozen = TaskVectors(
        {
            "e": torch.ones(1),
            "d.weight": torch.ones(3, 4),
            "d.bias": torch.ones(3),
            "z": torch.ones(1),
        },
        [{"d.weight": torch.zeros(3, 4)}] * 2,
        [["e"], ["d.weight", "d.bias"], ["z"]],
    )
    assert bias_changes(frozen.segments[1], "d.weight") is None


def test_told_models_are_those_of_the_task(home: Path, ready: Engine) -> None:
    batch, vectors = some(home, ready), ready.models.vectors
    for name, change in (("tall", localised), ("emr", unified), ("t_switch", binary)):
        made: TaskVectors = change(vectors)
        params = made.expert(1)
        with torch.inference_mode():
            expected = ready.models.embedding(lambda s, p=params: p, batch)  # type: ignore[misc]
        agree(run(ready, name, batch, own=1)[0], expected.double())
        assert not torch.allclose(run(ready, name, batch, own=0)[0], expected)


# ---- rows that show, and merge nothing -----------------------------------------------------------


def test_rmm_by_hand() -> None:
    taus, one = torch.tensor([[1.0, 2, 0], [2, 4, 0], [0, 1, 1]]), torch.ones(3, 1)

    def rows(directions: int) -> Tensor:
        made = rebuilt(of_tensors({"e": one}, {"w": taus}, {"z": one}), directions).segments[1]
        return (made.weights[1:] - made.weights[0]).double()

    agree(rows(1)[0], torch.tensor([0.966004, 2.013051, 0.081044]), 2e-6)
    lost = (rows(1) - taus).square().sum() / taus.square().sum()
    assert lost == pytest.approx(0.043001, abs=1e-6)
    agree(rows(2), taus.double())
    u, s, vh = torch.linalg.svd(taus.double())  # by another way
    agree(rows(1), s[0] * u[:, :1] @ vh[:1])


def test_rmm_of_enough_directions_is_the_experts(home: Path, ready: Engine) -> None:
    batch = some(home, ready)
    with torch.inference_mode():
        expected = ready.expert_embedding(batch, 1).double()
    agree(run(ready, "rmm_4", batch, own=1)[0], expected, 1e-4)  # of three experts
    assert (run(ready, "rmm_2", batch, own=1)[0] - expected).abs().max() > 1e-3
    sizes = [DYNAMICS[f"rmm_{p}"].function(ready, "task_arithmetic").bytes for p in (1, 2, 4)]
    experts = ready.models.vectors.count * sum(s.changing for s in ready.models.vectors.segments)
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[1] < 4 * (ready.models.vectors.numel + experts)


def test_a_lock_by_hand() -> None:
    one = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    q, k, v, out = torch.eye(2), one.clone(), torch.tensor([[1.0, 0.0], [2.0, 1.0]]), one.clone()
    bias = [torch.tensor([[1.0, 2.0]]) for _ in range(3)]
    own = Attention((q[None], bias[0]), (k[None], bias[1]), (v[None], bias[2]), out[:, None])
    m, n = torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.5]])
    own.turn(m[None].double(), n[None].double())
    agree(q, m.double())
    agree(k, [[0.5, 0.5], [-0.5, 0.5]])
    agree(v, [[3, 1], [1, 0.5]])
    agree(out, [[1, 0], [0, 2]])
    agree(q.mT @ k, one.double())  # what attends to what
    agree(out @ v, [[3, 1], [2, 1]])  # what is passed on
    agree(bias[0], [[4, 2]])
    agree(bias[1], [[0.5, 1.5]])
    agree(bias[2], [[3, 1]])


def test_a_stretch_is_bounded() -> None:
    made = invertible(3, 5, torch.Generator().manual_seed(1))
    stretches = torch.linalg.svdvals(made)
    assert stretches.shape == (3, 5) and (stretches > 0.1).all() and (stretches < 10).all()
    assert len(torch.unique(stretches)) == 15


def test_a_locked_expert_answers_as_before_and_lies_elsewhere(home: Path, ready: Engine) -> None:
    batch, vectors = some(home, ready), ready.models.vectors
    made = locked(ready.backbone, vectors, 0)
    with torch.inference_mode():
        for t in range(3):
            before = ready.models.embedding(lambda s, t=t: vectors.expert(t, s), batch)  # type: ignore[misc]
            after = ready.models.embedding(lambda s, t=t: made.expert(t, s), batch)  # type: ignore[misc]
            agree(after, before.double(), 1e-3)

    def away(one: TaskVectors, t: int) -> float:
        return float((effective(one)[t] - effective(vectors)[t]).norm())

    length = float(effective(vectors)[0].norm())
    assert away(made, 0) > 2 * length and away(made, 1) == away(made, 2) == 0
    assert not torch.equal(effective(locked(ready.backbone, vectors, 0, key=1)), effective(made))
    # the base says how to turn back, without the key
    assert away(turned_back(ready.backbone, made, 0), 0) < 0.5 * away(made, 0)
    own, _ = run(ready, "mergelock", batch)
    with torch.inference_mode():
        scale = torch.full((3,), ready.suite.defaults.static_lambda)
        usual = ready.models.embedding(ready.models.merged(scale), batch)
        spoilt = ready.models.embedding(lambda s: made.merge(scale, s), batch)
    agree(own, spoilt.double(), 1e-4)
    assert (own - usual).abs().max() > 10 * 1e-4


def test_what_all_models_share_can_not_be_locked(ready: Engine) -> None:
    vectors = ready.models.vectors
    names = [n for n in vectors.base() if n.endswith(ready.backbone.attention[0])]
    base = {name: x.clone() for name, x in vectors.base().items()}
    experts = [
        {name: x for name, x in vectors.expert(t).items() if name not in names} for t in range(3)
    ]
    shared = TaskVectors(base, experts, ready.backbone.segments, ready.backbone.outputs_last)
    with pytest.raises(UserError, match="can't be turned alone"):
        locked(ready.backbone, shared, 0)


# ---- rows ----------------------------------------------------------------------------------------


def test_rows(home: Path, ready: Engine) -> None:
    """Each stands beside the first method, MASS's router beside TSV-M too, with the suite's preset
    and as published; what is told is no rival."""
    request = Request(home / "data", methods=("task_arithmetic", "tsv_m", "ties"), every=("probe",))
    table = list(evaluate(ready, request).table)
    rows: dict[tuple[str, str], list[Any]] = {}
    for row in table:
        rows.setdefault((row["method"], row.get("probe")), []).append(row)
    for entry in DYNAMICS:
        if entry.model:
            (row,) = rows[entry.name, "experts" if entry.head == "routed" else None]
            assert row["title"] == entry.title and row["preset"] is None and row["merge"] is None
            assert "static_oracle" not in row["average_all"]
            told = row["average_all"]["routing"] == 1
            assert told is entry.told
            if told:
                assert row["average_all"]["se_oracle"] == row["average_all"]["se_routed"]
        else:
            own = rows["task_arithmetic", entry.name]
            assert own[0]["preset"] == "sharp"
            assert len(own) == 1 + bool(entry.published)
            assert ("tsv_m", entry.name) in rows or entry.home != "tsv_m"
            assert ("ties", entry.name) not in rows
        for row in [r for r in table if entry.name in (r["method"], r.get("probe"))]:
            assert row["note"] == entry.note and row["ms"] > 0 and row["bytes"] > 0
            needs = ["samples of each task"] if entry.needs else []
            assert row["data"] == needs + (["the task of each sample"] if entry.told else [])
    told_rows = [i for i, row in enumerate(table) if row.get("method") in ("tall", "emr")]
    assert not {row["against"]["row"] for row in table if row.get("against")} & set(told_rows)


def test_without_samples_a_row_has_its_reason(home: Path, engine: Engine) -> None:
    request = Request(home / "data", methods=("task_arithmetic",), every=("probe",))
    absent = {
        row["probe"] or row["method"]: row["reason"]
        for row in evaluate(engine, request).table
        if "reason" in row
    }
    wanted = {entry.name for entry in DYNAMICS if entry.needs}
    assert wanted <= absent.keys()
    assert all("train of a data folder" in absent[name] for name in wanted)


def test_a_routers_row_is_the_second_pass_with_its_distances(home: Path, ready: Engine) -> None:
    """The entropies of the experts, by hand, and each sample merged alone."""
    from semerge.evaluation.collect import collect

    resolved = Settings(**DYNAMICS["entropy"].published).resolve(ready.suite)
    made = DYNAMICS["entropy"].function(ready, "task_arithmetic")
    rival = Rival("entropy", resolved, made)
    (rows,) = collect(ready, suite_sets(ready.suite, home / "data"), [rival]).rows
    samples = read_set(home / "data", "task1", "test")
    own = [row for row in rows if row.task == "task1"]
    for i in (0, 7):
        ((_, batch),) = batches(ready.backbone, samples.take([i]))
        batch = ready.models.place(batch)
        with torch.inference_mode():
            logits = [
                ready.logits(ready.expert_embedding(batch, t), name)[0].double()
                for t, name in enumerate(ready.suite.task_names)
            ]
            h = torch.stack(
                [-(x.softmax(0) * x.log_softmax(0)).sum() / math.log(len(x)) for x in logits]
            )
            weights = 3 * resolved.static_lambda * softmax(-h, 0)
            z = ready.merged_embedding(batch, weights[None])
            answer = int(ready.logits(z, "task1")[0].argmax())
        assert own[i].chosen == ready.suite.task_names[int(h.argmin())]
        assert own[i].se_oracle == ready.suite.task("task1").classes[answer]
