"""The loop: rates, the pull towards the start, and the second moments that a stage keeps."""

import torch
from safetensors.torch import load_file

from recipes.loop import Schedule, half_products, moments_file, scaled, train
from recipes.moments import averaged, expanded, factored


def test_a_matrix_of_rank_one_comes_back_whole():
    matrix = torch.outer(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0])) * 1e-9
    vector = torch.tensor([1e-12, 2.0])
    stored = factored({"w": matrix, "b": vector})
    assert {n: tuple(x.shape) for n, x in stored.items()} == {
        "w.rows": (3,),
        "w.columns": (2,),
        "b": (2,),
    }
    back = expanded(stored)
    torch.testing.assert_close(back["w"], matrix)
    assert torch.equal(back["b"], vector)


def test_any_matrix_keeps_its_row_and_column_means():
    matrix = torch.rand(5, 3, 2, generator=torch.Generator().manual_seed(0))
    back = expanded(factored({"w": matrix}))["w"]
    torch.testing.assert_close(back.mean(1), matrix.flatten(1).mean(1))
    torch.testing.assert_close(back.mean(0), matrix.flatten(1).mean(0))


def test_no_gradient_no_moment():
    assert torch.equal(expanded(factored({"w": torch.zeros(2, 2)}))["w"], torch.zeros(2, 2))


def test_a_stage_keeps_them_without_their_bias(tmp_path):
    """A constant gradient g has the second moment g² from the first step on."""
    slope = torch.tensor([[0.1, 0.2], [0.2, 0.4]])

    def loss(p, step, rng):
        return (p["w"] * slope).sum(), {}

    start = {"w": torch.zeros(2, 2)}
    train(start, loss, Schedule(3, 0.1), stage="s", seed=1, folder=tmp_path, moments=True)
    back = expanded(load_file(moments_file(tmp_path, "s")))
    torch.testing.assert_close(back["w"], slope.square())
    train(start, loss, Schedule(3, 0.1), stage="other", seed=1, folder=tmp_path)
    assert not moments_file(tmp_path, "other").exists()


def test_those_of_several_runs_are_averaged():
    runs = [{"b": torch.tensor([1.0])}, {"b": torch.tensor([3.0])}]
    assert averaged(runs)["b"].item() == 2.0


def test_a_named_tensor_learns_at_its_own_rate(tmp_path):
    def loss(p, step, rng):
        return p["fast"].sum() + p["slow"].sum(), {}

    start = {"fast": torch.zeros(2), "slow": torch.zeros(2)}
    schedule = Schedule(1, 0.1, warmup=1)
    made = train(start, loss, schedule, stage="s", seed=1, folder=tmp_path, rates={"fast": 5.0})
    torch.testing.assert_close(made["fast"], torch.full((2,), -0.5))
    torch.testing.assert_close(made["slow"], torch.full((2,), -0.1))


def test_a_pull_goes_back_to_where_the_stage_started(tmp_path):
    """Adam's first step is the rate; then the share rate x pull of the way back."""

    def loss(p, step, rng):
        return p["w"].sum(), {}

    start = {"w": torch.full((2,), 3.0)}
    schedule = Schedule(1, 0.1, warmup=1, pull=2.0)
    made = train(start, loss, schedule, stage="s", seed=1, folder=tmp_path)
    torch.testing.assert_close(made["w"], torch.full((2,), 3.0 - 0.1 * (1 - 0.1 * 2.0)))


def test_a_share_of_the_way_is_drawn_from_the_reach_to_the_whole() -> None:
    base, expert = {"a": torch.zeros(3), "b": torch.ones(2)}, {"a": torch.full((3,), 2.0)}
    rng = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(200):
        mixed = scaled(base, expert, 0.6, rng)
        assert torch.equal(mixed["b"], base["b"]) and len(set(mixed["a"].tolist())) == 1
        shares.append(float(mixed["a"][0]) / 2)
    assert 0.6 <= min(shares) < 0.62 and 0.98 < max(shares) <= 1
    state = rng.get_state()
    assert torch.equal(scaled(base, expert, 1.0, rng)["a"], expert["a"])
    assert torch.equal(rng.get_state(), state)  # a whole way draws nothing


def test_products_of_half_precision_lose_no_gradient() -> None:
    """Weights that ran without gradients before, as in mining, have theirs all the same."""
    rng = torch.Generator().manual_seed(0)
    x, weight = torch.randn(64, 32, generator=rng), torch.randn(16, 32, generator=rng)
    weight.requires_grad_()
    exact = torch.autograd.grad(torch.nn.functional.linear(x, weight).square().mean(), weight)[0]
    with half_products():
        with torch.no_grad():
            torch.nn.functional.linear(x, weight)
        y = torch.nn.functional.linear(x, weight)
    assert y.dtype == torch.bfloat16
    (rounded,) = torch.autograd.grad(y.float().square().mean(), weight)
    assert rounded.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(rounded.flatten(), exact.flatten(), 0) > 0.999
    assert torch.nn.functional.linear(x, weight).dtype == torch.float32  # as before
