"""Registries: options from signatures, specs, and what is refused."""

from typing import Annotated, Literal

import pytest

from semerge import cli
from semerge.common import UserError
from semerge.methods import METHODS, method
from semerge.probes import PROBES, probe
from semerge.registry import Entry, Option, Registry, Share, Within


def example(
    vectors,
    *,
    density: Annotated[Share, "what stays"] = 0.25,
    how: Literal["sum", "mean"] = "sum",
    rounds: Annotated[int, Within(1, 9)] = 3,
    signed: bool = False,
):
    """Do nothing.

    At length.
    """


@pytest.fixture
def registry():
    made = Registry("semerge.methods", "method")
    made._complete = True  # an empty room
    made.add(Entry("example", example, "Example"))
    return made


def test_options_come_from_the_signature(registry):
    entry = registry["example"]
    assert entry.about == "Do nothing."
    assert entry.options == (
        Option("density", float, 0.25, "what stays", (), Within(0, 1)),
        Option("how", str, "sum", "", ("sum", "mean")),
        Option("rounds", int, 3, "", (), Within(1, 9)),
        Option("signed", bool, False),
    )


@pytest.mark.parametrize(
    ("spec", "options", "canonical"),
    [
        ("example", {}, "example"),
        ("example", {"density": 0.25, "how": "sum", "signed": False}, "example"),
        ("example", {"density": "0.5", "signed": "yes"}, "example:density=0.5,signed=yes"),
        ("example:how=mean,density=.5", {}, "example:density=0.5,how=mean"),
        ("example:how=mean", {"how": "sum", "rounds": 4.0}, "example:rounds=4"),
    ],
)
def test_a_spec_has_one_form(registry, spec, options, canonical):
    assert registry.spec(spec, options) == canonical
    assert registry.spec(canonical) == canonical
    chosen = registry.chosen(canonical)
    assert list(chosen) == ["density", "how", "rounds", "signed"]
    assert registry.spec("example", chosen) == canonical


def test_a_spec_in_words(registry):
    assert registry.title("example") == "Example"
    assert registry.title("example:density=0.5,signed=yes") == "Example (density 0.5, signed yes)"


@pytest.mark.parametrize(
    ("spec", "options", "part"),
    [
        ("none", {}, "method 'none' is unknown; valid are example"),
        ("example", {"size": 1}, "no option 'size'; it has density, how, rounds, signed"),
        ("example", {"density": 1.5}, "density must be a number from 0 to 1, not 1.5"),
        ("example", {"density": "nan"}, "density must be a number from 0 to 1"),
        ("example", {"density": True}, "density must be a number"),
        ("example", {"how": "max"}, "how must be sum, mean, not 'max'"),
        ("example", {"rounds": 2.5}, "rounds must be a whole number from 1 to 9"),
        ("example", {"signed": "maybe"}, "signed must be yes, no"),
        ("example:density=", {}, "density must be"),
    ],
)
def test_what_is_refused(registry, spec, options, part):
    with pytest.raises(UserError, match=part.replace("(", r"\(")):
        registry.spec(spec, options)


def test_of_many_names_the_nearest_are_told():
    with pytest.raises(
        UserError, match=r"^method 'tie' is unknown; the nearest of \d+ valid"
    ) as at:
        METHODS.spec("tie")
    assert " ones are ties, " in str(at.value) and str(at.value).count(",") == 4


def test_a_name_is_given_once(registry):
    registry.add(Entry("example", example, "Example"))  # the same again, as a reload does
    with pytest.raises(ValueError, match="taken"):
        registry.add(Entry("example", lambda vectors: vectors, "Another"))
    with pytest.raises(ValueError, match="no word"):
        registry.add(Entry("a b", lambda vectors: vectors, "Another"))


def test_options_need_a_type_and_a_default(registry):
    def untyped(vectors, *, size=1): ...
    def empty(vectors, *, size: int): ...

    for function in (untyped, empty):
        with pytest.raises(TypeError, match="option size needs a type and a default"):
            registry.add(Entry("other", function, "Other"))


def test_what_there_is():
    assert METHODS.names[:3] == ("task_arithmetic", "average", "ties")
    assert PROBES.names[:3] == ("experts", "base", "cache")
    for registry in (METHODS, PROBES):
        for entry in registry:
            assert entry.about.endswith(".") and entry.title


@pytest.mark.parametrize("registry", [METHODS, PROBES])
def test_options_of_one_name_are_one_option(registry):
    """They share a flag and a control: its range, its words and its default."""
    for entry in registry:
        for option in entry.options:
            assert option == registry.options[option.name], entry.name


def test_names_of_options_do_not_meet_those_of_settings():
    """They are flags and keys of links side by side."""
    from semerge.settings import descriptions

    options = {**METHODS.options, **PROBES.options}
    assert not set(options) & {*descriptions(), "suite", "tab", "example", "text", "text_b"}
    cli.parser()  # raises where a command has such a flag already


def test_an_entry_shows_up_and_goes():
    @method("same", title="the same")
    def same(vectors):
        """Leave the task vectors as they are."""
        return vectors

    @probe("nought", title="nought", needs=("experts",))
    def nought(at):
        """All alike."""
        return at.expert.sum(-1) * 0

    try:
        assert "same" in METHODS.names and "nought" in PROBES.names
    finally:
        METHODS.remove("same"), PROBES.remove("nought")
    assert "same" not in METHODS and "nought" not in PROBES
    with pytest.raises(ValueError, match="is no need"):
        probe("other", title="other", needs=("labels",))
