"""Renders people in clothes that scenes can paint, each in another light and from another side.

`python -m lcad_nodes.scenes.people --out runs/people`; which models, from where, stands in
`people.json`; their license in docs/data.md. Each person is a PNG with its outline, a second PNG
whose red, green and blue are how much of a pixel the first, second and third thing worn covers, and
JSON that names these (see `dressed.read_people`).
"""

import argparse
import io
import json
import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from numpy.typing import NDArray
from PIL import Image

from ..files.errors import told_plainly
from .cutouts import lab_of
from .packages import BROKEN, LARGEST, SHARE, SourceError

LIST = Path(__file__).with_name("people.json")
MODELS = SHARE / "sweethome3d/furniture/Reallusion.sh3f"
FOLDER = "reallusion/"
"""Where the archive has the models, a folder each."""

HEIGHT = 288  # of a picture, in pixels
SAMPLES, LABEL_SAMPLES = 20, 8  # a pixel, of light and of outlines
PURE, GRAY = 0.9, 0.3
"""How much light reflects what tells a thing worn, and all else, in a picture of outlines."""
FRAMES = {"face": 2.1, "bust": 3.4, "waist": 5.2}
"""How much of a person is seen, if not all, in heights of the face."""
WHOLE = "whole"
LYING = 0.8
"""Height over length below which a person lies."""
MIDDLE, TROUSERS = 0.5, 0.575
"""Where textures of all that a person wears are divided: uppers above, and trousers to the left."""
LIKE_SKIN = 20.0
"""Distance in CIE Lab to the face's middle color, up to which a texture shows skin."""
NECKLINE = 0.12
"""Share of a garment's texture that can be skin; of more, it is the garment that is like skin."""
TONES = ((1.15, 1.15, 1.15), (1, 1, 1), (0.8, 0.74, 0.68), (0.5, 0.42, 0.36), (0.24, 0.19, 0.16))
"""What skin's linear RGB is multiplied by, from light to dark; the models' own are light."""
HAIR = (
    ((0.012, 0.01, 0.01), (1, 1, 2, 4, 5)),
    ((0.04, 0.022, 0.014), (2, 2, 3, 2, 1)),
    ((0.11, 0.06, 0.032), (3, 3, 2, 0, 0)),
    ((0.17, 0.062, 0.027), (2, 1, 0, 0, 0)),
    ((0.42, 0.29, 0.13), (3, 2, 0, 0, 0)),
    ((0.3, 0.29, 0.28), (1, 1, 1, 1, 1)),
    ((0.68, 0.66, 0.62), (1, 1, 0.5, 0.5, 0.5)),
)
"""Natural colors of hair, linear RGB, and how often those of each of the `TONES` have them."""

Floats = NDArray[np.float32]
_Mesh = tuple[Floats, Floats, NDArray[np.uint32], Floats]
"""Vertices, normals, faces and UVs."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layer:
    """What is of one material.

    Attributes:
        vertices: N,3 in centimetres, y up.
        normals: N,3.
        faces: M,3.
        uv: N,2, v up.
        texture: H,W,3 linear RGB in [0, 1].
        labels: H,W,3, red, green or blue of 1 where it is the first, second or third thing worn.
    """

    vertices: Floats
    normals: Floats
    faces: NDArray[np.uint32]
    uv: Floats
    texture: Floats
    labels: Floats


@dataclass(frozen=True)
class Person:
    """What a picture is of.

    Attributes:
        who: "woman", "man", "girl" or "boy".
        tone: which of `TONES` their skin has.
        worn: what the things worn are called, three at most.
        layers: what is seen, by material.
        face: the layer that is the face.
    """

    who: str
    tone: int
    worn: tuple[str, ...]
    layers: tuple[Layer, ...]
    face: Layer


def read_models(file: Path = MODELS) -> dict[str, bytes]:
    """The files of an archive of models, by their path in it.

    Raises:
        SourceError: it is missing or broken.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            infos = [info for info in archive.infolist() if info.file_size <= LARGEST]
            return {info.filename: archive.read(info) for info in infos}
    except BROKEN as error:
        raise SourceError(
            f"{file} is missing or cut short: install the package that docs/data.md names."
        ) from error


