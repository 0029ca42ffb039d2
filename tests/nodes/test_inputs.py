"""What users connect by mistake, and what happens then, before any long work."""

from itertools import combinations
from pathlib import Path
from typing import Any

import comfy.sd
import comfy_extras.nodes_post_processing  # noqa: F401 - before nodes_latent, which needs it
import folder_paths
import nodes
import pytest
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy_extras.nodes_latent import LatentBatchSeedBehavior
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
from golden_weights import golden_state_dict, relative_error, text_encoder_state_dict
from PIL import Image
from plain_models import plain_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

import lcad_nodes
from lcad_nodes.color.lab import lightness, rgb_to_lab
from lcad_nodes.host.conditioning import ConditioningError
from lcad_nodes.host.decoding import DecodingError, Lightness
from lcad_nodes.host.guidance import Mode
from lcad_nodes.host.instances import MaskError
from lcad_nodes.host.loading import CheckpointError
from lcad_nodes.host.origin import Origin, origin_of
from lcad_nodes.host.sampling import ScheduleError
from lcad_nodes.model.checkpoint import split
from lcad_nodes.model.geometry import LONGEST, GeometryError
from lcad_nodes.model.patch import FIRST_CONVOLUTION
from lcad_nodes.nodes.decode import Decode
from lcad_nodes.nodes.encode import Condition, EncodeLuminance
from lcad_nodes.nodes.inspect import AttentionMaps
from lcad_nodes.nodes.instances import GuideAttention, InstancesNode
from lcad_nodes.nodes.load import LoadCheckpoint, LoadUNet
from lcad_nodes.nodes.preview import draw_instances
from lcad_nodes.nodes.sample import ReferenceSchedule, Sample
from lcad_nodes.nodes.types import InputError, from_image

SHIPPED = Path(lcad_nodes.__path__[0]) / "weights" / "lcad-mini.safetensors"


class Pack:
    """The small checkpoint, through the nodes."""

    def __init__(self, checkpoint: Path) -> None:
        folder_paths.add_model_folder_path("checkpoints", str(checkpoint.parent))
        folder_paths.add_model_folder_path("diffusion_models", str(checkpoint.parent))
        loaded = LoadCheckpoint.execute(checkpoint.name).args
        self.model, self.clip, self.vae, self.encoder = loaded
        self.positive = self.encode("a red car")
        self.negative = self.encode("")

    def encode(self, text: str) -> Any:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    def luminance(self, photo: Tensor, resolution: int = 0) -> Any:
        return EncodeLuminance.execute(self.encoder, photo, resolution).args[0]

    def sample(self, luminance: Any, **changes: Any) -> dict[str, Tensor]:
        inputs = {
            "model": self.model,
            "positive": self.positive,
            "negative": self.negative,
            "luminance": luminance,
            "seed": 0,
            "steps": 2,
            "cfg": 2.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
            "strength": 1.0,
            "mode": "fast",
        }
        return Sample.execute(**(inputs | changes)).args[0]

    def colorize(self, photo: Tensor, resolution: int = 0, mode: Any = "input") -> Tensor:
        luminance = self.luminance(photo, resolution)
        return Decode.execute(self.vae, self.sample(luminance), luminance, mode).args[0]


@pytest.fixture(scope="module")
def pack(small_checkpoint: Path) -> Pack:
    return Pack(small_checkpoint)


