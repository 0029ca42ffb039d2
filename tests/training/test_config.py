"""Configuration files: what is wrong is named, and the shipped ones are right."""

from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

from lcad_nodes import training
from lcad_nodes.training.config import (
    CompressionConfig,
    ConfigError,
    DataConfig,
    DiffusionConfig,
    FitConfig,
    load_config,
)
from lcad_nodes.training.networks import TextConfig, UNetConfig, VAEConfig

T = TypeVar("T")
CONFIGS = Path(training.__file__).parent / "configs"  # pyright: ignore[reportArgumentType]


def _written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _part(kind: type[T], name: str) -> T:
    return load_config(kind, CONFIGS / f"mini-{name}.toml")


def test_each_of_lcad_minis_configurations_starts_where_the_one_before_it_ends() -> None:
    first, decoder, *later_decoders = (
        _part(CompressionConfig, name)
        for name in ("compression", "decoder", "decoder-large", "decoder-smooth")
    )
    of_small_scenes, of_large_scenes = (
        [_part(DiffusionConfig, name) for name in names]
        for names in (
            ("words", "scenes", "diffusion"),
            ("places", "large", "binding", "nouns", "kinds", "offset", "offset-large", "parts"),
        )
    )
    at_256, longer = (_part(DiffusionConfig, name) for name in ("256", "256-longer"))
    words, places = of_small_scenes[0], of_large_scenes[0]
    diffusion, masks = of_small_scenes[-1], _part(DiffusionConfig, "masks")
    assert words.start == f"{first.fit.directory}/compression.safetensors"
    assert decoder.start == f"{diffusion.fit.directory}/average.safetensors"
    assert masks.start == f"{decoder.fit.directory}/compression.safetensors"
    for before, after in (*pairwise(of_small_scenes), *pairwise(of_large_scenes)):
        assert after.start == f"{before.fit.directory}/diffusion.safetensors"
    for before, after in ((of_large_scenes[-1], at_256), (at_256, longer)):
        assert after.start == f"{before.fit.directory}/average.safetensors"
    for before, after in pairwise(later_decoders):
        assert after.start == f"{before.fit.directory}/compression.safetensors"
    for after in (places, later_decoders[0]):
        assert after.start == f"{masks.fit.directory}/average.safetensors"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_can_be_read(path: Path) -> None:
    is_second = "tokenizer" in path.read_text(encoding="utf-8")
    config = load_config(DiffusionConfig if is_second else CompressionConfig, path)
    assert config.data.size >= 64


