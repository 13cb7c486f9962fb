"""Any architecture that transformers has, as its default config makes it, with seeded weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xbench.errors import ModelError, UnknownNameError
from xbench.units import format_bytes
from xbench_models.factory import one_line
from xbench_models.pytorch.health import calibrate
from xbench_models.quiet import quiet

if TYPE_CHECKING:
    from xbench_models.pytorch.recipe import Axes, MadeOpen

PLAIN_ATTENTION = "eager"  # the fused one exports as a softmax guarded against NaN
BATCH = 2
SEQUENCE = 64  # tokens, or half as many as the model takes at most
IMAGE_SIZE = 224  # pixels, where the config does not say
SOUND_SAMPLES = 16_000  # a second of sound
COPIES = 3  # of the weights: the module, the file, and the runtime that it is checked by
WRITE_ONE = "Write a factory that returns `(module, example_inputs)`, and give module:factory"


def maker(name: str) -> Callable[[], MadeOpen]:
    """Return what makes the model of a config's, a model's or a model type's name.

    Raises:
        UnknownNameError: If transformers has none of that name.
    """
    from transformers import CONFIG_MAPPING

    with quiet():
        config, model = _classes(name)
    if config is None:
        known = tuple(CONFIG_MAPPING.keys())
        raise UnknownNameError("model of transformers", name, known, "transformers.CONFIG_MAPPING")
    return lambda: _make(name, config, model)


class Named(nn.Module):
    """A model of transformers that returns the tensors of its answer by name, and no more."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Return each output that is a tensor, in the model's own order."""
        found = self.model(**inputs, return_dict=True)
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _classes(name: str) -> tuple[Any, Any]:
    """Return the class of the config, and that of the model if the name says; or None of both."""
    import transformers
    from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

    for kind in (name, name.replace("_", "-")):
        if kind in CONFIG_MAPPING:
            return CONFIG_MAPPING[kind], None
    found: Any = getattr(transformers, name, None)
    is_class = isinstance(found, type)
    if is_class and issubclass(found, PreTrainedConfig):
        return found, None
    if is_class and issubclass(found, PreTrainedModel):
        return found.config_class, found
    return None, None


def _make(name: str, config_class: Any, model_class: Any) -> MadeOpen:
    try:
        with quiet():
            _refuse_huge(name, _model(config_class(), model_class, device="meta"))
            model = _model(config_class(), model_class).eval()
    except ModelError:
        raise
    except Exception as error:  # a config may lack what its model needs
        reason = f"transformers does not make {name} of its default config: {one_line(error)}"
        raise ModelError(reason, WRITE_ONE) from error
    inputs = dict(_inputs(model))
    if not inputs:
        takes = ", ".join(_parameters(model))
        raise ModelError(f"what {name} takes is not known: {takes}", WRITE_ONE)
    module = Named(model)
    try:
        with quiet():
            if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules()):
                calibrate(module, inputs)
            else:
                with torch.no_grad():
                    module(**inputs)
    except Exception as error:  # it wants other inputs than these
        given = ", ".join(inputs)
        raise ModelError(f"{name} fails on {given}: {one_line(error)}", WRITE_ONE) from error
    return module, inputs, _axes(inputs)


def _refuse_huge(name: str, model: nn.Module) -> None:
    """Return if there is memory for a model, its file and what runs that."""
    import psutil

    needed = COPIES * sum(one.numel() * one.element_size() for one in model.parameters())
    free = psutil.virtual_memory().available
    if needed > free:
        sizes = f"{format_bytes(needed)} of memory, and {format_bytes(free)} is free"
        raise ModelError(f"{name} as its config is by default would take {sizes}", WRITE_ONE)