def vae_settings(checkpoint: Path) -> dict[str, Any]:
    """The configuration of a checkpoint's VAE, as the host's own class takes it."""
    tensors = split(load_file(checkpoint)).vae
    widths = [tensors[f"decoder.up.{i}.block.0.conv1.weight"].shape[0] for i in range(4)]
    ddconfig = {"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3}
    ddconfig |= {"out_ch": 3, "ch": widths[0], "ch_mult": [w // widths[0] for w in widths]}
    ddconfig |= {"num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
    return {"ddconfig": ddconfig, "embed_dim": 4}


@pytest.fixture(autouse=True)
def _as_the_host_runs_nodes() -> Any:
    with torch.inference_mode():
        yield


def photo(height: int = 64, width: int = 64, photos: int = 1) -> Tensor:
    return torch.rand(photos, height, width, 3, generator=torch.manual_seed(0))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (37, 101), (64, 128), (7, 300)])
@pytest.mark.parametrize("resolution", [0, 48])
def test_any_size_comes_back_with_the_photos_lightness(
    pack: Pack, height: int, width: int, resolution: int
) -> None:
    image = photo(height, width)
    result = pack.colorize(image, resolution)
    assert result.shape == image.shape
    difference = lightness(from_image(result)) - lightness(from_image(image))
    assert difference.abs().max() < 0.05


def test_the_decoders_own_lightness_is_not_the_photos(pack: Pack) -> None:
    image = photo()
    difference = lightness(from_image(pack.colorize(image, mode="decoder"))) - lightness(
        from_image(image)
    )
    assert difference.abs().mean() > 1


def test_a_color_photo_is_turned_gray(pack: Pack) -> None:
    image = photo()
    luminance, gray = EncodeLuminance.execute(pack.encoder, image, 0).args
    torch.testing.assert_close(gray[..., 0], gray[..., 1], rtol=0, atol=1e-3)
    again = pack.luminance(gray)
    for first, second in zip(luminance.features, again.features, strict=True):
        assert relative_error(second, first) < 1e-4


def test_photos_of_a_batch_are_colorized_as_if_alone(pack: Pack) -> None:
    image = photo(40, 60, photos=2)
    luminance = pack.luminance(image)
    latent = pack.sample(luminance)
    both = Decode.execute(pack.vae, latent, luminance, "input").args[0]
    second = {"samples": latent["samples"][1:]}
    alone = Decode.execute(pack.vae, second, pack.luminance(image[1:]), "input").args[0]
    assert relative_error(both[1:], alone) < 1e-4


def test_luminance_is_computed_once_a_photo_and_never_in_sampling(pack: Pack) -> None:
    calls: list[int] = []
    handle = pack.encoder.model.register_forward_hook(
        lambda _module, inputs, _output: calls.append(inputs[0].shape[0])
    )
    luminance = pack.luminance(photo(photos=2))
    pack.colorize(photo())
    pack.sample(luminance)
    handle.remove()
    assert calls == [1, 1, 1]


def test_every_photo_of_a_batch_may_have_a_prompt_of_its_own(pack: Pack) -> None:
    luminance = pack.luminance(photo(photos=2))
    prompts = [pack.encode(text)[0] for text in ("a red car", "a blue car")]
    both = [[torch.cat([tokens for tokens, _ in prompts]), prompts[0][1]]]
    first, second = pack.sample(luminance, positive=both)["samples"]
    reds = pack.sample(luminance, positive=[prompts[0]])["samples"]
    blues = pack.sample(luminance, positive=[prompts[1]])["samples"]
    assert relative_error(first, reds[0]) < 1e-4
    assert relative_error(second, blues[1]) < 1e-4
    assert relative_error(second, reds[1]) > 1e-3


def batch(pack: Pack, prompts: int) -> Any:
    """Prompts in one conditioning, as the batch nodes of other packs make them."""
    encoded = [pack.encode(f"a red car {number}")[0] for number in range(prompts)]
    return [[torch.cat([tokens for tokens, _ in encoded]), encoded[0][1]]]


@pytest.mark.parametrize(("photos", "prompts"), [(1, 2), (3, 2), (2, 3), (2, 4)])
def test_prompts_that_are_neither_one_for_all_photos_nor_one_for_each(
    pack: Pack, photos: int, prompts: int
) -> None:
    message = rf"{prompts} prompts in one batch for {photos} photo\(s\) and {photos} latent\(s\)"
    luminance = pack.luminance(photo(photos=photos))
    for wrong in ("positive", "negative"):
        with pytest.raises(ConditioningError, match=message):
            pack.sample(luminance, **{wrong: batch(pack, prompts)})
    prompt = Condition.execute(batch(pack, prompts), pack.negative, luminance).args
    with pytest.raises(ConditioningError, match=message):
        nodes.KSampler().sample(pack.model, 0, 2, 2.0, "euler", "normal", *prompt)


def test_every_variation_of_a_photo_may_have_a_prompt_of_its_own(pack: Pack) -> None:
    prompts = batch(pack, 3)
    inputs = Condition.execute(prompts, pack.negative, pack.luminance(photo())).args
    positive, negative, latent = inputs
    (latent,) = nodes.RepeatLatentBatch().repeat(latent, 3)
    sampler = (pack.model, 0, 2, 2.0, "euler", "normal")
    (found,) = nodes.KSampler().sample(*sampler, positive, negative, latent)
    for number in range(3):
        own = [[positive[0][0][number : number + 1], positive[0][1]]]
        (expected,) = nodes.KSampler().sample(*sampler, own, negative, latent)
        assert relative_error(found["samples"][number], expected["samples"][number]) < 1e-4


def test_prompts_of_different_photos(pack: Pack) -> None:
    image = photo(photos=2)
    luminances = [pack.luminance(image[:1]), pack.luminance(image[1:])]
    prompts = [Condition.execute(pack.positive, pack.negative, each).args for each in luminances]
    (positive, negative, latent), (other_positive, other_negative, _) = prompts
    (both,) = nodes.ConditioningCombine().combine(positive, other_positive)
    sampler = (pack.model, 0, 2, 2.0, "euler", "normal")
    for pair in ((positive, other_negative), (other_positive, negative), (both, negative)):
        with pytest.raises(ConditioningError, match="the luminance of different photos"):
            nodes.KSampler().sample(*sampler, *pair, latent)


def test_a_long_strip(pack: Pack) -> None:
    strip = torch.linspace(0, 1, 10000)[None, :, None, None].expand(1, 10000, 200, 3)
    assert pack.colorize(strip, resolution=8).shape == strip.shape


@pytest.mark.parametrize(
    ("kept_lightness", "resolution", "changes"),
    [
        ("input", 32, True),
        ("input", 0, True),
        ("input", 128, True),
        ("decoder", 32, True),
        ("decoder", 0, False),
        ("decoder", 128, False),
    ],
)
def test_full_resolution_keeps_colors_to_edges_and_what_is_published_as_it_is(
    pack: Pack, kept_lightness: Lightness, resolution: int, changes: bool
) -> None:
    image = photo(64, 128)
    luminance = pack.luminance(image, resolution)
    latent = {"samples": torch.randn(1, 4, *luminance.geometry.latent)}
    inputs = (pack.vae, latent, luminance, kept_lightness)
    plain, kept = (Decode.execute(*inputs, full, 0).args[0] for full in (False, True))
    assert plain.shape == kept.shape == image.shape
    assert torch.equal(plain, kept) != changes


def test_tiles_and_one_piece_through_the_node(pack: Pack) -> None:
    luminance = pack.luminance(photo(100, 70))
    latent = {"samples": torch.randn(2, 4, *luminance.geometry.latent)}
    inputs = (pack.vae, latent, luminance, "decoder", True)
    whole, tiles = (Decode.execute(*inputs, tile_size).args[0] for tile_size in (0, 64))
    assert torch.allclose(whole, tiles, atol=1e-4)


def test_a_batch_that_is_repeated_goes_through_its_photos_in_turn(pack: Pack) -> None:
    image = photo(photos=2)
    luminance = pack.luminance(image)
    latent = {"samples": torch.randn(2, 4, *luminance.geometry.latent)}
    (twice,) = nodes.RepeatLatentBatch().repeat(latent, 2)
    result = Decode.execute(pack.vae, twice, luminance, "input").args[0]
    expected = lightness(from_image(image.repeat(2, 1, 1, 1)))
    assert (lightness(from_image(result)) - expected).abs().max() < 0.05


def test_one_photo_in_several_variations(pack: Pack) -> None:
    luminance = pack.luminance(photo())
    latent = {"samples": torch.randn(3, 4, 8, 8)}
    assert Decode.execute(pack.vae, latent, luminance, "input").args[0].shape == (3, 64, 64, 3)


def test_less_denoising_stays_nearer_to_gray() -> None:
    """In the model that comes with the pack, whose latent of zeros is a tint of chroma 6."""
    pack = Pack(SHIPPED)
    image = torch.linspace(0.2, 0.8, 60)[None, :, None, None].expand(1, 60, 100, 3)
    luminance = pack.luminance(image)
    chroma = []
    for denoise in (0.0, 0.3, 1.0):
        latent = pack.sample(luminance, steps=4, denoise=denoise)
        picture = Decode.execute(pack.vae, latent, luminance, "input").args[0]
        chroma.append(float(rgb_to_lab(from_image(picture))[:, 1:].norm(dim=1).mean()))
    assert chroma == sorted(chroma)
    assert chroma[0] < 3


def test_a_model_without_its_vae_starts_from_an_empty_latent(
    pack: Pack, small_checkpoint: Path
) -> None:
    model = LoadUNet.execute(small_checkpoint.name).args[0]
    assert not pack.sample(pack.luminance(photo()), model=model, denoise=0.0)["samples"].any()


def test_every_setting_reaches_the_hosts_sampler(pack: Pack) -> None:
    """This one draws noise at every step, from the seed too."""
    luminance, gray = EncodeLuminance.execute(pack.encoder, photo(), 0).args
    settings = {"seed": 7, "steps": 4, "cfg": 3.5, "denoise": 0.8}
    settings |= {"sampler_name": "euler_ancestral", "scheduler": "karras"}
    found = pack.sample(luminance, **settings)["samples"]
    positive, negative, _ = Condition.execute(pack.positive, pack.negative, luminance).args
    (latent,) = nodes.VAEEncode().encode(pack.vae, gray)
    prompts = {"positive": positive, "negative": negative, "latent_image": latent}
    (expected,) = nodes.KSampler().sample(pack.model, **prompts, **settings)
    assert torch.equal(found, expected["samples"])


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_instances_in_the_sampler_guide_it(pack: Pack, mode: Mode) -> None:
    luminance = pack.luminance(photo())
    masks = {"mask_0": torch.ones(1, 64, 64)}
    positive, instances = InstancesNode.execute(pack.clip, "a red car", "", masks).args
    plain = pack.sample(luminance, positive=positive)["samples"]
    inputs = {"positive": positive, "instances": instances, "mode": mode}
    guided = pack.sample(luminance, **inputs)["samples"]
    assert relative_error(guided, plain) > 1e-3
    model = GuideAttention.execute(pack.model, instances, 1.0, 0.0, 1.0, mode, "sum").args[0]
    same = pack.sample(luminance, positive=positive, model=model)["samples"]
    assert torch.equal(same, guided)


def test_guidance_keeps_to_its_share_of_the_sampling(pack: Pack) -> None:
    luminance = pack.luminance(photo())
    masks = {"mask_0": torch.ones(1, 64, 64)}
    positive, instances = InstancesNode.execute(pack.clip, "a red car", "", masks).args

    def sample(start: float, end: float) -> Tensor:
        guided = GuideAttention.execute(pack.model, instances, 1.0, start, end, "fast", "sum")
        return pack.sample(luminance, positive=positive, model=guided.args[0])["samples"]

    plain = pack.sample(luminance, positive=positive)["samples"]
    results = [plain, sample(0.0, 1.0), sample(0.0, 0.5), sample(0.5, 1.0)]
    for one, other in combinations(results, 2):
        assert not torch.equal(one, other)


def test_attention_is_shown_at_the_step_asked_for(pack: Pack) -> None:
    luminance = pack.luminance(photo())
    masks = {"mask_0": torch.ones(1, 64, 64)}
    positive, instances = InstancesNode.execute(pack.clip, "a red car", "", masks).args
    prompts = (positive, pack.negative, luminance)
    sampling = (0, 2, 2.0, "euler", "normal")
    first, second, both = (
        AttentionMaps.execute(pack.model, instances, *prompts, *sampling, step).args[0]
        for step in (1, 2, 0)
    )
    for one, other in combinations((first, second, both), 2):
        assert not torch.equal(one, other)


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_a_latent_that_cannot_be_halved_evenly_is_guided(pack: Pack, mode: str) -> None:
    luminance = pack.luminance(photo(72, 104))
    assert luminance.geometry.latent == (9, 13)
    masks = {"mask_0": torch.ones(1, 72, 104)}
    positive, instances = InstancesNode.execute(pack.clip, "a red car", "", masks).args
    inputs = {"positive": positive, "instances": instances, "mode": mode}
    plain, guided = (
        pack.sample(luminance, **inputs, strength=strength)["samples"] for strength in (0.0, 3.0)
    )
    assert relative_error(guided, plain) > 1e-3
    assert guided.isfinite().all()


def test_a_noise_mask_of_the_photos_size_lies_where_it_is_in_the_photo(pack: Pack) -> None:
    luminance = pack.luminance(photo(72, 136))
    positive, negative, latent = Condition.execute(pack.positive, pack.negative, luminance).args
    mask = torch.zeros(1, 72, 136)
    mask[..., 64:] = 1
    (masked,) = nodes.SetLatentNoiseMask().set_mask(latent, mask)
    sampler = (pack.model, 0, 2, 2.0, "euler", "normal")
    (result,) = nodes.KSampler().sample(*sampler, positive, negative, masked)
    changed = result["samples"].abs().amax(dim=(0, 1, 2))
    assert changed[:8].max() < 1e-4
    assert changed[8:].min() > 1e-2


def test_a_batch_of_masks_counts_as_that_many(pack: Pack) -> None:
    masks = {"mask_0": torch.ones(2, 64, 64), "mask_2": torch.ones(64, 64)}
    result = InstancesNode.execute(pack.clip, "a cup, a hat, a car", "", masks)
    assert [item.phrase for item in result.args[1].items] == ["a cup", "a hat", "a car"]


def test_the_preview_shows_the_phrases_in_the_text_without_its_weights(pack: Pack) -> None:
    left = torch.zeros(1, 64, 96)
    left[..., :48] = 1
    masks = {"mask_0": left, "mask_1": 1 - left}
    result = InstancesNode.execute(pack.clip, "a (cup:1.3), a hat", "", masks)
    ui: Any = result.ui
    (shown,) = ui.as_dict()["images"]
    picture = Image.open(Path(folder_paths.get_temp_directory()) / shown["filename"])
    (expected,) = draw_instances(result.args[1], "a cup , a hat")
    found = pil_to_tensor(picture).movedim(0, -1) / 255
    torch.testing.assert_close(found, expected, rtol=0, atol=1 / 255)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (torch.rand(1, 8, 8, 4), "image is 1 x 8 x 8 x 4: it must .* takes its alpha channel off"),
        (torch.rand(1, 8, 8, 2), "must be an RGB image, batch x height x width x 3$"),
        (torch.rand(8, 8, 3), "must be an RGB image"),
        (torch.rand(0, 8, 8, 3), "must be an RGB image"),
        (torch.full((1, 8, 8, 3), torch.nan), "192 values that are NaN or infinite"),
    ],
)
def test_broken_images(pack: Pack, broken: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncodeLuminance.execute(pack.encoder, broken, 0)


def test_a_gray_image_of_one_channel_is_a_photo(pack: Pack) -> None:
    gray = torch.rand(1, 64, 64, 1)
    one, three = (
        EncodeLuminance.execute(pack.encoder, image, 0).args[0]
        for image in (gray, gray.expand(-1, -1, -1, 3))
    )
    assert torch.equal(one.lightness, three.lightness)


def test_a_model_without_luminance(pack: Pack) -> None:
    unet = split(golden_state_dict(0)).unet
    plain = plain_model(unet | {FIRST_CONVOLUTION: unet[FIRST_CONVOLUTION][:, :4]})
    with pytest.raises(ConditioningError, match="does not read a photo's luminance"):
        pack.sample(pack.luminance(photo()), model=plain)
    masks = {"mask_0": torch.ones(1, 64, 64)}
    instances = InstancesNode.execute(pack.clip, "a cup", "", masks).args[1]
    with pytest.raises(ConditioningError, match="does not read a photo's luminance"):
        GuideAttention.execute(plain, instances, 1.0, 0.0, 1.0, "fast", "sum")


def test_a_prompt_from_another_text_encoder(pack: Pack) -> None:
    wide = [[torch.zeros(1, 77, 768), {}]]
    with pytest.raises(ConditioningError, match=r"768 wide, but the model reads 64"):
        pack.sample(pack.luminance(photo()), positive=wide)


def test_parts_that_the_checkpoint_does_not_hold(pack: Pack) -> None:
    nothing: Any = None
    with pytest.raises(InputError, match=r"clip is empty.*'Load CLIP'"):
        InstancesNode.execute(nothing, "a cup", "", {"mask_0": torch.ones(1, 8, 8)})
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    with pytest.raises(InputError, match=r"vae is empty.*'Load VAE'"):
        Decode.execute(nothing, latent, pack.luminance(photo()), "input")


def test_luminance_from_the_encoder_of_another_checkpoint(pack: Pack) -> None:
    luminance = pack.luminance(photo())
    luminance = luminance._replace(features=tuple(f[:, :32] for f in luminance.features))
    with pytest.raises(ConditioningError, match=r"reads 128 channels .* has 32"):
        pack.sample(luminance)
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    with pytest.raises(DecodingError, match="use VAE and encoder of one checkpoint"):
        Decode.execute(pack.vae, latent, luminance, "input")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A checkpoint of the same widths as the small one's, of another training."""
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    save_file(golden_state_dict(1) | text_encoder_state_dict(1, width=64, layers=2), path)
    return Pack(path)


def test_the_encoder_of_another_checkpoint_of_the_same_widths(pack: Pack, other: Pack) -> None:
    luminance = other.luminance(photo())
    message = r"encoder of other\.safetensors, but the model of small\.safetensors"
    with pytest.raises(ConditioningError, match=message):
        pack.sample(luminance)
    prompts = Condition.execute(pack.positive, pack.negative, luminance).args
    with pytest.raises(ConditioningError, match=message):
        nodes.KSampler().sample(pack.model, 0, 2, 2.0, "euler", "normal", *prompts)
    latent = other.sample(luminance)
    message = r"VAE of small\.safetensors .* another encoder than that of other\.safetensors"
    with pytest.raises(DecodingError, match=message):
        Decode.execute(pack.vae, latent, luminance, "input")


def test_the_unet_of_another_checkpoint_is_known_where_its_file_holds_an_encoder(
    pack: Pack, other: Pack, tmp_path: Path
) -> None:
    model = LoadUNet.execute("other.safetensors").args[0]
    with pytest.raises(ConditioningError, match=r"the model of other\.safetensors was trained"):
        pack.sample(pack.luminance(photo()), model=model)
    folder_paths.add_model_folder_path("diffusion_models", str(tmp_path))
    save_file(split(golden_state_dict(1)).unet, tmp_path / "alone.safetensors")
    model = LoadUNet.execute("alone.safetensors").args[0]
    assert pack.sample(pack.luminance(photo()), model=model)["samples"].isfinite().all()


def test_one_checkpoint_stored_in_two_types_is_one(pack: Pack, tmp_path: Path) -> None:
    tensors = golden_state_dict(0) | text_encoder_state_dict(0, width=64, layers=2)
    half = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in tensors.items()}
    origin = Origin.of(split(half).encoder, "half.safetensors")
    assert not origin.differs(origin_of(pack.encoder))
    assert origin.differs(Origin.of(split(golden_state_dict(1)).encoder, "other.safetensors"))


