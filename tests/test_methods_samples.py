"""Methods from unlabelled samples that solve rather than learn: by hand, and against transformers'
and open_clip's own modules, with whole matrices and a gradient for every class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from chain import chain, merged
from concurrency import sample_of
from labelled import DATA
from matrix_models import agree, random
from merging import effective, of_tensors, vectors_of
from reference import Reference, State
from torch import Tensor, nn

from semerge import cli, common
from semerge.data.samples import source
from semerge.engine import Engine, load_engine
from semerge.methods import METHODS
from semerge.methods.fisher import open_directions, weighed
from semerge.methods.matrices import regression_merge
from semerge.methods.regmean import damped
from semerge.settings import Settings
from semerge.suites import read_suite

NAMES = ("fisher", "regmean", "regmean_pp")
EACH = pytest.mark.parametrize("name", NAMES)
FOUR = 4  # samples of a task


# ---- by hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offdiagonal", "expected"),
    [(1.0, [0.142857, 1.785714]), (0.95, [0.180334, 1.767894]), (0.0, [0.666667, 1.666667])],
)
def test_regmean_by_hand(offdiagonal: float, expected: list[float]) -> None:
    x = torch.tensor([[[1.0, 0.0], [1.0, 1.0]], [[0.0, 2.0], [1.0, 1.0]]])
    vectors, samples = chain([[[[1.0, 0.0]]], [[[0.0, 2.0]]]], x)
    made = METHODS["regmean"].function(vectors, samples, offdiagonal=offdiagonal)
    agree(merged(made)["w1"], [expected], 1e-5)
    grams = x.mT.double() @ x.double() / 2
    agree(grams[0], [[1, 0.5], [0.5, 0.5]])
    w = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]]).double()
    terms = regression_merge(w, lambda t: damped(grams[t], offdiagonal))
    agree(terms.sum(0), [expected])


def test_regmean_pp_by_hand() -> None:
    vectors, samples = chain([[[[1.0]], [[2.0]]], [[[3.0]], [[1.0]]]], [[[1.0]], [[2.0]]])
    for name, second in (("regmean", 1.027027), ("regmean_pp", 1.2)):
        found = merged(METHODS[name].function(vectors, samples))
        agree(found["w1"], [[2.6]])
        agree(found["w2"], [[second]])


def test_regmean_averages_what_no_sample_has() -> None:
    vectors, samples = chain([[random(2, 3)], [random(2, 3, seed=1)]], [[[1.0, 2.0, 0.0]]] * 2)
    found = merged(METHODS["regmean"].function(vectors, samples, offdiagonal=1.0))["w1"]
    mean = (random(2, 3) + random(2, 3, seed=1)) / 2
    agree(found[:, 2], mean[:, 2])
    unseen = torch.tensor([2.0, -1.0, 0.0]).double()
    agree(found.double() @ unseen, mean @ unseen, 1e-4)
    nothing = merged(METHODS["regmean"].function(*chain([[random(2, 3)]] * 2, [[[0.0] * 3]] * 2)))
    agree(nothing["w1"], random(2, 3))


@pytest.mark.parametrize(
    ("theta", "information", "plain", "balanced"),
    [
        ([[1.0], [3.0]], [[4.0], [1.0]], [1.4], [2.0]),
        ([[1.0, 2.0], [3.0, 6.0]], [[3.0, 4.0], [1.0, 0.0]], [1.5, 2.0], [2.25, 2.0]),
        ([[1.0, 2.0], [3.0, 6.0]], [[2.0, 2.0], [2.0, 2.0]], [2.0, 4.0], [2.0, 4.0]),
    ],
)
def test_fisher_by_hand(
    theta: list[list[float]],
    information: list[list[float]],
    plain: list[float],
    balanced: list[float],
) -> None:
    vectors = of_tensors({"w": torch.tensor(theta)})
    lengths = [x.norm() for x in torch.tensor(information)]
    for given, expected in ((None, plain), (lengths, balanced)):
        made = weighed(vectors, [torch.tensor(information)], given, 1e-9)
        agree(merged(made)["w"], expected)


def test_fisher_without_any_information_is_the_average() -> None:
    taus = torch.tensor([[1.0, 2.0], [3.0, -2.0]])
    made = weighed(vectors_of(taus), [torch.zeros(2, 1), torch.zeros(2, 1)], None, 0.0)
    agree(effective(made), taus / 2)


def test_open_directions_add_up_to_the_diagonal() -> None:
    """Of a linear model, whose gradient of a logit is the input."""
    for scale, most in ((1.0, 4), (20.0, 4), (0.0, 4)):
        z = (scale * torch.tensor([0.3, -0.1, 0.7, 0.2, -0.4])).requires_grad_()
        found = torch.zeros(5).double()
        count = 0
        for value in open_directions(z):
            found += torch.autograd.grad(value, z, retain_graph=True)[0].double() ** 2
            count += 1
        p = z.detach().double().softmax(0)
        expected = sum(p[y] * (torch.eye(5)[y] - p) ** 2 for y in range(5))
        agree(found / expected.max(), expected / expected.max(), 1e-6)
        assert count <= most  # of C answers one direction is never open


# ---- what holds of each --------------------------------------------------------------------------


def some(seed: int = 0) -> tuple[list[list[Tensor]], list[Tensor]]:
    experts = [[random(3, 3, seed=seed + t), random(3, 3, seed=seed + 10 + t)] for t in range(3)]
    return experts, [random(5, 3, seed=seed + 20 + t) for t in range(3)]


@EACH
def test_the_order_of_the_tasks_is_nothing(name: str) -> None:
    experts, inputs = some()
    found = merged(METHODS[name].function(*chain(experts, inputs)))
    turned = merged(METHODS[name].function(*chain(experts[::-1], inputs[::-1])))
    for key in ("w1", "w2"):
        agree(turned[key], found[key].double())


@EACH
def test_the_same_expert_several_times_is_that_expert(name: str) -> None:
    experts, inputs = some()
    for count in (1, 3):
        found = merged(METHODS[name].function(*chain(experts[:1] * count, inputs[:count])))
        agree(found["w1"], experts[0][0])
        agree(found["w2"], experts[0][1])


@pytest.mark.parametrize("name", ["regmean", "regmean_pp"])
def test_regmean_ends_where_the_loss_has_no_slope(name: str) -> None:
    """Of the first map, whose inputs are the samples."""
    experts, inputs = some()
    made = METHODS[name].function(*chain(experts, inputs), offdiagonal=1.0)
    m = merged(made)["w1"].double()
    pairs = list(zip(experts, inputs, strict=True))
    slope = sum((m - w[0]) @ x.mT @ x / len(x) for w, x in pairs)
    assert slope.abs().max() < 1e-4


@EACH
def test_it_looks_at_as_many_samples_as_it_says(name: str) -> None:
    experts, inputs = some()
    few = merged(METHODS[name].function(*chain(experts, inputs), per_task=2))
    same = merged(METHODS[name].function(*chain(experts, [x[:2] for x in inputs])))
    more = merged(METHODS[name].function(*chain(experts, inputs)))
    assert torch.equal(few["w2"], same["w2"]) and not torch.allclose(few["w2"], more["w2"])


# ---- on models -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Engine, Any]:
    DATA[read_suite(folder).modality](folder.parent / "data")
    engine = load_engine(folder)
    samples = source(engine.suite, folder.parent / "data")(engine.models, False)
    return engine, samples


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    found = Reference(folder)
    found.empty = found.empty.double()
    return found


def one_by_one(samples: Any, t: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    data = [samples.tasks[t].read([row]).data for row in range(FOUR)]
    return [x.to(dtype) if x.is_floating_point() else x for x in data]


def blocks(model: nn.Module, image: bool) -> Any:
    return model.transformer.resblocks if image else model.h


def matrix_inputs(
    reference: Reference, model: nn.Module, layer: int, sample: Tensor, h: Tensor | None
) -> dict[str, Tensor]:
    """What each matrix of a block sees of one sample, (N, n) by its name; of `h` in the place of
    what comes before."""
    image = reference.is_image
    block, seen = blocks(model, image)[layer], {}
    at = f"transformer.resblocks.{layer}." if image else f"h.{layer}."

    def see(name: str) -> Callable[..., None]:
        return lambda module, inputs: seen.__setitem__(
            f"{at}{name}.weight", inputs[0].flatten(0, -2)
        )

    inner = ["mlp.c_fc", "mlp.c_proj"] + ([] if image else ["attn.c_attn", "attn.c_proj"])
    handles = [block.get_submodule(x).register_forward_pre_hook(see(x)) for x in inner]
    if image:
        key = f"{at}attn.in_proj_weight"
        handles.append(
            block.ln_1.register_forward_hook(
                lambda module, inputs, output: seen.__setitem__(key, output.flatten(0, -2))
            )
        )
    if h is not None:
        handles.append(block.register_forward_pre_hook(lambda module, inputs: (h, *inputs[1:])))
    with torch.no_grad():
        model(sample)
    for handle in handles:
        handle.remove()
    if image:  # the attention's own projection is called from within
        heads, x = block.attn.num_heads, seen[key]
        qkv = x @ block.attn.in_proj_weight.mT + block.attn.in_proj_bias
        q, k, v = qkv.view(len(x), 3, heads, -1).permute(1, 2, 0, 3).detach()
        scores = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        seen[f"{at}attn.out_proj.weight"] = (scores @ v).transpose(0, 1).flatten(1)
    return seen


def block_input(reference: Reference, model: nn.Module, layer: int, sample: Tensor) -> Tensor:
    seen: list[Tensor] = []
    handle = blocks(model, reference.is_image)[layer].register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    with torch.no_grad():
        model(sample)
    handle.remove()
    return seen[0]


def dense_regmean(reference: Reference, samples: Any, factor: float, on_merged: bool) -> State:
    """Σ Wt Gt (Σ Gt)⁻¹ of whole weights, layer by layer; all else the mean."""
    count = len(reference.experts)
    state = reference.merged([1 / count] * count)
    experts = [reference.model(expert) for expert in reference.experts]
    for layer in range(2):
        grams: dict[str, list[Tensor]] = {}
        merge = reference.model(state)
        for t, model in enumerate(experts):
            rows: dict[str, list[Tensor]] = {}
            for x in one_by_one(samples, t):
                h = block_input(reference, merge, layer, x) if on_merged else None
                for name, seen in matrix_inputs(reference, model, layer, x, h).items():
                    rows.setdefault(name, []).append(seen)
            for name, parts in rows.items():
                x = torch.cat(parts)
                gram = x.mT @ x / len(x)
                gram = factor * gram + (1 - factor) * torch.diag(gram.diagonal())
                gram += 1e-6 * gram.diagonal().mean() * torch.eye(len(gram))
                grams.setdefault(name, []).append(gram)
        for name, of in grams.items():
            ws = [
                e[name].double() if reference.is_image else e[name].double().T
                for e in reference.experts
            ]
            top = sum(w @ g for w, g in zip(ws, of, strict=True))
            w = top @ torch.linalg.inv(torch.stack(of).sum(0))
            state[name] = w if reference.is_image else w.T
    return state


@pytest.mark.parametrize(("name", "on_merged"), [("regmean", False), ("regmean_pp", True)])
def test_regmean_equals_the_formula_on_the_libraries_modules(
    made: tuple[Engine, Any], reference: Reference, name: str, on_merged: bool
) -> None:
    engine, samples = made
    found = merged(
        METHODS[name].function(engine.models.vectors, samples, per_task=FOUR, offdiagonal=0.9)
    )
    expected = dense_regmean(reference, samples, 0.9, on_merged)
    moved = 0
    for key, x in found.items():
        agree(x, expected[key])
        mean = torch.stack([expert[key] for expert in reference.experts]).mean(0)
        moved += not torch.allclose(x, mean, atol=1e-3)
    assert moved == 8 and engine.verify_weights()


def dense_fisher(reference: Reference, samples: Any, estimate: str, least: float) -> State:
    """Σ c (F + ε) θ / Σ c (F + ε), of a gradient for each sample and class."""
    found = []
    for t, name in enumerate(reference.names):
        model = reference.model(reference.experts[t])
        head = reference.heads[name].double()
        params = dict(model.named_parameters())
        total = {key: torch.zeros_like(x) for key, x in params.items()}
        batch = torch.zeros(()).double()
        for x in one_by_one(samples, t):
            z = model(x)[0] if reference.is_image else model(x).last_hidden_state[0, -1]
            if reference.is_image:
                z = reference.config["logit_scale"] * z / z.norm()
            log_p = (head @ z).log_softmax(0)
            batch = batch + sum(value.exp().sqrt().detach() * value for value in log_p)
            for value in log_p if estimate == "exact" else ():
                gradients = torch.autograd.grad(value, [*params.values()], retain_graph=True)
                for key, gradient in zip(params, gradients, strict=True):
                    total[key] += value.exp().detach() * gradient**2 / FOUR
        if estimate == "batched":
            gradients = torch.autograd.grad(batch, [*params.values()])
            total = {k: g**2 / FOUR for k, g in zip(params, gradients, strict=True)}
        found.append(total)
    lengths = [sum(float(x.square().sum()) for x in f.values()) ** 0.5 for f in found]
    state = {}
    for key in found[0]:
        weights = [(f[key] + least) / (c + least) for f, c in zip(found, lengths, strict=True)]
        top = sum(w * e[key] for w, e in zip(weights, reference.experts, strict=True))
        state[key] = top / torch.stack(weights).sum(0)
    return state


@pytest.mark.parametrize("estimate", ["exact", "batched"])
def test_fisher_equals_the_formula_on_the_libraries_modules(
    made: tuple[Engine, Any], reference: Reference, estimate: str
) -> None:
    engine, samples = made
    options = {"per_task": FOUR, "estimate": estimate}
    found = merged(METHODS["fisher"].function(engine.models.vectors, samples, **options))
    expected = dense_fisher(reference, samples, estimate, 1e-6)
    for key, x in found.items():
        agree(x, expected[key])
    other = merged(METHODS["average"].function(engine.models.vectors), 1 / 3)
    assert any(not torch.allclose(x, other[key], atol=1e-3) for key, x in found.items())
    assert engine.verify_weights()


LEARNED = ("adamerging", "concrete", "expert_merging", "self_positioning")
QUICK = {name: ["--updates", "2"] for name in LEARNED}
QUICK |= {"fw_merging": ["--rounds", "2"], "m2n2": ["--children", "2"]}
QUICK |= {"evo_merging": ["--generations", "3", "--population", "4"]}


@pytest.mark.parametrize("name", [entry.name for entry in METHODS if entry.sampled])
def test_through_the_engine(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made by merge --data, told how far it is, and answered with by who has no data."""
    monkeypatch.setenv("SEMERGE_CACHE", str(folder.parent / "cache"))
    monkeypatch.setattr(common, "PATIENCE", 0.0)
    data = DATA[read_suite(folder).modality](folder.parent / f"data-{name}")
    words = ["merge", "--suite", str(folder), "--data", str(data), "--method", name]
    options = ["--per-task", "3", *QUICK.get(name, ())]
    assert cli.main([*words, *options]) == 0
    engine = load_engine(folder, make_dear=False)
    pairs = zip(options[::2], options[1::2], strict=True)
    spec = METHODS.spec(name, {flag[2:].replace("-", "_"): value for flag, value in pairs})
    settings = Settings(method=spec, probe="experts", preset="literal")
    found = engine.predict(sample_of(engine, 0), settings)
    assert found.static_lambda == METHODS[name].scale
    assert found.predictions["static"] != found.predictions["base"]