def draw(files: Mapping[str, bytes], model: str, rng: np.random.Generator) -> Person:
    """A person of a model, with skin, hair and the names of clothes drawn.

    Args:
        files: from `read_models`.
        model: one that `people.json` lists.
        rng: draws.

    Raises:
        SourceError: the archive lacks the model, or the model a material.
    """
    listed = json.loads(LIST.read_text(encoding="utf-8"))[model]
    parts = _load(files, model)
    clothes = [
        (material, zone, str(rng.choice(names))) for material, zone, names in listed["clothes"]
    ]
    if missing := {listed["face"], *listed["hair"], *(m for m, _, _ in clothes)} - parts.keys():
        raise SourceError(f"{model} lacks the material {min(missing)}: it is another version.")
    tone = int(rng.integers(len(TONES)))
    chances = np.array([often[tone] for _, often in HAIR])
    tint = HAIR[rng.choice(len(HAIR), p=chances / chances.sum())][0] * rng.uniform(0.7, 1.3, 1)
    skin = np.median(lab_of(_coded(parts[listed["face"]][1])).reshape(3, -1), axis=1)
    shade = TONES[tone] * rng.normal(1, 0.04, 3)
    layers: dict[str, Layer] = {}
    for name, (mesh, texture) in parts.items():
        bare = np.linalg.norm(lab_of(_coded(texture)) - skin[:, None, None], axis=0) < LIKE_SKIN
        bare |= name == listed["face"] or "skin" in name.lower()
        labels = np.zeros_like(texture)
        for number, (material, zone, _) in enumerate(clothes):
            if material == name:
                inside = _zone(zone, bare.shape)
                bare &= ~inside | (bare[inside].mean() < NECKLINE)
                labels[..., number] = inside & ~bare
        if name in listed["hair"]:
            labels[..., len(clothes)], texture = 1, _dyed(texture, tint)
        else:
            texture = np.where(bare[..., None], texture * shade, texture).clip(0, 1)
        layers[name] = Layer(*mesh, texture.astype(np.float32), labels)
    worn = (*(called for _, _, called in clothes), "hair")
    return Person(listed["who"], tone, worn, tuple(layers.values()), layers[listed["face"]])


def _load(files: Mapping[str, bytes], model: str) -> dict[str, tuple[_Mesh, Floats]]:
    """What is of each material, and its texture, H,W,3 linear RGB."""
    import trimesh
    from trimesh.resolvers import ZipResolver

    folder = f"{FOLDER}{model}/"
    inside = {name.removeprefix(folder): io.BytesIO(data) for name, data in files.items()}
    if f"{model}.obj" not in inside:
        raise SourceError(f"The archive of models holds no {folder}{model}.obj.")
    scene = trimesh.load_scene(
        inside[f"{model}.obj"],
        file_type="obj",
        resolver=ZipResolver(inside),
        group_material=True,
    )
    parts = {}
    for part in scene.geometry.values():
        material: Any = part.visual.material
        image = material.image
        texture = _linear(image) if image else np.full((1, 1, 3), 0.02, np.float32)
        uv = part.visual.uv if part.visual.uv is not None else part.vertices[:, :2] * 0
        normals = np.nan_to_num(part.vertex_normals)
        normals[np.linalg.norm(normals, axis=1) < 0.5] = [0, 1, 0]  # of faces without an area
        mesh = (
            part.vertices.astype(np.float32),
            normals.astype(np.float32),
            part.faces.astype(np.uint32),
            uv.astype(np.float32),
        )
        parts[material.name] = mesh, texture
    return parts