def test_a_vae_from_the_hosts_own_loader_is_taken_as_it_is(
    pack: Pack, small_checkpoint: Path
) -> None:
    vae = pack.vae.__class__(pack.vae.get_sd(), config={"params": vae_settings(small_checkpoint)})
    luminance = pack.luminance(photo())
    latent = pack.sample(luminance)
    expected, found = (
        Decode.execute(each, latent, luminance, "input").args[0] for each in (pack.vae, vae)
    )
    assert relative_error(found, expected) < 1e-5


def test_luminance_of_another_photo_than_the_latents(pack: Pack) -> None:
    latent = {"samples": torch.zeros(1, 4, 8, 16)}
    with pytest.raises(DecodingError, match="use the luminance of the photo"):
        Decode.execute(pack.vae, latent, pack.luminance(photo()), "input")


def test_luminance_of_another_photo_of_the_same_size(pack: Pack) -> None:
    image = photo(photos=3)
    first, second = pack.luminance(image[:1]), pack.luminance(image[1:2])
    _, _, empty = Condition.execute(pack.positive, pack.negative, first).args
    for latent in (pack.sample(first), empty):
        with pytest.raises(DecodingError, match="sampled for another photo"):
            Decode.execute(pack.vae, latent, second, "input")
        Decode.execute(pack.vae, latent, pack.luminance(image[:1]), "input")


