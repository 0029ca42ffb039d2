"""Instance-aware sampling inside the host: cross-attention replaced, conditional half only.

Every conditioning carries its masks through the host's own preparation (`InstanceMasks`), so
that they are cropped, repeated and batched with it. A wrapper around the UNet's call hands them
to the attention layers.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NoReturn

import comfy.model_management as management
import torch
from comfy.ldm.modules.attention import SpatialTransformer, optimized_attention
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor, cat

from ..model.geometry import LATENT_PIXEL
from ..model.guidance import (
    Reduction,
    attend,
    attention_logits,
    guide_logits,
    mark_tokens,
    masks_on_grid,
)
from .conditioning import checked
from .errors import ConditioningError
from .hints import GEOMETRY_KEY
from .instances import INSTANCES_KEY, Instances, check_tokens

Mode = Literal["fast", "reference"]
Observe = Callable[[Tensor, tuple[int, int], Tensor], None]
"""Told the logits that a layer attends with (B x heads x positions x tokens) where a prompt has
instances, the layer's grid and the instances' tokens (see `mark_tokens`)."""
KEY = "lcad_guidance"
NEGATIVE = frozenset({"negative", "empty_negative_prompt"})
"""Prompts that are never guided, even where they were made from one that is (section 3.3)."""
_ALREADY = (
    "replaces the model's cross-attention, as IP-Adapter does, and so does guidance by masks: "
    "use one of the two, as a model has one cross-attention"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Guidance:
    """How a model's cross-attention is guided (paper section 3.3).

    Attributes:
        instances: phrases and masks.
        strength: lambda; per element where the reduction is the sum.
        start: share of the sampling at which guidance begins, in [0, 1].
        end: share of the sampling at which it ends.
        mode: `fast`: every layer changes its own logits, one pass a step. `reference`: a first
            pass gives the logits, a second runs with them changed.
        reduction: of the loss over elements; `mean` as published, `sum` per element.
    """

    instances: Instances
    strength: float
    start: float
    end: float
    mode: Mode
    reduction: Reduction


@dataclass(frozen=True, eq=False)
class InstanceMasks:
    """One conditioning's masks, as a part of it that the host crops and batches (`comfy.conds`).

    Attributes:
        masks: on the latent's grid, instances x h x w; None where it is not to be guided.
        marks: the instances' tokens, from `mark_tokens`; None likewise.
    """

    masks: Tensor | None = None
    marks: Tensor | None = None

    def process_cond(
        self, batch_size: int, area: list[int] | None, **_kwargs: Any
    ) -> "InstanceMasks":
        """Crop to the area that the conditioning is for: its sizes, then its offsets."""
        if self.masks is None or area is None:
            return self
        height, width, top, left = area
        crop = self.masks[:, top : top + height, left : left + width]
        return InstanceMasks(crop, self.marks)

    def can_concat(self, other: "InstanceMasks") -> bool:
        """Any two can run in one batch: each keeps its own masks."""
        return True

    def concat(self, others: "list[InstanceMasks]") -> "list[InstanceMasks]":
        """List the masks of a batch's conditionings, in the batch's order."""
        return [self, *others]

    def size(self) -> list[int]:
        """Tell the host that this takes no memory worth counting."""
        return [0]


@dataclass(frozen=True, eq=False)
class Pass:
    """What the attention layers need to know during one call of the UNet.

    Attributes:
        chunks: masks of the batch's conditionings, in order.
        tokens: how many the UNet is called with.
        kept: guided logits of the first of two passes, by layer and chunk.
        phase: `off` where nothing is guided, `fast`, or which of two passes this is.
    """

    chunks: list[InstanceMasks]
    tokens: int
    phase: Literal["off", "fast", "first", "second"]
    kept: dict[Any, Tensor] = field(default_factory=dict)


def guide_attention(
    model: ModelPatcher, guidance: Guidance, observe: Observe | None = None
) -> ModelPatcher:
    """Give a model guidance; the model itself stays as it is.

    Works with any sampler. A model that has guidance gets this one instead. Nodes that replace
    cross-attention themselves, as IP-Adapter does, cannot go with it.

    Args:
        model: a luminance-conditioned model.
        guidance: phrases, masks and strength.
        observe: called by every cross-attention for every prompt with masks, once a step.

    Raises:
        ConditioningError: if the model is not luminance-conditioned, or another node has replaced
            its cross-attention.
    """
    guided = checked(model)
    _check_attention(model.model_options)
    wrappers = {
        WrappersMP.OUTER_SAMPLE: SamplePreparation(guidance),
        WrappersMP.APPLY_MODEL: GuidedCall(guidance),
    }
    for kind, wrapper in wrappers.items():
        guided.remove_wrappers_with_key(kind, KEY)
        guided.add_wrapper_with_key(kind, KEY, wrapper)
    attention = GuidedAttention(guidance, observe)
    for name, number in _cross_attention_blocks(model.get_model_object("diffusion_model")):
        guided.set_model_attn2_replace(attention, name, number)
    return guided


def _check_attention(model_options: Mapping[str, Any]) -> None:
    """Refuse a model whose cross-attention another node has replaced."""
    replaced = model_options["transformer_options"].get("patches_replace", {})
    for patch in replaced.get("attn2", {}).values():
        if not isinstance(patch, GuidedAttention):
            raise ConditioningError(f"{type(patch).__name__} {_ALREADY}")


def guidance_of(model: ModelPatcher) -> Guidance | None:
    """Return the guidance that a model has, if it has any."""
    calls: list[Any] = model.get_wrappers(WrappersMP.APPLY_MODEL, KEY)
    return calls[0].guidance if calls else None


def _cross_attention_blocks(unet: Any) -> Iterator[tuple[str, int]]:
    """Name the UNet's blocks that have cross-attention, as the host does."""
    groups = {
        "input": unet.input_blocks,
        "middle": [unet.middle_block],
        "output": unet.output_blocks,
    }
    for name, blocks in groups.items():
        for number, block in enumerate(blocks):
            if any(isinstance(layer, SpatialTransformer) for layer in block):
                yield name, number


