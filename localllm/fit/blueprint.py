"""From hyper-parameters to the tensor table that a GGUF file of the model would have.

For models that the catalogue knows and no file has been read of. Held against llama.cpp by
scripts/verify_fit, which makes and loads files from here, and against the catalogue's parameter
counts in test_blueprint.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from localllm.fit.blueprint_dims import Dims, MissingKeys
from localllm.fit.blueprint_parts import Entry, draft_parts
from localllm.fit.blueprint_recipes import RECIPES, Recipe
from localllm.formats.header import Value


def tensors_of(
    architecture: str, keys: Mapping[str, Value], *, tied: bool
) -> tuple[Entry, ...] | None:
    """Names and shapes, innermost dimension first; None for an architecture without a recipe.

    Args:
        keys: GGUF's keys without the architecture's name in front.
        tied: Whether the token table serves as the output layer, where the architecture can.

    Raises:
        MissingKeys: Some dimension is unknown; it has their names.
    """
    recipe = RECIPES.get(architecture)
    if recipe is None:
        return None
    d = Dims(architecture, keys)
    needed = recipe.needs + (recipe.with_experts if d.experts else ())
    if missing := tuple(key for key in needed if key not in d):
        raise MissingKeys(missing)
    return tuple(_all(recipe, d, tied=tied))


def can_be_tied(architecture: str) -> bool:
    """Whether its token table may serve as the output layer."""
    recipe = RECIPES.get(architecture)
    return recipe is None or not recipe.own_output


def _all(recipe: Recipe, d: Dims, *, tied: bool) -> Iterator[Entry]:
    yield "token_embd.weight", (d.embedding, d.vocabulary)
    if not recipe.encoder:
        yield "output_norm.weight", (d.embedding,)
        if recipe.own_output or not tied:
            yield "output.weight", (d.embedding, d.vocabulary)
    if recipe.around is not None:
        yield from recipe.around(d)
    for i in range(d.blocks):
        for name, shape in recipe.layer(d, i):
            yield f"blk.{i}.{name}", shape
        for name, shape in draft_parts(d) if i >= d.trunk else ():
            yield f"blk.{i}.{name}", shape