def test_a_latent_enlarged_to_another_working_size_is_of_the_same_photo(pack: Pack) -> None:
    image = photo()
    small, large = (EncodeLuminance.execute(pack.encoder, image, n).args[0] for n in (64, 128))
    height, width = large.geometry.latent
    (enlarged,) = nodes.LatentUpscale().upscale(
        pack.sample(small), "bilinear", 8 * width, 8 * height, "disabled"
    )
    picture = Decode.execute(pack.vae, enlarged, large, "input").args[0]
    assert picture.shape == image.shape
    other = EncodeLuminance.execute(pack.encoder, image.flip(1), 128).args[0]
    with pytest.raises(DecodingError, match="sampled for another photo"):
        Decode.execute(pack.vae, enlarged, other, "input")


def test_latents_that_other_nodes_took_from_a_batch_are_known_by_one_photo(pack: Pack) -> None:
    image = photo(photos=3)
    both, second = pack.luminance(image[:2]), pack.luminance(image[1:2])
    latent = pack.sample(both)
    (taken,) = nodes.LatentFromBatch().frombatch(latent, 1, 1)
    Decode.execute(pack.vae, taken, second, "input")
    with pytest.raises(DecodingError, match="sampled for another photo"):
        Decode.execute(pack.vae, taken, pack.luminance(image[2:]), "input")
    for others in (image[1:], image[:1], image[:2].flip(0)):
        with pytest.raises(DecodingError, match="sampled for another photo"):
            Decode.execute(pack.vae, latent, pack.luminance(others), "input")