def _zone(zone: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a texture shows uppers, trousers, or "all", what its material is made for."""
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    zones = {
        "upper": y < MIDDLE,
        "lower": (y >= MIDDLE) & (x < TROUSERS),
        "all": np.ones(shape, bool),
    }
    return zones[zone]


def _linear(image: Image.Image) -> Floats:
    """H,W,3 linear RGB in [0, 1] of an sRGB picture."""
    coded = torch.from_numpy(np.asarray(image.convert("RGB"), np.float32) / 255)
    return rgb_to_linear_rgb(coded.movedim(-1, 0)).movedim(0, -1).numpy()


def _coded(linear: NDArray) -> NDArray[np.uint8]:
    """sRGB of linear RGB, H,W,3."""
    light = torch.from_numpy(linear.clip(0, 1).astype(np.float32))
    coded = linear_rgb_to_rgb(light.movedim(-1, 0)).movedim(0, -1)
    return (coded * 255).round().to(torch.uint8).numpy()


def _dyed(texture: Floats, tint: NDArray[np.float64]) -> Floats:
    """Hair in another color, its strands kept."""
    light = texture.mean(axis=-1, keepdims=True)
    return ((light / max(float(light.mean()), 1e-4)).clip(0.3, 2.5) * tint).clip(0, 1)


def render(person: Person, rng: np.random.Generator) -> tuple[str, Image.Image, Image.Image]:
    """Path-trace a person beneath an even sky and a large lamp.

    Returns:
        How much is seen, one of `FRAMES` or `WHOLE`; the picture, RGBA; and how much of a pixel
        each thing worn covers, RGB.
    """
    frame, sensor = _camera(person, rng)
    surfaces = [
        {"type": "principled", "base_color": _bitmap(layer.texture), "roughness": 0.6}
        for layer in person.layers
    ]
    lit = _trace(person, surfaces, _lights(person, rng), sensor, SAMPLES)
    labels = [
        {"type": "diffuse", "reflectance": _bitmap(_labelled(layer.labels))}
        for layer in person.layers
    ]
    even = {"sky": {"type": "constant", "radiance": _rgb(1, 1, 1)}}
    flat = _trace(person, labels, even, sensor, LABEL_SAMPLES)
    return frame, _developed(lit, rng), _shares(flat)


def _labelled(labels: Floats) -> Floats:
    """The colors that tell things worn apart: pure ones, and gray for all else."""
    return np.where(labels.any(axis=-1, keepdims=True), PURE * labels, GRAY)


def _camera(person: Person, rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """How much of the person is seen, and Mitsuba's sensor, less its samples, that sees it."""
    every = np.concatenate([layer.vertices for layer in person.layers])
    low, high = every.min(axis=0), every.max(axis=0)
    size, face = high - low, person.face.vertices
    unit = float(np.ptp(face[:, 1]))
    lies = size[1] < LYING * max(size[0], size[2])
    chances = (0, 0, 0, 1) if lies else (0.3, 0.3, 0.2, 0.2)
    frame = str(rng.choice([*FRAMES, WHOLE], p=chances))
    if frame == WHOLE:
        aim, span = (low + high) / 2, 1.15 * float(max(size[1], np.hypot(size[0], size[2])))
    else:
        span = unit * FRAMES[frame] * float(rng.uniform(0.85, 1.15))
        below = max(span / 2 - unit, 0)
        aim = (face.min(axis=0) + face.max(axis=0)) / 2 - [0, below, 0]
    ahead = person.face.normals.mean(axis=0)
    turn = np.arctan2(ahead[0], ahead[2]) + np.radians(np.clip(rng.normal(0, 30), -80, 80))
    distance = span * float(rng.uniform(1.8, 4))
    above = rng.normal(0.6 if lies else 0.08, 0.1)
    eye = aim + distance * np.array([np.sin(turn), above, np.cos(turn)])
    place = _mitsuba().ScalarTransform4f().look_at(eye.tolist(), aim.tolist(), [0, 1, 0])
    film = {"type": "hdrfilm", "width": HEIGHT, "height": HEIGHT, "pixel_format": "rgba"}
    fov = float(np.degrees(2 * np.arctan(span / 2 / distance)))
    return frame, {"type": "perspective", "fov": fov, "to_world": place, "film": film}


def _lights(person: Person, rng: np.random.Generator) -> dict[str, Any]:
    """A sky of any brightness, and a lamp to one side, warmer or colder than it."""
    face = person.face.vertices
    ahead, middle = person.face.normals.mean(axis=0), (face.min(axis=0) + face.max(axis=0)) / 2
    turn = np.arctan2(ahead[0], ahead[2]) + rng.uniform(-1.9, 1.9)
    away = 120 * np.array([np.sin(turn), rng.uniform(0.2, 1.1), np.cos(turn)])
    warm, blue, sky, lamp = *rng.normal(0, [0.06, 0.05]), *rng.uniform([0.25, 3], [0.9, 14])
    return {
        "sky": {"type": "constant", "radiance": _rgb(sky, sky, sky * (1 + blue))},
        "lamp": {
            "type": "sphere",
            "center": (middle + away).tolist(),
            "radius": float(rng.uniform(10, 30)),
            "emitter": {
                "type": "area",
                "radiance": _rgb(lamp * (1 + warm), lamp, lamp * (1 - warm)),
            },
        },
    }


def _rgb(red: float, green: float, blue: float) -> dict[str, Any]:
    return {"type": "rgb", "value": [float(red), float(green), float(blue)]}


def _bitmap(pixels: Floats) -> dict[str, Any]:
    bitmap = _mitsuba().Bitmap(np.ascontiguousarray(pixels, np.float32))
    return {"type": "bitmap", "bitmap": bitmap, "raw": True}


def _trace(
    person: Person,
    materials: Sequence[dict[str, Any]],
    lights: dict[str, Any],
    sensor: dict[str, Any],
    samples: int,
) -> Floats:
    """H,W,4 linear RGB, and how much of a pixel the person covers."""
    mitsuba = _mitsuba()
    scene = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 5, "rr_depth": 3, "hide_emitters": True},
        "sensor": sensor | {"sampler": {"type": "independent", "sample_count": samples}},
    }
    for index, (layer, material) in enumerate(zip(person.layers, materials, strict=True)):
        scene[f"layer-{index}"] = _shape(layer, {"type": "twosided", "of": material})
    loaded = mitsuba.load_dict(scene | lights, parallel=False)
    return np.array(mitsuba.render(loaded), np.float32)


