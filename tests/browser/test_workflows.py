"""The workflows in ComfyUI's own page: in Chromium, against the real server.

With LCAD_RENEW=1 in the environment, the same run writes anew what is made from it: the workflows
as the page saves them, the pictures of their results beside them, and the screenshots in docs/.
"""

import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from comfyui_page import BrowserMissingError, ComfyPage, browse, find_chromium, new_page
from comfyui_server import PACK, ROOT, Server
from PIL import Image
from safetensors.torch import save_file

from lcad_nodes.host.loading import load_checkpoint

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RENEW = os.environ.get("LCAD_RENEW") == "1"
STEPS = 20 if RENEW else 4  # enough to see that it runs; how the picture looks is held elsewhere
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
MINI = "lcad-mini.safetensors"
CONTROL = "control_v11p_sd15_canny_fp16.safetensors"
LARGEST_PICTURE = 120_000  # bytes
LARGEST_SCREENSHOT = 600_000

FRAMES = {
    "variations": (1, (1032, 776)),
    "clip_frames": (8, (256, 192)),
    "inspect": (1, (1032, 424)),
}
"""How many pictures come of a workflow, and of which size, where it is not one like the photo."""


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[ComfyPage]:
    """The page, come to by the link that opens the starter workflow from the templates."""
    argv = server.request("system_stats")["system"]["argv"]
    base = Path(argv[argv.index("--base-directory") + 1])
    write_controlnet(base / "models" / "controlnet" / CONTROL)
    with browse(server) as page:
        start_with_starter(page, server)
        yield page


def start_with_starter(page: ComfyPage, server: Server) -> None:
    page.start(server.address, template="words", source=PACK)
    page.page.wait_for_function(
        "() => window.app.rootGraph.nodes.some(node => node.type === 'LCAD_Colorize')"
    )


def write_controlnet(path: Path) -> None:
    """Write a ControlNet of lcad-mini's widths that changes nothing, in place of a trained one."""
    import comfy.cldm.cldm
    import comfy.ops

    model = load_checkpoint(str(ROOT / "lcad_nodes" / "weights" / MINI)).model
    config = dict(model.model.model_config.unet_config)
    del config["out_channels"]
    network = comfy.cldm.cldm.ControlNet(
        **(config | {"in_channels": 4, "hint_channels": 3, "dtype": torch.float16}),
        operations=comfy.ops.disable_weight_init,
    )
    zeros = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(zeros, path)


@dataclass
class Opened:
    """A workflow after the page has opened it."""

    name: str
    errors: list[str]
    unknown_types: list[str]
    node_types: list[str]
    saved: dict[str, Any]
    prompt: dict[str, Any]


@pytest.fixture(scope="module", params=NAMES)
def opened(request: pytest.FixtureRequest, page: ComfyPage) -> Opened:
    """Each workflow in turn, opened once for all the tests."""
    page.open(read(request.param))
    return Opened(
        request.param,
        list(page.errors),
        page.unknown_types(),
        page.node_types(),
        page.saved(),
        page.prompt(),
    )


@pytest.fixture
def screenshot(tmp_path: Path) -> Callable[..., None]:
    """Take a screenshot, for docs/screenshots/ where those are renewed."""

    def take(page: ComfyPage, name: str, graph_only: bool = False) -> None:
        path = (ROOT / "docs" / "screenshots" if RENEW else tmp_path) / f"{name}.png"
        page.screenshot(path, graph_only)
        Image.open(path).convert("RGB").save(path, optimize=True)
        assert path.stat().st_size < LARGEST_SCREENSHOT

    return take


def lasting(workflow: dict[str, Any]) -> dict[str, Any]:
    """What of a file says what the workflow is: not the view of it, nor sizes, which fonts set."""
    nodes = [
        {key: value for key, value in node.items() if key not in ("size", "order")}
        for node in workflow["nodes"]
    ]
    return {"nodes": nodes, "links": workflow["links"]}


def test_it_opens_without_an_error(opened: Opened) -> None:
    assert opened.errors == []
    assert opened.unknown_types == []
    assert "MarkdownNote" in opened.node_types


def test_the_file_is_what_the_page_saves(opened: Opened) -> None:
    assert opened.saved["id"] == read(opened.name)["id"]
    if RENEW:
        text = json.dumps(opened.saved, indent=1, ensure_ascii=False)
        (FOLDER / f"{opened.name}.json").write_text(text + "\n", encoding="utf-8")
    assert lasting(read(opened.name)) == lasting(opened.saved), "renew it with LCAD_RENEW=1"