def test_what_is_taken_from_a_batch_is_of_the_photo_that_it_begins_with(pack: Pack) -> None:
    image = photo(photos=3)
    latent = pack.sample(pack.luminance(image))
    (second,) = nodes.LatentFromBatch().frombatch(latent, 1, 1)
    (again,) = nodes.RepeatLatentBatch().repeat(second, 2)
    Decode.execute(pack.vae, again, pack.luminance(image[1:2]), "input")
    both = pack.luminance(image[:2])
    (twice,) = nodes.RepeatLatentBatch().repeat(pack.sample(both), 2)
    (turned,) = nodes.LatentFromBatch().frombatch(twice, 1, 2)
    Decode.execute(pack.vae, turned, pack.luminance(image[:2].flip(0)), "input")
    for taken, others in ((second, pack.luminance(image[:1])), (turned, both)):
        with pytest.raises(DecodingError, match="sampled for another photo"):
            Decode.execute(pack.vae, taken, others, "input")


def test_a_batch_of_one_seed_is_taken_apart_as_any_other(pack: Pack) -> None:
    image = photo(photos=2)
    (fixed,) = LatentBatchSeedBehavior.execute(pack.sample(pack.luminance(image)), "fixed").args
    for place in (0, 1):
        (taken,) = nodes.LatentFromBatch().frombatch(fixed, place, 1)
        Decode.execute(pack.vae, taken, pack.luminance(image[place : place + 1]), "input")