@dataclass(frozen=True, eq=False)
class SamplePreparation:
    """Before sampling: put the masks on the latent's grid and into the conditionings."""

    guidance: Guidance

    def __call__(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
        """Wrap the host's sampling."""
        guider: Any = executor.class_obj
        _check_attention(guider.model_options)
        conds = [(name, cond) for name, conds in guider.conds.items() for cond in conds]
        guided = [
            name not in NEGATIVE
            and cond.get("prompt_type") != "negative"
            and self.guidance.instances.equals(cond.get(INSTANCES_KEY))
            for name, cond in conds
        ]
        if not any(guided):
            raise ConditioningError(
                "the model is guided by instances, but no conditioning comes from them: connect "
                "the positive output of the same 'Describe Objects (L-CAD)' to the sampler"
            )
        for (_, cond), is_guided in zip(conds, guided, strict=True):
            masks = InstanceMasks()
            if is_guided:
                check_tokens(cond)
                masks = self._prepared(cond, guider.model_patcher)
            cond["model_conds"] = {**cond["model_conds"], KEY: masks}
        return executor(*args, **kwargs)

    def _prepared(self, cond: dict[str, Any], model: ModelPatcher) -> InstanceMasks:
        """Put masks and tokens where the model runs: copied there by every layer, each waits."""
        masks = _placed_masks(cond, model)
        if self.guidance.strength:
            self._name_what_is_lost(masks, model)
        tokens = [item.tokens for item in self.guidance.instances.items]
        return InstanceMasks(masks, mark_tokens(tokens, cond["cross_attn"].shape[1]).to(masks))

    def _name_what_is_lost(self, masks: Tensor, model: ModelPatcher) -> None:
        """Warn of masks that no attention layer sees: their phrases are kept from everywhere."""
        shrunk = _finest_attention(model.get_model_object("diffusion_model"))
        grid = [side // shrunk for side in masks.shape[1:]]
        seen = masks_on_grid(masks, grid).any(dim=1).tolist()
        for item, is_seen in zip(self.guidance.instances.items, seen, strict=True):
            if not is_seen:
                logger.warning(
                    "the mask of '%s' is too small to be seen at this working size, where a "
                    "position of attention is %d px wide: make the mask or 'resolution' larger",
                    item.phrase,
                    shrunk * LATENT_PIXEL,
                )


def _finest_attention(unet: Any) -> int:
    """How many latent pixels wide a position of the finest cross-attention is."""
    first = next(n for name, n in _cross_attention_blocks(unet) if name == "input")
    return 2 ** sum(isinstance(block[0], Downsample) for block in unet.input_blocks[:first])


def _placed_masks(cond: dict[str, Any], model: ModelPatcher) -> Tensor:
    """Scale and pad masks as the photo was, down to the latent's grid: instances x h x w."""
    geometry = cond[GEOMETRY_KEY]
    masks = [item.mask for item in cond[INSTANCES_KEY].items]
    own_scale = replace(geometry, original=tuple(masks[0].shape))
    # One by one, and where they are: those of a large scan would fill a GPU.
    placed = [own_scale.place(mask[None, None], "nearest-exact")[0] for mask in masks]
    small = masks_on_grid(torch.cat(placed), geometry.latent).unflatten(-1, geometry.latent)
    return small.to(model.load_device)


@dataclass(frozen=True, eq=False)
class GuidedCall:
    """Around one call of the UNet: hand the masks on, and run it twice in reference mode."""

    guidance: Guidance

    def __call__(
        self,
        executor: WrapperExecutor,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: dict[str, list[Any]] | None = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Wrap the host's `apply_model`."""
        chunks: list[InstanceMasks] = kwargs.pop(KEY, None) or []
        options = transformer_options or {}
        passing = partial(Pass, chunks, 0 if c_crossattn is None else c_crossattn.shape[1])

        def run(guided: Pass) -> Tensor:
            # The UNet takes ControlNet's outputs out of their lists as it uses them.
            controls = control and {name: list(outputs) for name, outputs in control.items()}
            own_options = {**options, KEY: guided}
            # The UNet ignores what it does not know; a trace that the host compiled of a model
            # without guidance does not fit such a call, and is made anew.
            known = {**kwargs, KEY: True}
            return executor(x, t, c_concat, c_crossattn, controls, own_options, **known)

        guided = any(chunk.masks is not None for chunk in chunks)
        if not guided or not self._active(executor.class_obj, float(t[0])):
            return run(passing("off"))
        if self.guidance.mode == "fast":
            return run(passing("fast"))
        first = passing("first")
        run(first)
        management.throw_exception_if_processing_interrupted()
        result = run(passing("second", first.kept))
        if first.kept:
            raise ConditioningError(
                "another node left the second pass of guidance out, as EasyCache does with calls "
                "of the model that differ little from the one before: set mode to 'fast', or take "
                "that node away"
            )
        return result

    def _active(self, model: Any, sigma: float) -> bool:
        to_sigma = model.model_sampling.percent_to_sigma
        return to_sigma(self.guidance.end) <= sigma <= to_sigma(self.guidance.start)


@dataclass(frozen=True, eq=False)
class GuidedAttention:
    """In place of every cross-attention: guided logits where there are masks, else the host's."""

    guidance: Guidance
    observe: Observe | None

    def __deepcopy__(self, _memo: dict[int, Any]) -> "GuidedAttention":
        """Stay one where older hosts copy a model in depth: a copy of `observe` tells nobody."""
        return self

    def add(self, patch: Any, **_values: Any) -> NoReturn:
        """Refuse a second replacement, which IP-Adapter and its kin add by this name."""
        raise ConditioningError(f"{getattr(patch, '__name__', 'another node')} {_ALREADY}")

    # The host compiles without checking whether `options` has changed since: what is traced once
    # would stay in the first call's phase, with the first call's masks.
    @torch.compiler.disable
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
        """Attend; q is B x positions x width, k and v are B x tokens x width."""
        current: Pass | None = options.get(KEY)
        if current is None:
            raise ConditioningError(
                "another node calls the network without guidance, as DeepCache does: take one of "
                "the two away"
            )
        if not current.chunks or (current.phase == "off" and self.observe is None):
            return _host_attention(q, k, v, options)
        count = len(current.chunks)
        batch, _, *latent = options["original_shape"]
        shapes = [tuple(c.masks.shape[1:]) for c in current.chunks if c.masks is not None]
        if len(q) != batch or batch % count or any(shape != tuple(latent) for shape in shapes):
            raise ConditioningError(
                f"the masks are for latents of {shapes[0] if shapes else ()}, but the model is "
                f"called with {len(q)} of {tuple(latent)}: another node cuts or repeats the "
                "picture, as tiled diffusion does, and guidance by masks does not go with it"
            )
        parts = zip(q.chunk(count), k.chunk(count), v.chunk(count), strict=True)
        return cat([self._chunk(current, i, *part, options) for i, part in enumerate(parts)])

    def _chunk(
        self, current: Pass, index: int, q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]
    ) -> Tensor:
        chunk = current.chunks[index]
        if chunk.masks is None or chunk.marks is None:
            return _host_attention(q, k, v, options)
        if k.shape[1] != current.tokens:
            raise ConditioningError(
                f"another node makes {k.shape[1]} of {current.tokens} tokens inside the model, as "
                "CLIP NegPip does, so that a phrase's would be others': take that node or guidance "
                "away"
            )
        layer = (options["block"], options["block_index"], index)
        grid = options["activations_shape"][2:]
        masks, marks = masks_on_grid(chunk.masks.to(q.device), grid), chunk.marks.to(q.device)
        logits = self._logits(current, masks, marks, layer, q, k, options["n_heads"])
        if self.observe is not None and current.phase != "first":
            self.observe(logits, grid, marks)
        return attend(logits, v)

    def _logits(
        self,
        current: Pass,
        masks: Tensor,
        marks: Tensor,
        layer: Any,
        q: Tensor,
        k: Tensor,
        heads: int,
    ) -> Tensor:
        """Compute what a layer attends with in this pass."""
        if current.phase == "second":
            return current.kept.pop(layer)
        logits = attention_logits(q, k, heads)
        if current.phase == "off":
            return logits
        strength, reduction = self.guidance.strength, self.guidance.reduction
        guided = guide_logits(logits, masks, marks, strength, reduction)
        if current.phase == "first":
            current.kept[layer] = guided
            return logits
        return guided


def _host_attention(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    return optimized_attention(
        q,
        k,
        v,
        options["n_heads"],
        attn_precision=options["attn_precision"],
        transformer_options=options,
    )
