"""ComfyUI's own page in a real browser, as a user has it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from comfyui_server import Server
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE = 240_000
"""How long anything in the page may take on a busy machine, in ms."""

GRAPH_IN_VIEW = """() => {
    const {scale, offset} = window.app.canvas.ds;
    const {nodes, groups} = window.app.rootGraph;
    const boxes = [...nodes, ...groups].map(part => [...part.boundingRect]);
    const x = Math.min(...boxes.map(b => b[0])) - 20;
    const y = Math.min(...boxes.map(b => b[1])) - 20;
    const width = Math.max(...boxes.map(b => b[0] + b[2])) + 20 - x;
    const height = Math.max(...boxes.map(b => b[1] + b[3])) + 20 - y;
    const [left, top] = [(x + offset[0]) * scale, (y + offset[1]) * scale];
    return {x: left, y: top, width: width * scale, height: height * scale};
}"""


class BrowserMissingError(RuntimeError):
    """There is no Chromium; the message says how to get it, and how to do without."""


def find_chromium() -> str:
    """Find the browser: `CHROMIUM` of the environment, else one on the path.

    Raises:
        BrowserMissingError: if there is none.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise BrowserMissingError(
            "the browser tests need Chromium: install it (on Debian: apt-get install chromium), "
            'or name it in CHROMIUM, or leave these tests out with -m "not browser"'
        )
    return found


class ComfyPage:
    """ComfyUI's page, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        # The browser's own line for a bad answer does not say of what; `_on_response` does.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.status} {response.url}")

    def start(self, address: str, **query: str) -> None:
        """Go to the page and wait until it is ready to be used."""
        options = "&".join(f"{name}={value}" for name, value in query.items())
        self.page.goto(f"http://{address}/?{options}")
        self.page.wait_for_function("window.app?.vueAppReady && window.app.rootGraphInternal")

    def open(self, workflow: dict[str, Any]) -> None:
        """Open a workflow as its file is opened, with the whole of it in view."""
        self.errors.clear()
        self.page.evaluate("workflow => window.app.loadGraphData(workflow, true, true)", workflow)
        self.command("Comfy.Canvas.FitView")
        self.page.wait_for_timeout(1000)  # it glides there
        self.page.wait_for_load_state("networkidle")

    def command(self, name: str) -> None:
        """Have the page do something that its menus offer."""
        self.page.evaluate("name => window.app.extensionManager.command.execute(name)", name)

    def node_types(self) -> list[str]:
        """List the nodes of the open workflow."""
        return self.page.evaluate("() => window.app.rootGraph.nodes.map(node => node.type)")

    def unknown_types(self) -> list[str]:
        """List those of them that the page does not know."""
        return self.page.evaluate(
            "types => types.filter(type => !(type in window.LiteGraph.registered_node_types))",
            self.node_types(),
        )

    def saved(self) -> dict[str, Any]:
        """Return what the page would write into the open workflow's file."""
        return self.page.evaluate(
            "() => JSON.parse(JSON.stringify(window.app.rootGraph.serialize()))"
        )

    def prompt(self) -> dict[str, Any]:
        """Return what the page would have the server run."""
        return self.page.evaluate("async () => (await window.app.graphToPrompt()).output")

    def set_widget(self, node_type: str, name: str, value: Any) -> None:
        """Write something into a node of the open workflow."""
        self.page.evaluate(
            """([type, name, value]) => {
                const node = window.app.rootGraph.nodes.find(node => node.type === type);
                node.widgets.find(widget => widget.name === name).value = value;
            }""",
            [node_type, name, value],
        )

    def run(self) -> None:
        """Press Run."""
        self.page.get_by_test_id("queue-button").click()

    def run_to_picture(self) -> dict[str, str]:
        """Press Run, and return the file that the workflow has saved once the page shows it."""
        self.run()
        shown = self.page.wait_for_function(
            """() => window.app.lastExecutionError ?? window.app.rootGraph.nodes
                .filter(node => node.type === 'SaveImage' && node.imgs?.[0]?.naturalWidth)
                .map(node => window.app.nodeOutputs[node.id].images[0])[0]"""
        )
        return shown.json_value()

    def screenshot(self, path: Path, graph_only: bool = False) -> None:
        """Take a picture of the page, or of the open workflow alone."""
        clip = None
        if graph_only:
            clip = self.page.evaluate(GRAPH_IN_VIEW)
        self.page.screenshot(path=path, clip=clip)


@contextmanager
def browse(server: Server) -> Iterator[ComfyPage]:
    """Have a page for the server for as long as the context lasts; it reaches nothing else."""
    server.request("settings", {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        yield new_page(browser, server)
        browser.close()


def new_page(browser: Browser, server: Server) -> ComfyPage:
    """Have a page as on a first visit: without what other pages have opened."""
    page = browser.new_context(viewport={"width": 1600, "height": 900}).new_page()
    page.route(lambda url: urlsplit(url).netloc != server.address, _answer_nothing)
    return ComfyPage(page)


def _answer_nothing(route: Route) -> None:
    route.fulfill(json=[])