def test_batches_that_do_not_fit_together(pack: Pack) -> None:
    latent = {"samples": torch.zeros(3, 4, 8, 8)}
    with pytest.raises(DecodingError, match=r"2 photo\(s\)"):
        Decode.execute(pack.vae, latent, pack.luminance(photo(photos=2)), "input")
    luminance = pack.luminance(photo(photos=2))
    positive, negative, _ = Condition.execute(pack.positive, pack.negative, luminance).args
    sampler = (pack.model, 0, 2, 2.0, "euler", "normal")
    with pytest.raises(ConditioningError, match="3 latents cannot be shared out among 2 photos"):
        nodes.KSampler().sample(*sampler, positive, negative, latent)


def test_any_sampler_refuses_prompts_without_luminance(pack: Pack) -> None:
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    sampler = (pack.model, 0, 2, 2.0, "euler", "normal")
    with pytest.raises(ConditioningError, match="put 'Add Photo to Prompts"):
        nodes.KSampler().sample(*sampler, pack.positive, pack.negative, latent)
    luminance = pack.luminance(photo())
    positive, negative, _ = Condition.execute(pack.positive, pack.negative, luminance).args
    latent = {"samples": torch.zeros(1, 4, 8, 16)}
    with pytest.raises(ConditioningError, match=r"8 x 16 .* 8 x 8: use the latent"):
        nodes.KSampler().sample(*sampler, positive, negative, latent)