PUBLISHED = {
    CompressionConfig: {
        "artifact_weight": 1.0,
        "artifact_window": 7,
        "artifact_power": 1 / 5,
        "plain_weight": 0.0,
        "perceptual_weight": 1.0,
        "adversarial_weight": 0.5,
        "adversarial_start": 50_000,
        "kl_weight": 1e-6,
        "latent_noise": 0.0,
        "vae": VAEConfig((128, 256, 512, 512), 2),
    },
    DiffusionConfig: {
        "unet": UNetConfig((320, 640, 1280, 1280), 2, (1, 1, 1, 0)),
        "text": TextConfig(768, 12),
        "pool": 0,
        "largest_weight": 1.0,
        "noise_bias": 1.0,
        "noise_offset": 0.0,
        "guided": 0.0,
        "localization_weight": 0.0,
        "thing_weight": 1.0,
    },
    DataConfig: {"size": 256, "smallest_crop": 0.8, "flipped": 0.5, "dropped": 0.1},
    FitConfig: {"batch": 16, "accumulate": 1, "learning_rate": 2e-5, "mixed_precision": "no"},
}
"""What the paper and its code say, written out."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [(CompressionConfig, "full-compression.toml"), (DiffusionConfig, "full-diffusion.toml")],
)
def test_the_full_size_configuration_has_the_published_settings(kind: type, name: str) -> None:
    config = load_config(kind, CONFIGS / name)
    for part in (config, config.data, config.fit):
        for key, value in PUBLISHED[type(part)].items():
            assert getattr(part, key) == value, key
    assert config.train == "published"


DATA_AND_FIT = 'data = {stamps = ["a"]}\nfit = {directory = "b", steps = 1}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "cannot be read"),
        ("surprise = 1", "unknown surprise"),
        ("[data]\nstamps = 3\n", "data: stamps: expected a list of str, not 3"),
        ("data = 3", "data: expected a table"),
        ("", "missing"),
        ("[data]\n", "data: give one of stamps, folder and shards"),
        ('[data]\nstamps = ["a"]\nfolder = "b"\n', "data: give one of"),
        ('[data]\nstamps = ["a"]\ncaptions = "b"\n', "captions belong to a folder"),
        ('[data]\nstamps = ["a"]\nphotos = "b"\n', "photos: expected a list of str"),
        ('[data]\nfolder = "a"\nsimple = 0.5\n', "simple has no effect with folder or shards"),
        ('[data]\nstamps = ["a"]\ndropped = 0.3\n', "dropped has no effect with stamps"),
        ('[data]\nfolder = "a"\nsize = 60\n', "size: expected a multiple of 8, not 60"),
        ('[data]\nshards = ["a", 3]\n', "shards: expected str, not 3"),
        ('[data]\nfolder = "a"\nflipped = 2\n', "flipped: expected from 0 to 1, not 2"),
        ('[data]\nfolder = "a"\ndropped = 0.9\n', "dropped and shortened are more than 1"),
        (
            '[data]\nstamps = ["a"]\nphotos = ["b"]\nsimple = 0.6\nnatural = 0.6\n',
            "simple, natural, portraits and unplaced are more",
        ),
        ('[data]\nstamps = ["a"]\nnatural = 0.1\n', "natural is a share of photos"),
        ('[data]\nstamps = ["a"]\nportraits = 0.1\n', "portraits are a share of people"),
        ('[fit]\ndirectory = "a"\nsteps = 1\nlog = "b"\n', "log: expected csv or tensorboard"),
        ('[fit]\ndirectory = "a"\nsteps = 1\nbatch = 0\n', "batch: expected from 1 on, not 0"),
        (DATA_AND_FIT + 'train = "published"\n', "needs a start"),
        (DATA_AND_FIT.replace("= 1}", "= 1, keep_every = 1}"), "keep_every: .* with a start"),
        (DATA_AND_FIT + "artifact_window = 4\n", "artifact_window: expected an odd number"),
        (DATA_AND_FIT.replace("]}", "], size = 16}"), "adversarial_weight: .* at least 24 px"),
        (DATA_AND_FIT + "kl_weight = -1\n", "kl_weight: expected from 0 on, not -1"),
        (DATA_AND_FIT + "vae = {widths = [96, 100]}\n", "vae: widths: .* of 96 .*not 100"),
        (DATA_AND_FIT + "vae = {widths = []}\n", "vae: widths: expected 4 .*not 0"),
        (DATA_AND_FIT + "vae = {widths = [32, 64, 64]}\n", "vae: widths: expected 4 .*not 3"),
        (DATA_AND_FIT + "vae = {blocks = 0}\n", "vae: blocks: expected .* from 1 on, not 0"),
        ('[data]\nstamps = ["a"]\n[fit]\ndirectory = "d"\n', "missing.*steps"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(CompressionConfig, _written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unet = {widths = [320, 640, 1280, 1200]}", "unet: widths: .*multiple of 320.*not 1200"),
        ("unet = {widths = [64, 128]}", "unet: attention: expected one .* the 2 widths, not 4"),
        ("unet = {widths = [-32]}", "unet: widths: .*multiple of 32.*not -32"),
        ("unet = {widths = [64], attention = [0]}", "unet: attention: .* one above it, not .0,"),
        ("text = {width = 96}", "text: width: expected a multiple of 64 from 64 on, not 96"),
        ("text = {width = 1024}", "text: width: 1024 would be taken for that of"),
        ("text = {layers = 0}", "text: layers: .*not 0"),
        ("fresh = 0", "fresh: expected from 1 on, not 0"),
        ("noise_bias = 0", "noise_bias: expected more than 0"),
        ("noise_offset = -0.1", "noise_offset: expected from 0 on, not -0.1"),
        ('wordnet = "w"\ntrain = "published"', "wordnet would change a text encoder"),
        ("skin_weight = 8", "skin_weight is of people's skin, and data.people is not given"),
    ],
)
def test_what_is_wrong_of_stage_two_is_named(tmp_path: Path, text: str, message: str) -> None:
    start = 'start = "s"\ntokenizer = "t"\n'
    with pytest.raises(ConfigError, match=message):
        load_config(DiffusionConfig, _written(tmp_path, start + DATA_AND_FIT + text))


@pytest.mark.parametrize("source", ['folder = "a"', 'shards = ["a.tar"]'])
@pytest.mark.parametrize("key", ["guided", "guidance", "localization_weight", "thing_weight"])
def test_what_needs_masks_is_refused_where_there_are_none(
    tmp_path: Path, source: str, key: str
) -> None:
    text = 'start = "s"\ntokenizer = "t"\n' + DATA_AND_FIT.replace('stamps = ["a"]', source)
    load_config(DiffusionConfig, _written(tmp_path, f"{text}thing_weight = 1"))
    with pytest.raises(ConfigError, match=f"{key} has no effect with folder or shards, which"):
        load_config(DiffusionConfig, _written(tmp_path, f"{text}{key} = 0.5"))