def _shape(layer: Layer, material: dict[str, Any]) -> Any:
    """Mitsuba's mesh of a layer."""
    mitsuba = _mitsuba()
    properties = mitsuba.Properties()
    properties["mesh_bsdf"] = mitsuba.load_dict(material)
    shape = mitsuba.Mesh(
        "layer",
        len(layer.vertices),
        len(layer.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    values = mitsuba.traverse(shape)
    values["vertex_positions"] = layer.vertices.ravel()
    values["vertex_normals"] = layer.normals.ravel()
    values["vertex_texcoords"] = (layer.uv * [1, -1] + [0, 1]).astype(np.float32).ravel()
    values["faces"] = layer.faces.ravel()
    values.update()
    return shape


def _developed(lit: Floats, rng: np.random.Generator) -> Image.Image:
    """RGBA, sRGB: exposed so that the lightest twentieth is light."""
    inside = lit[..., 3] > 0.5
    light = lit[inside][:, :3].mean(axis=-1) if inside.any() else np.ones(1)
    exposed = lit[..., :3] * (rng.uniform(0.45, 0.95) / max(float(np.quantile(light, 0.95)), 1e-4))
    alpha = (lit[..., 3].clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(np.dstack([_coded(exposed), alpha]))


def _shares(flat: Floats) -> Image.Image:
    """RGB, how much of a pixel each thing covers, of a picture of labels in even light."""
    gray = flat[..., :3].min(axis=-1, keepdims=True)
    things = (flat[..., :3] - gray) / PURE
    whole = things.sum(axis=-1, keepdims=True) + gray / GRAY
    shares = things / whole.clip(1e-4) * flat[..., 3:].clip(0, 1)
    return Image.fromarray((shares.clip(0, 1) * 255).round().astype(np.uint8))


@cache
def _mitsuba() -> Any:
    """Mitsuba 3, in the variant that every machine can run."""
    import mitsuba

    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def collect(models: Path, out: Path, numbers: Sequence[int]) -> int:
    """Render the people of some numbers into `out`, those that are missing; how many these were.

    A number is of one model, and of one light and side that it is seen in.
    """
    out.mkdir(parents=True, exist_ok=True)
    files, names, made = read_models(models), list(json.loads(LIST.read_text("utf-8"))), 0
    for number in numbers:
        if any(out.glob(f"*-{number:04d}.json")):
            continue
        rng = np.random.default_rng(number)
        model = names[number % len(names)]
        person = draw(files, model, rng)
        frame, picture, parts = render(person, rng)
        name = f"{model}-{number:04d}"
        picture.save(out / f"{name}.png")
        parts.save(out / f"{name}.parts.png")
        about = {"who": person.who, "tone": person.tone, "frame": frame, "worn": person.worn}
        (out / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")
        made += 1
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Render people, on every core."""
    parser = argparse.ArgumentParser(prog="python -m lcad_nodes.scenes.people")
    parser.add_argument("--models", type=Path, default=MODELS, help="the archive of models")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--count", type=int, default=750, help="how many pictures")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cores = os.cpu_count() or 1
    shares = [range(first, options.count, cores) for first in range(cores)]
    with told_plainly(), ProcessPoolExecutor(cores) as pool:
        jobs = pool.map(collect, repeat(options.models), repeat(options.out), shares)
        logger.info("%d people rendered into %s", sum(jobs), options.out)


if __name__ == "__main__":
    main()