def test_more_masks_than_phrases(pack: Pack) -> None:
    with pytest.raises(MaskError, match=r"1 phrases .'a cup'. but 2 masks"):
        InstancesNode.execute(pack.clip, "a cup", "", {"mask_0": torch.ones(2, 8, 8)})


def test_fewer_masks_than_phrases(pack: Pack) -> None:
    with pytest.raises(MaskError, match=r"2 phrases .'a cup', 'a hat'. but 1 masks"):
        InstancesNode.execute(pack.clip, "a cup, a hat", "", {"mask_0": torch.ones(1, 8, 8)})


@pytest.mark.parametrize("side", [8, 64])  # where nothing is painted, ComfyUI gives 64 x 64
def test_a_mask_that_marks_nothing(pack: Pack, side: int) -> None:
    masks = {"mask_0": torch.ones(1, 8, 8), "mask_1": torch.zeros(1, side, side)}
    with pytest.raises(MaskError, match=r"mask 2 \('a hat'\) is empty"):
        InstancesNode.execute(pack.clip, "a cup, a hat", "", masks)


@pytest.mark.parametrize("shape", [(1, 0, 0), (0, 8), (8,), (1, 1, 8, 8)])
def test_a_mask_without_a_size(pack: Pack, shape: tuple[int, ...]) -> None:
    masks = {"mask_0": torch.ones(1, 8, 8), "mask_1": torch.ones(shape)}
    with pytest.raises(InputError, match=f"a mask is {' x '.join(map(str, shape))}: it must be"):
        InstancesNode.execute(pack.clip, "a cup, a hat", "", masks)


def test_masks_of_nothing_found(pack: Pack) -> None:
    """As SAM 3's node gives where it finds none of what it was asked for."""
    masks = {"mask_0": torch.ones(1, 8, 8), "mask_1": torch.ones(0, 8, 8)}
    with pytest.raises(InputError, match="the node before it has found nothing"):
        InstancesNode.execute(pack.clip, "a cup, a hat", "", masks)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_broken_mask(pack: Pack, value: float) -> None:
    mask = torch.ones(2, 8, 8)
    mask[1, 0, :3] = value
    message = r"mask 2 \('a hat'\) holds 3 values that are NaN or infinite"
    with pytest.raises(MaskError, match=message):
        InstancesNode.execute(pack.clip, "a cup, a hat", "", {"mask_0": mask})


def test_masks_of_two_sizes(pack: Pack) -> None:
    masks = {"mask_0": torch.ones(1, 8, 8), "mask_1": torch.ones(1, 8, 9)}
    with pytest.raises(MaskError, match=r"mask 2 \('a hat'\) is 8 x 9 px, but mask 1 is 8 x 8"):
        InstancesNode.execute(pack.clip, "a cup, a hat", "", masks)


def test_masks_of_another_size_than_the_photo(pack: Pack) -> None:
    masks = {"mask_0": torch.ones(2, 32, 64)}
    positive, instances = InstancesNode.execute(pack.clip, "a cup, a hat", "", masks).args
    message = r"mask 1 \('a cup'\), 2 \('a hat'\): 32 x 64 px, but the photo is 64 x 64 px"
    with pytest.raises(MaskError, match=message):
        pack.sample(pack.luminance(photo()), positive=positive, instances=instances)
    with pytest.raises(MaskError, match=message):
        Condition.execute(positive, pack.negative, pack.luminance(photo()))


