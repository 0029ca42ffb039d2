"""ComfyUI in the browser, with the pack and its starter workflow."""

import logging
import shutil
import time
from pathlib import Path
from typing import NoReturn

from .demo import show
from .server import (
    PACK,
    ROOT,
    ServerError,
    is_taken,
    lay_out,
    offer_models,
    run_server,
    without_gpu,
)

STARTER = "words"

logger = logging.getLogger(__name__)


def serve(comfyui: Path, base: Path, port: int, *, cpu: bool) -> NoReturn:
    """Run ComfyUI until Ctrl-C.

    Args:
        comfyui: ComfyUI's folder, which is only read; its models are offered.
        base: where workflows, inputs and results are kept.
        port: where it listens.
        cpu: without a GPU even where there is one.

    Raises:
        ServerError: if the port is taken, or the server does not start or stops by itself.
    """
    if is_taken(port):
        raise ServerError(f"Port {port} is taken: choose another with --port.")
    lay_out(base)
    for picture in (ROOT / "photos").iterdir():
        if picture.suffix != ".md" and not (base / "input" / picture.name).exists():
            shutil.copy(picture, base / "input")
    models = (comfyui / "models").resolve()
    kinds = {folder.name: folder for folder in models.glob("*") if folder.is_dir()}
    cpu = without_gpu(cpu=cpu)
    logger.info("Starting ComfyUI; your workflows and results are kept in %s", base)
    with run_server(comfyui, base, port=port, cpu=cpu, options=offer_models(base, kinds)) as server:
        page = f"http://{server.address}/?template={STARTER}&source={PACK}"
        logger.info(
            "\nComfyUI is at %s\nMore workflows: Browse Templates, %s. Ctrl-C ends it.", page, PACK
        )
        show(page)
        while server.process.poll() is None:  # wait() would keep Ctrl-C off on Windows
            time.sleep(0.2)
    raise ServerError("ComfyUI has stopped by itself; what it said is above.")
