"""Models as exporters write them: they do as their source, and PyTorch's compilers take them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.adapters.graphs import model, normal
from tests.adapters.pytorch.importer import run
from xbench.errors import UnsupportedNodeError
from xbench_adapters.pytorch import import_onnx

if TYPE_CHECKING:
    from pathlib import Path

Made = tuple[nn.Module, tuple[torch.Tensor, ...]]
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


def tokens() -> torch.Tensor:
    return torch.arange(16).reshape(2, 8) * 3 % 50


def bert() -> Made:
    from transformers import BertConfig, BertModel

    config = BertConfig(**SMALL, vocab_size=50, max_position_embeddings=32)
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    return BertModel(config), (tokens(), mask)


def gpt2() -> Made:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=50, n_positions=32, use_cache=False
    )
    return GPT2LMHeadModel(config), (tokens(),)


def vit() -> Made:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(**SMALL, image_size=32, patch_size=8)
    return ViTForImageClassification(config), (torch.from_numpy(normal(2, 3, 32, 32)),)


def resnet() -> Made:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    return ResNetForImageClassification(config), (torch.from_numpy(normal(2, 3, 64, 64)),)


class Tagger(nn.Module):
    """A bidirectional LSTM over embedded tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 12)
        self.lstm = nn.LSTM(12, 16, num_layers=2, bidirectional=True, batch_first=True)
        self.tags = nn.Linear(32, 7)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(self.words(ids))
        scores: torch.Tensor = self.tags(hidden)
        return scores


class Mixed(nn.Module):
    """What encoders, decoders and detectors are made of, at a small size."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.MaxPool2d(2)
        )
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Conv2d(7, 6, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        deep = self.up(self.down(image))
        wide = nn.functional.interpolate(image, scale_factor=0.5, mode="bilinear")
        wide = nn.functional.interpolate(wide, size=image.shape[2:], mode="nearest")
        scores = self.head(torch.cat([deep, wide], 1)).flatten(2).transpose(1, 2)
        centre, size = scores[..., :2].sigmoid(), scores[..., 2:4].exp()
        return torch.cat([centre - size / 2, centre + size / 2], -1), scores[..., 4:].softmax(-1)


def tagger() -> Made:
    return Tagger(), (tokens(),)


def mixed() -> Made:
    return Mixed(), (torch.from_numpy(normal(2, 3, 16, 16)),)


MODELS: dict[str, Callable[[], Made]] = {
    "bert": bert, "gpt2": gpt2, "vit": vit, "resnet": resnet, "tagger": tagger, "mixed": mixed
}  # fmt: skip


def source(name: str) -> Made:
    torch.manual_seed(0)
    module, inputs = MODELS[name]()
    return module.eval(), inputs


def exported(name: str, opset: int) -> onnx.ModelProto:
    module, inputs = source(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(module, inputs, dynamo=True, opset_version=opset, verbose=False)
    assert program is not None
    return program.model_proto


def outputs(module: Callable[..., Any], inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    with torch.inference_mode():
        found: Any = module(*inputs)
    if isinstance(found, torch.Tensor):
        return [found]
    return list(found.values() if hasattr(found, "values") else found)


def assert_same(wanted: list[torch.Tensor], found: list[torch.Tensor]) -> None:
    for want, have in zip(wanted, found, strict=True):
        torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module", params=[(name, opset) for name in MODELS for opset in (18, 20)])
def made(request: pytest.FixtureRequest) -> tuple[str, torch.fx.GraphModule]:
    name, opset = request.param
    return name, import_onnx(exported(name, opset))


def test_an_exported_model_does_as_its_source_does(made: tuple[str, torch.fx.GraphModule]) -> None:
    module, inputs = source(made[0])
    assert_same(outputs(module, inputs), outputs(made[1], inputs))


def test_torch_export_takes_it(made: tuple[str, torch.fx.GraphModule]) -> None:
    inputs = source(made[0])[1]
    program = torch.export.export(made[1], inputs)
    assert_same(outputs(made[1], inputs), outputs(program.module(), inputs))


def test_attention_and_gelu_of_transformers_are_native(
    made: tuple[str, torch.fx.GraphModule],
) -> None:
    targets = " ".join(str(node.target) for node in made[1].graph.nodes)
    if made[0] in ("bert", "gpt2", "vit"):
        assert targets.count("scaled_dot_product_attention") == 2
        assert targets.count("gelu") == 2
        assert "softmax" not in targets
    assert not made[1].training
    assert not any(one.requires_grad for one in made[1].parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "mixed", "tagger"])
def test_torch_compile_takes_it_whole(name: str) -> None:
    module, inputs = import_onnx(exported(name, 20)), source(name)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inductor's own, of this machine
        compiled = torch.compile(module, fullgraph=True, dynamic=False)
        found = outputs(compiled, inputs)
    assert_same(outputs(module, inputs), found)


def test_shapes_bind_open_dimensions() -> None:
    module, inputs = source("vit")
    batch = torch.export.Dim("batch", min=1, max=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(
            module, inputs, dynamo=True, opset_version=20, verbose=False,
            dynamic_shapes=({0: batch},),
            input_names=["image"],
        )  # fmt: skip
    assert program is not None
    three = torch.from_numpy(normal(3, 3, 32, 32, seed=1))
    bound = import_onnx(program.model_proto, {"image": (3, 3, 32, 32)})
    assert_same(outputs(module, (three,)), outputs(bound, (three,)))


def test_external_weights_are_copied_once_and_the_file_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "vit.onnx"
    onnx.save(
        exported("vit", 20), path, save_as_external_data=True, location="vit.bin", size_threshold=0
    )
    imported = import_onnx(path)
    for file in tmp_path.iterdir():
        file.unlink()
    module, inputs = source("vit")
    assert_same(outputs(module, inputs), outputs(imported, inputs))


def test_one_unsupported_node_refuses_the_model_by_its_name() -> None:
    whole = exported("mixed", 20)
    node = whole.graph.node[0]
    node.op_type, node.domain, node.name = "Mystery", "elsewhere", "first"
    whole.opset_import.append(onnx.helper.make_opsetid("elsewhere", 3))
    with pytest.raises(UnsupportedNodeError) as caught:
        import_onnx(whole)
    error = caught.value
    assert (error.node, error.operator, error.version) == ("first", "elsewhere::Mystery", 3)


def test_weights_are_held_as_pytorch_holds_its_own() -> None:
    for parameter in import_onnx(exported("bert", 20)).parameters():
        assert parameter.is_contiguous()
        assert parameter.data_ptr() % 64 == 0
        assert np.isfinite(parameter.numpy()).all()


@pytest.mark.parametrize("name", ["graph", "code", "meta", "forward", "training", "class", "0.w"])
def test_weights_may_have_any_name(name: str) -> None:
    """Modules have attributes of their own, which a weight must not take the place of."""
    nodes = [onnx.helper.make_node("Add", ["x", name], ["y"], name="recompile")]
    nodes.append(onnx.helper.make_node("Gemm", ["y", "w"], ["z"], name="graph"))
    whole = model(nodes, {"x": normal(2, 3)}, ["z"], {name: normal(3), "w": normal(3, 4)})
    module = import_onnx(whole)
    (found,) = run(module, {"x": normal(2, 3)})
    np.testing.assert_allclose(found, (normal(2, 3) + normal(3)) @ normal(3, 4), atol=1e-5)
    assert module.meta["xbench"]["nodes"] == 2