def test_masks_may_be_of_another_scale_than_the_photo(pack: Pack) -> None:
    luminance = pack.luminance(photo(96, 160))
    left = torch.zeros(1, 96, 160)
    left[..., :80] = 1

    def sample(mask: Tensor) -> Tensor:
        described = InstancesNode.execute(pack.clip, "a cup", "", {"mask_0": mask})
        positive, instances = described.args
        return pack.sample(luminance, positive=positive, instances=instances)["samples"]

    expected = sample(left)
    for scale in (0.5, 3):
        scaled = torch.nn.functional.interpolate(left[None], scale_factor=scale)[0]
        assert torch.equal(sample(scaled), expected)
    assert not torch.equal(sample(1 - left), expected)


@pytest.mark.parametrize(
    ("steps", "made", "first"), [(1, 1, 1), (30, 31, 991), (50, 50, 981), (167, 200, 996)]
)
def test_the_published_schedule_goes_up_to_the_end(
    pack: Pack, steps: int, made: int, first: int
) -> None:
    """Where 1000 is no multiple of the steps, their stride makes a few more."""
    sigmas = ReferenceSchedule.execute(pack.model, steps).args[0]
    assert len(sigmas) == made + 1
    assert sigmas[0] == pack.model.get_model_object("model_sampling").sigmas[first]


def test_another_schedule_than_the_published_one(pack: Pack) -> None:
    (distilled,) = ModelSamplingDiscrete().patch(pack.model, "lcm", False)
    with pytest.raises(ScheduleError, match=r"50 timesteps, as 'lcm' .* take that node away"):
        ReferenceSchedule.execute(distilled, 25)


def test_guidance_that_ends_before_it_begins(pack: Pack) -> None:
    _, instances = InstancesNode.execute(
        pack.clip, "a cup", "", {"mask_0": torch.ones(1, 8, 8)}
    ).args
    with pytest.raises(InputError, match=r"start is 0\.5 and end is 0\.2"):
        GuideAttention.execute(pack.model, instances, 1.0, 0.5, 0.2, "fast", "sum")


@pytest.mark.parametrize("steps", [-1, 0, 1000, 1001])
def test_steps_that_the_published_schedule_has_not(pack: Pack, steps: int) -> None:
    assert len(ReferenceSchedule.execute(pack.model, 999).args[0]) == 1000
    with pytest.raises(ScheduleError, match=f"steps is {steps}: the published .* 1 to 999"):
        ReferenceSchedule.execute(pack.model, steps)


@pytest.mark.parametrize("resolution", [-5, -2, LONGEST + 1])
def test_a_resolution_that_there_is_not(pack: Pack, resolution: int) -> None:
    """A number that comes over a link is not held within an input's bounds by the host."""
    with pytest.raises(GeometryError, match=f"resolution is {resolution}: it must be 1 to 16384"):
        EncodeLuminance.execute(pack.encoder, photo(), resolution)


def test_a_vae_of_another_kind(pack: Pack) -> None:
    taesd = comfy.sd.VAE({"taesd_decoder.1.weight": torch.zeros(64, 4, 3, 3)})
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    with pytest.raises(DecodingError, match="TAESD"):
        Decode.execute(taesd, latent, pack.luminance(photo()), "input")


def test_a_vae_with_another_latent(pack: Pack, small_checkpoint: Path) -> None:
    settings = vae_settings(small_checkpoint)
    flux = settings["ddconfig"] | {"z_channels": 16}
    sixteen = AutoencoderKL(embed_dim=16, ddconfig=flux).state_dict()
    vae = comfy.sd.VAE(sixteen, config={"params": {"ddconfig": flux, "embed_dim": 16}})
    with pytest.raises(DecodingError, match="latents of 16 channels, as that of FLUX"):
        Decode.execute(vae, pack.sample(pack.luminance(photo())), pack.luminance(photo()), "input")


def test_a_latent_of_another_kind_of_model(pack: Pack) -> None:
    latent = {"samples": torch.zeros(1, 16, 8, 8)}
    with pytest.raises(DecodingError, match=r"1 x 16 x 8 x 8, but .* B x 4 x 8 x 8"):
        Decode.execute(pack.vae, latent, pack.luminance(photo()), "input")


def test_a_unet_loads_from_a_whole_checkpoint(pack: Pack, small_checkpoint: Path) -> None:
    model = LoadUNet.execute(small_checkpoint.name).args[0]
    luminance = pack.luminance(photo())
    latent = pack.sample(luminance)["samples"]
    assert torch.equal(pack.sample(luminance, model=model)["samples"], latent)


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    folder_paths.add_model_folder_path("checkpoints", str(tmp_path))
    (tmp_path / "nothing.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        LoadCheckpoint.execute("nothing.safetensors")