def with_what_is_shipped(prompt: dict[str, Any]) -> dict[str, Any]:
    """Replace the models that do not come with the pack.

    lcad-mini with its own settings for the published checkpoint, masks that are in files for
    those that SAM 3 finds; the ControlNet is the one of `write_controlnet`.
    """
    mini = {"ckpt_name": MINI, "cfg": 3, "steps": STEPS}
    for node in list(prompt.values()):
        if node["class_type"] == "SAM3_Detect":
            node["class_type"] = "BatchMasksNode"
            node["inputs"] = {"masks.mask0": ["mug", 0], "masks.mask1": ["pot", 0]}
        elif node["class_type"] != "CheckpointLoaderSimple":
            node["inputs"] |= {name: mini[name] for name in mini if name in node["inputs"]}
    masks = {
        name: {
            "class_type": "LoadImageMask",
            "inputs": {"image": f"tea-{name}.png", "channel": "alpha"},
        }
        for name in ("mug", "pot")
    }
    return prompt | masks


def pictures(server: Server, events: list[dict[str, Any]]) -> list[Image.Image]:
    """Fetch what a workflow has saved: a picture, or the frames of a clip."""
    assert events[-1]["type"] == "execution_success", events[-1]["data"]
    files = [
        file
        for event in events
        if event["type"] == "executed"
        for file in (event["data"]["output"] or {}).get("images", [])
        if file["type"] == "output"
    ]
    (content,) = [server.file(file) for file in files]
    if content[4:8] == b"ftyp":
        with av.open(io.BytesIO(content)) as clip:
            return [frame.to_image() for frame in clip.decode(video=0)]
    return [Image.open(io.BytesIO(content)).convert("RGB")]


def colorfulness(picture: Image.Image) -> float:
    """Share of pixels that are not gray."""
    channels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(-1, 3).int()
    return (channels.amax(1) - channels.amin(1) > 8).float().mean().item()


def test_it_runs_to_a_picture_in_color(opened: Opened, server: Server) -> None:
    found = pictures(server, server.run(with_what_is_shipped(opened.prompt)))
    assert (len(found), found[0].size) == FRAMES.get(opened.name, (1, (640, 480)))
    assert min(map(colorfulness, found)) > 0.1
    if RENEW:
        found[0].save(FOLDER / f"{opened.name}.jpg", quality=85)
    beside = FOLDER / f"{opened.name}.jpg"
    assert beside.stat().st_size < LARGEST_PICTURE
    assert Image.open(beside).format == "JPEG"


def test_all_are_among_the_templates(server: Server) -> None:
    assert sorted(server.request("workflow_templates")[PACK]) == NAMES


def test_the_starter_runs_to_a_picture_by_its_button(
    page: ComfyPage, server: Server, screenshot: Callable[..., None]
) -> None:
    browser = page.page.context.browser
    assert browser is not None
    first = new_page(browser, server)
    start_with_starter(first, server)
    first.errors.clear()  # a first visit asks for settings of the user that are not there yet
    first.command("Comfy.Canvas.FitView")
    first.set_widget("LCAD_Colorize", "steps", STEPS)
    file = first.run_to_picture()
    assert first.errors == []
    assert colorfulness(Image.open(io.BytesIO(server.file(file))).convert("RGB")) > 0.1
    screenshot(first, "page")
    first.page.context.close()


def test_the_words_of_each_mask_are_shown_on_the_node(
    page: ComfyPage, screenshot: Callable[..., None]
) -> None:
    page.open(read("objects_with_masks"))
    page.set_widget("LCAD_Sample", "steps", STEPS)
    page.run_to_picture()
    page.page.wait_for_function(
        "() => window.app.rootGraph.nodes.find(n => n.type === 'LCAD_Instances').imgs?.length"
    )
    assert page.errors == []
    page.command("Comfy.Canvas.FitView")
    page.page.wait_for_timeout(1000)
    screenshot(page, "objects_with_masks", graph_only=True)


def test_a_broken_input_shows_its_message_on_its_node(
    page: ComfyPage, screenshot: Callable[..., None]
) -> None:
    page.open(read("objects_with_masks"))
    page.set_widget("LCAD_Instances", "phrases", "a red mugg\na blue teapot")
    page.run()
    page.page.get_by_test_id("error-overlay-see-errors").click()
    message = page.page.get_by_text("'a red mugg' is not in the text").first
    message.wait_for()
    failed = page.page.evaluate("() => window.app.lastExecutionError.node_id")
    (instances,) = [n for n in page.saved()["nodes"] if n["type"] == "LCAD_Instances"]
    assert str(instances["id"]) == failed
    screenshot(page, "error")


def test_a_machine_without_chromium_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(BrowserMissingError, match=r"apt-get install chromium.*not browser"):
        find_chromium()
