"""Which stored tensors a parameter of the reference module is made from, layout by layout.

Canonical names are those of the backbones: open_clip's `VisionTransformer` and `TextTransformer`,
transformers' `GPT2Model`. transformers' CLIP stores q, k and v apart, open_clip as one matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Origin:
    """The stored tensors behind one parameter, put together along the first axis."""

    keys: tuple[str, ...]
    transposed: bool = False  # stored as (out, in) where the parameter is (in, out)

    def shape(self, whole: Shape) -> Shape:
        """What each stored tensor must look like if the parameter has the shape `whole`."""
        if self.transposed:
            return whole[::-1]
        return (whole[0] // len(self.keys), *whole[1:])


_CLIP_BLOCK = {
    "attn.in_proj_weight": ("self_attn.{}_proj.weight", "qkv"),
    "attn.in_proj_bias": ("self_attn.{}_proj.bias", "qkv"),
    "attn.out_proj": ("self_attn.out_proj", ""),
    "mlp.c_fc": ("mlp.fc1", ""),
    "mlp.c_proj": ("mlp.fc2", ""),
    "ln_1": ("layer_norm1", ""),
    "ln_2": ("layer_norm2", ""),
}
# transformers spells pre_layrnorm so
_CLIP_VISION = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
}
_CLIP_TEXT = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final": "final_layer_norm",
}


def clip_vision(names: Iterable[str], tower: str, projection: str | None) -> dict[str, Origin]:
    """transformers' CLIP image tower; `tower` is the prefix of its keys, `projection` a whole key.

    Without `projection`, "proj" is left out: a `CLIPVisionModel` has none.
    """
    return _clip(names, _CLIP_VISION, tower, {"proj": projection})


def clip_text(names: Iterable[str]) -> dict[str, Origin]:
    """The text tower of transformers' `CLIPModel`."""
    return _clip(names, _CLIP_TEXT, "text_model.", {"text_projection": "text_projection.weight"})


def _clip(
    names: Iterable[str], ends: Mapping[str, str], tower: str, projections: Mapping[str, str | None]
) -> dict[str, Origin]:
    origins: dict[str, Origin] = {}
    for name in names:
        if name in projections:
            key = projections[name]
            if key is not None:
                origins[name] = Origin((key,), transposed=True)
        elif name.startswith("transformer.resblocks."):
            _, _, layer, part = name.split(".", 3)
            origins[name] = Origin(_block(f"{tower}encoder.layers.{layer}.", part))
        else:
            origins[name] = Origin((tower + _renamed(name, ends),))
    return origins


def _block(at: str, part: str) -> tuple[str, ...]:
    if part in _CLIP_BLOCK:
        pattern, letters = _CLIP_BLOCK[part]
        return tuple(at + pattern.format(letter) for letter in letters)
    module, _, kind = part.rpartition(".")
    return (f"{at}{_CLIP_BLOCK[module][0]}.{kind}",)


def _renamed(name: str, table: Mapping[str, str]) -> str:
    if name in table:
        return table[name]
    module, _, kind = name.rpartition(".")
    return f"{table[module]}.{kind}"


def same(names: Iterable[str], prefix: str) -> dict[str, Origin]:
    """Layouts that use the canonical names, behind a prefix."""
    return {name: Origin((prefix + name,)) for name in names}


def text_shapes(embed_dim: int, config: Mapping[str, int]) -> dict[str, Shape]:
    """Every parameter of open_clip's `TextTransformer`; keys of the config are open_clip's."""
    d = int(config["width"])
    shapes: dict[str, Shape] = {
        "token_embedding.weight": (int(config["vocab_size"]), d),
        "positional_embedding": (int(config["context_length"]), d),
    }
    for i in range(int(config["layers"])):
        at = f"transformer.resblocks.{i}."
        shapes |= {
            f"{at}ln_1.weight": (d,),
            f"{at}ln_1.bias": (d,),
            f"{at}attn.in_proj_weight": (3 * d, d),
            f"{at}attn.in_proj_bias": (3 * d,),
            f"{at}attn.out_proj.weight": (d, d),
            f"{at}attn.out_proj.bias": (d,),
            f"{at}ln_2.weight": (d,),
            f"{at}ln_2.bias": (d,),
            f"{at}mlp.c_fc.weight": (4 * d, d),
            f"{at}mlp.c_fc.bias": (4 * d,),
            f"{at}mlp.c_proj.weight": (d, 4 * d),
            f"{at}mlp.c_proj.bias": (d,),
        }
    return shapes | {
        "ln_final.weight": (d,),
        "ln_final.bias": (d,),
        "text_projection": (d, embed_dim),
    }
