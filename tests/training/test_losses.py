"""What stage 1 is judged by: LPIPS from a file, and the two sides of the adversarial loss."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from vgg16_file import write_vgg16

from lcad_nodes.training.config import ConfigError
from lcad_nodes.training.losses import VGG16, Discriminator, adaptive_weight, hinge, load_lpips


def test_lpips_reads_its_backbone_from_a_file(tmp_path: Path) -> None:
    write_vgg16(tmp_path / "vgg16.safetensors")
    lpips = load_lpips(tmp_path / "vgg16.safetensors")
    last = lpips.net.slice5[-2].weight  # pyright: ignore
    assert torch.equal(last, load_file(tmp_path / "vgg16.safetensors")["features.28.weight"])
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    assert lpips(image, image).item() == 0
    distance = lpips(image, 1 - image.detach())
    distance.backward()
    assert distance.item() > 0
    assert image.grad is not None
    assert image.grad.abs().max() > 0


def test_a_wrong_backbone_is_named(tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    shapeless = {f"features.{index}.{kind}": torch.zeros(1) for index, kind in VGG16}
    save_file(shapeless, tmp_path / "shapeless.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "cut.pth").write_bytes(b"\x80\x02X\xff\xff\xff\xff")
    names = ("other.safetensors", "shapeless.safetensors", "list.pth", "empty.pth", "cut.pth")
    for name in (*names, "missing.pth"):
        with pytest.raises(ConfigError, match=f"lpips_backbone: .*{name}"):
            load_lpips(tmp_path / name)


def test_judging_teaches_the_discriminator_nothing() -> None:
    discriminator = Discriminator(32)
    decoded = torch.rand(1, 3, 32, 32, requires_grad=True)
    judged = discriminator.judge(decoded)
    assert torch.equal(judged, discriminator(decoded))
    judged.mean().backward()
    assert decoded.grad is not None
    assert decoded.grad.abs().max() > 0
    assert all(p.grad is None for p in discriminator.parameters())


def test_hinge_asks_for_no_more_than_a_margin_of_one() -> None:
    assert hinge(torch.tensor([1.0, 5.0]), torch.tensor([-1.0, -5.0])) == 0
    assert hinge(torch.tensor([0.0]), torch.tensor([1.0])) == 1.5


def test_a_discriminator_learns_to_tell_real_from_decoded() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(32)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3)
    real, decoded = torch.rand(4, 3, 32, 32) * 2 - 1, torch.zeros(4, 3, 32, 32)
    loss = torch.ones(())
    for _ in range(10):
        optimizer.zero_grad()
        loss = hinge(discriminator(real), discriminator(decoded))
        loss.backward()
        optimizer.step()
    assert loss < 0.2


def test_the_adaptive_weight_is_the_ratio_of_gradients_by_the_last_weights() -> None:
    layer = nn.Conv2d(8, 3, 3, padding=1)
    decoded = layer(torch.rand(2, 8, 16, 16))
    losses = decoded.abs().mean(), decoded.square().mean()
    first, second = (
        torch.autograd.grad(loss, layer.weight, retain_graph=True)[0].norm() for loss in losses
    )
    weight = adaptive_weight(*losses, layer.weight, decoded.numel())
    assert weight.item() == pytest.approx((first / (second + 1e-4)).item(), rel=1e-4)


def test_half_precision_leaves_the_adaptive_weight_as_it_is() -> None:
    layer, judge = nn.Conv2d(8, 3, 3, padding=1), nn.Conv2d(3, 8, 3)
    features = torch.rand(4, 8, 256, 256, requires_grad=True)
    weights = []
    for half in (False, True):
        with torch.autocast("cpu", torch.float16, enabled=half):
            decoded = layer(features).float()
            judged = 0.03 * judge(decoded).float().square().mean()
            weight = adaptive_weight(judged, decoded.mean(), layer.weight, decoded.numel())
            weights.append(weight.item())
    assert weights[1] == pytest.approx(weights[0], rel=0.05)
