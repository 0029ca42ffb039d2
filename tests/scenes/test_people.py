"""People rendered, and read as what scenes paint."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lcad_nodes.scenes import people
from lcad_nodes.scenes.dressed import PeopleError, read_people
from lcad_nodes.scenes.packages import SourceError
from lcad_nodes.scenes.people import LIST, collect, draw, read_models, render

SKIN, CLOTH = (190, 130, 105), (40, 60, 150)
CORNERS = [(x, y, z) for x in (-1, 1) for y in (0, 1) for z in (-1, 1)]
SIDES = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]


def box(number: int, low: float, high: float, places: str) -> str:
    """A box between two heights, as a part of an OBJ; `places` are its rows of UVs."""
    corners = [(15 * x, low + (high - low) * y, 15 * z) for x, y, z in CORNERS]
    vertices = [f"v {x} {y} {z}" for x, y, z in corners]
    first, ends = 8 * number, places.split()
    faces = [
        "f " + " ".join(f"{first + i}/{uv}" for i, uv in zip(side, ends, strict=True))
        for side in SIDES
    ]
    return "\n".join([*vertices, *faces])


def model(listed: dict) -> dict[str, str]:
    """An OBJ and its materials: a face above hair, an upper and trousers of one texture or two."""
    spans = {
        "face": [(150, 170)],
        "hair": [(170, 175), (175, 177)][: len(listed["hair"])],
        "clothes": [(90, 150), (0, 90)][: len(listed["clothes"])],
    }
    clothes = [material for material, _, _ in listed["clothes"]]
    materials = [listed["face"], *listed["hair"], *clothes]
    rows = ["1 2 3 4"] * len(materials)
    if listed["clothes"][-1][1] == "lower":
        rows[-1] = "5 6 7 8"  # the lower half of the texture, to the left
    uvs = [(0.1, 0.6), (0.4, 0.6), (0.4, 0.9), (0.1, 0.9), (0.1, 0.1), (0.4, 0.1), (0.4, 0.4)]
    lines = [f"vt {u} {v}" for u, v in [*uvs, (0.1, 0.4)]]
    for number, (material, (low, high), row) in enumerate(
        zip(materials, [*spans["face"], *spans["hair"], *spans["clothes"]], rows, strict=True)
    ):
        lines += [f"usemtl {material}", box(number, low, high, row)]
    textures = {material: "cloth.png" for material in materials} | {listed["face"]: "skin.png"}
    mtl = "\n".join(f"newmtl {name}\nKd 1 1 1\nmap_Kd {file}" for name, file in textures.items())
    return {"obj": "mtllib m.mtl\n" + "\n".join(lines), "mtl": mtl}


def texture(color: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a figure of boxes for every model that is listed."""
    file = tmp_path_factory.mktemp("models") / "models.sh3f"
    with zipfile.ZipFile(file, "w") as written:
        for name, listed in json.loads(LIST.read_text(encoding="utf-8")).items():
            made = model(listed)
            written.writestr(f"reallusion/{name}/{name}.obj", made["obj"])
            written.writestr(f"reallusion/{name}/m.mtl", made["mtl"])
            written.writestr(f"reallusion/{name}/skin.png", texture(SKIN))
            written.writestr(f"reallusion/{name}/cloth.png", texture(CLOTH))
    return file


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "HEIGHT", 48)
    monkeypatch.setattr(people, "SAMPLES", 4)


@pytest.mark.parametrize("name", json.loads(LIST.read_text(encoding="utf-8")))
def test_every_listed_person_can_be_drawn(archive: Path, name: str) -> None:
    listed = json.loads(LIST.read_text(encoding="utf-8"))[name]
    person = draw(read_models(archive), name, np.random.default_rng(0))
    assert person.who in {"woman", "man", "girl", "boy"}
    assert (
        person.who in name.lower() or {"woman": "female", "man": "male"}[person.who] in name.lower()
    )
    assert len(person.worn) == len(listed["clothes"]) + 1 <= 3
    assert person.worn[-1] == "hair"
    for called, (_, _, names) in zip(person.worn, listed["clothes"], strict=False):
        assert called in names


def test_skin_is_of_any_tone_and_clothes_keep_their_colors(archive: Path) -> None:
    files = read_models(archive)
    drawn = [draw(files, "male01", np.random.default_rng(seed)) for seed in range(40)]
    light = [float(person.face.texture.mean()) for person in drawn]
    assert max(light) > 4 * min(light)
    clothes = [
        layer.texture for person in drawn for layer in person.layers if layer.labels[..., 0].any()
    ]
    assert len(clothes) == 40
    assert all(np.array_equal(texture, clothes[0]) for texture in clothes)