def _model(config: Any, model_class: Any, device: str = "cpu") -> Any:
    """Return the model, without a cache and with attention that every exporter can follow."""
    import transformers

    for part in (config, *_parts(config)):
        if getattr(part, "use_cache", False):
            part.use_cache = False
    named = next(iter(getattr(config, "architectures", None) or ()), None)
    chosen = model_class or (getattr(transformers, named, None) if named else None)
    make = chosen._from_config if chosen else transformers.AutoModel.from_config
    with torch.device(device):
        try:
            return make(config, attn_implementation=PLAIN_ATTENTION)
        except ValueError:  # it has no attention of that name
            return make(config)


def _parts(config: Any) -> list[Any]:
    """Return the configs in a config: of an encoder and a decoder, of text and images."""
    return [getattr(config, name) for name in getattr(config, "sub_configs", {})]


def _inputs(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield an example of each input that the model needs, by name."""
    config = model.config
    takes = _parameters(model)
    text = _said(config, "text_config", "vocab_size") or config
    length = min(SEQUENCE, int(_first(text, "max_position_embeddings", "n_positions") or 128) // 2)
    makers: dict[str, Callable[[], Tensor]] = {
        "input_ids": lambda: _tokens(text, length),
        "attention_mask": lambda: torch.ones(BATCH, length, dtype=torch.int64),
        "pixel_values": lambda: _images(config),
        "input_values": lambda: _sound(config),
        "input_features": lambda: _features(config),
        "decoder_input_ids": lambda: _tokens(text, length),
    }
    main = model.main_input_name
    wanted = {main} | {name for name in ("input_ids", "pixel_values") if name in takes}
    if "input_ids" in wanted:
        wanted.add("attention_mask")
    if getattr(config, "is_encoder_decoder", False) or "decoder_input_ids" in takes:
        wanted.add("decoder_input_ids")
    yield from ((name, makers[name]()) for name in takes if name in wanted and name in makers)


def _parameters(model: Any) -> list[str]:
    return list(inspect.signature(model.forward).parameters)


def _tokens(config: Any, length: int) -> Tensor:
    """Return texts of any words but the first few, which stand for padding, an end and the like."""
    size = int(config.vocab_size)
    return torch.randint(min(10, size - 1), size, (BATCH, length))


def _images(config: Any) -> Tensor:
    vision = _said(config, "vision_config", "image_size", "num_channels") or config
    size = getattr(vision, "image_size", None) or IMAGE_SIZE
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return torch.randn(BATCH, int(getattr(vision, "num_channels", None) or 3), height, width)


def _sound(config: Any) -> Tensor:
    if (bins := getattr(config, "num_mel_bins", None)) and (most := _first(config, "max_length")):
        return torch.randn(BATCH, int(most), int(bins))  # a spectrogram, time first
    return torch.randn(BATCH, SOUND_SAMPLES)


def _features(config: Any) -> Tensor:
    if most := _first(config, "max_source_positions"):
        return torch.randn(BATCH, int(config.num_mel_bins), 2 * int(most))  # halved on its way
    bins = _first(config, "input_feat_per_channel", "feature_projection_input_dim", "num_mel_bins")
    return torch.randn(BATCH, 200, int(bins or 80))


def _first(config: Any, *names: str) -> Any:
    """Return the first of these that the config has, or None."""
    found = (getattr(config, name, None) for name in names)
    return next((value for value in found if isinstance(value, int)), None)


def _said(config: Any, part: str, *names: str) -> Any:
    """Return a config in the config, if it is the one that has these."""
    inner = getattr(config, part, None)
    return inner if inner is not None and any(hasattr(inner, name) for name in names) else None


def _axes(inputs: dict[str, Tensor]) -> Axes:
    """Return the axes to try to keep open: the lengths of texts; the batch is open anyhow."""
    lengths = {"input_ids": "sequence", "attention_mask": "sequence"}
    axes: Axes = {name: {1: symbol} for name, symbol in lengths.items() if name in inputs}
    if "decoder_input_ids" in inputs:
        axes["decoder_input_ids"] = {1: "decoder_sequence"}
    return axes