def test_uppers_and_trousers_of_one_texture_are_told_apart(archive: Path) -> None:
    person = draw(read_models(archive), "male01", np.random.default_rng(0))
    worn = next(layer for layer in person.layers if layer.labels[..., 0].any())
    assert worn.labels[:8, :, 0].all()
    assert worn.labels[8:, :9, 1].all()
    assert not worn.labels[8:, 10:].any()  # shoes and hands
    assert (worn.labels.sum(axis=-1) <= 1).all()


def test_a_picture_shows_where_each_thing_is(archive: Path) -> None:
    files = read_models(archive)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        frame, picture, parts = render(draw(files, "male01", rng), rng)
        outline, shares = np.asarray(picture)[..., 3].astype(int), np.asarray(parts).astype(int)
        assert frame in {*people.FRAMES, people.WHOLE}
        assert 0.03 < (outline > 127).mean() < 1
        beyond = shares.sum(axis=-1) > outline + 60  # both are noisy where the outline is
        assert beyond.mean() < 0.005
        rows = [np.nonzero(shares[..., part].max(axis=1) > 200)[0] for part in range(3)]
        assert len(rows[2])
        assert len(rows[0])
        assert rows[2].mean() < rows[0].mean()  # hair above the jacket
        blue = np.asarray(picture).astype(int)[shares[..., 0] > 250]
        assert (blue[:, 2] > blue[:, 0]).all()


def test_rendered_people_are_read_with_what_they_wear(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert collect(archive, tmp_path, range(8)) == 8
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert collect(archive, tmp_path, range(8)) == 0
    victim = min(tmp_path.glob("*.json"))
    victim.with_suffix(".png").write_bytes(b"no picture")
    read = [*read_people([tmp_path], "train"), *read_people([tmp_path], "held_out")]
    assert len(read) == 7
    assert str(victim) in caplog.text
    for person in read:
        assert person.worn
        for thing in person.worn:
            assert thing.shading.size == person.image.size
            covered = np.asarray(thing.shading.getchannel("A")) > 127
            assert covered.mean() > 0.02
            assert np.asarray(person.image.getchannel("A"))[covered].mean() > 200
    about = json.loads(victim.read_text(encoding="utf-8"))
    victim.with_suffix(".png").write_bytes(before[victim.with_suffix(".png")])
    victim.write_text(json.dumps(about | {"tone": 9}), encoding="utf-8")
    assert len([*read_people([tmp_path], "train"), *read_people([tmp_path], "held_out")]) == 7
    victim.unlink()
    assert collect(archive, tmp_path, range(8)) == 1
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_mirror_keeps_things_on_the_person(archive: Path, tmp_path: Path) -> None:
    collect(archive, tmp_path, range(3))
    person = read_people([tmp_path], "train")[0]
    mirrored = person.changed(ImageOps.mirror)
    np.testing.assert_array_equal(np.asarray(mirrored.image), np.asarray(person.image)[:, ::-1])
    for one, other in zip(person.worn, mirrored.worn, strict=True):
        np.testing.assert_array_equal(np.asarray(other.shading), np.asarray(one.shading)[:, ::-1])


def test_what_is_missing_is_named(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(PeopleError, match=f"no people of the split 'train' in {tmp_path}"):
        read_people([tmp_path], "train")
    with pytest.raises(SourceError, match=r"none\.sh3f is missing or cut short: install"):
        read_models(tmp_path / "none.sh3f")
    (tmp_path / "cut.sh3f").write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(SourceError, match=r"cut\.sh3f is missing or cut short"):
        read_models(tmp_path / "cut.sh3f")
    files = read_models(archive)
    del files["reallusion/male01/male01.obj"]
    with pytest.raises(SourceError, match=r"holds no reallusion/male01/male01\.obj"):
        draw(files, "male01", np.random.default_rng(0))
    files["reallusion/male01/male01.obj"] = files["reallusion/holdingMale01/holdingMale01.obj"]
    with pytest.raises(SourceError, match="male01 lacks the material"):
        draw(files, "male01", np.random.default_rng(0))


def test_hair_keeps_its_strands_in_another_color() -> None:
    strands = np.full((4, 4, 3), 0.2, np.float32)
    strands[:2] = 0.4
    dyed = people._dyed(strands, np.array([0.3, 0.2, 0.1]))
    np.testing.assert_allclose(dyed[0, 0] / dyed[3, 0], [2, 2, 2], rtol=1e-3)
    np.testing.assert_allclose(dyed.mean(axis=(0, 1)), [0.3, 0.2, 0.1], rtol=1e-3)
