"""Small models of many architectures, built by transformers from configs with seeded weights.

Each entry is a factory of a module that returns a tuple of tensors, and its example inputs.
Sizes are small; the graphs are those of the real models.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor, nn

Made = tuple[nn.Module, tuple[Tensor, ...]]

VOCABULARY = 60
ENCODER: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
DECODER = ENCODER | {"num_key_value_heads": 2, "pad_token_id": 0, "use_cache": False}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}


class Plain(nn.Module):
    """A model of transformers that takes tensors in order and returns a tuple of tensors."""

    def __init__(self, model: nn.Module, names: tuple[str, ...], wanted: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.wanted = wanted

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = self.model(**dict(zip(self.names, inputs, strict=True)))
        return tuple(getattr(found, name) for name in self.wanted)


class Cached(nn.Module):
    """A decoder that continues a text of which keys and values are given, layer by layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        found = self.model(input_ids=ids, past_key_values=cache, use_cache=True)
        layers = found.past_key_values.layers
        return (found.logits, *(one for each in layers for one in (each.keys, each.values)))


def tokens(length: int = 8) -> Tensor:
    return torch.arange(2 * length).reshape(2, length) * 7 % VOCABULARY


def mask(length: int = 8) -> Tensor:
    """The second text is shorter."""
    ones = torch.ones(2, length, dtype=torch.int64)
    ones[1, length - 3 :] = 0
    return ones


def images(size: int = 32) -> Tensor:
    return torch.randn(2, 3, size, size)


def encoder(kind: str, **options: Any) -> Made:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**{**ENCODER, **options})
    model = getattr(transformers, f"{kind}Model")(config)
    wanted = ("last_hidden_state",)
    return Plain(model, ("input_ids", "attention_mask"), wanted), (tokens(), mask())


def decoder(kind: str, **options: Any) -> Made:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**{**DECODER, **options})
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    return Plain(model, ("input_ids",), ("logits",)), (tokens(),)


def vision(kind: str, head: str = "ForImageClassification", size: int = 32, **options: Any) -> Made:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**options)
    model = getattr(transformers, f"{kind}{head}")(config)
    return Plain(model, ("pixel_values",), ("logits",)), (images(size),)


def distilbert() -> Made:
    return encoder("DistilBert", dim=32, hidden_dim=64, n_layers=2, n_heads=4)


def albert() -> Made:
    return encoder("Albert", embedding_size=16)


def deberta() -> Made:
    return encoder("DebertaV2", relative_attention=True, pos_att_type=["p2c", "c2p"])


def gpt2_cached() -> Made:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=VOCABULARY, n_positions=64)
    past = tuple(torch.randn(2, 4, 5, 8) for _ in range(4))
    return Cached(GPT2LMHeadModel(config)), (tokens(1), *past)


def gpt2() -> Made:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=VOCABULARY, n_positions=64, use_cache=False
    )
    return Plain(GPT2LMHeadModel(config), ("input_ids",), ("logits",)), (tokens(),)


def llama_cached() -> Made:
    from transformers import LlamaConfig, LlamaForCausalLM

    past = tuple(torch.randn(2, 2, 5, 8) for _ in range(4))
    return Cached(LlamaForCausalLM(LlamaConfig(**DECODER))), (tokens(1), *past)


def mobilebert() -> Made:
    return encoder("MobileBert", embedding_size=16, intra_bottleneck_size=32, hidden_size=64)


def bart() -> Made:
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=2, decoder_layers=2, use_cache=False,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_ffn_dim=64, max_position_embeddings=64,
    )  # fmt: skip
    names = ("input_ids", "attention_mask", "decoder_input_ids")
    model = Plain(BartForConditionalGeneration(config), names, ("logits",))
    return model, (tokens(), mask(), tokens(6))


def convnext() -> Made:
    return vision("ConvNext", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])


def resnet() -> Made:
    return vision("ResNet", size=64, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])


def regnet() -> Made:
    return vision("RegNet", size=64, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1],
                  groups_width=8)  # fmt: skip


def mobilenet_v2() -> Made:
    return vision("MobileNetV2", size=64, depth_multiplier=0.25, image_size=64)


def efficientnet() -> Made:
    return vision("EfficientNet", size=64, width_coefficient=0.25, depth_coefficient=0.2,
                  image_size=64, hidden_dim=320)  # fmt: skip


def mobilevit() -> Made:
    return vision("MobileViT", size=64, image_size=64, hidden_sizes=[16, 24, 32],
                  neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32], num_attention_heads=2)  # fmt: skip


def segformer() -> Made:
    return vision(
        "Segformer", "ForSemanticSegmentation", 64, hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 2], decoder_hidden_size=16,
    )  # fmt: skip


def yolos() -> Made:
    from transformers import YolosConfig, YolosForObjectDetection

    config = YolosConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        image_size=[32, 32], patch_size=8, num_detection_tokens=6,
        use_mid_position_embeddings=False,
    )  # fmt: skip
    model = YolosForObjectDetection(config)
    return Plain(model, ("pixel_values",), ("logits", "pred_boxes")), (images(),)


def detr() -> Made:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"]
    )
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=backbone, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_ffn_dim=64, num_queries=6,
    )  # fmt: skip
    model = DetrForObjectDetection(config)
    return Plain(model, ("pixel_values",), ("logits", "pred_boxes")), (images(64),)


def clip() -> Made:
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    words = CLIPTextConfig(**ENCODER, projection_dim=16, eos_token_id=59)
    config = CLIPConfig(
        text_config=words.to_dict(), vision_config=CLIPVisionConfig(**VISION).to_dict(),
        projection_dim=16,
    )  # fmt: skip
    names = ("input_ids", "pixel_values", "attention_mask")
    model = Plain(CLIPModel(config), names, ("logits_per_image", "text_embeds"))
    return model, (tokens(), images(), mask())


def wav2vec2() -> Made:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, conv_dim=(16, 16, 16), conv_kernel=(10, 3, 2), conv_stride=(5, 2, 2),
        num_feat_extract_layers=3, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return Plain(Wav2Vec2ForCTC(config), ("input_values",), ("logits",)), (torch.randn(2, 800),)


def whisper() -> Made:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=8, d_model=32, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_ffn_dim=64, max_source_positions=20, max_target_positions=16, use_cache=False,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    names = ("input_features", "decoder_input_ids")
    model = Plain(WhisperForConditionalGeneration(config), names, ("logits",))
    return model, (torch.randn(2, 8, 40), tokens(6))


def ast() -> Made:
    from transformers import ASTConfig, ASTForAudioClassification

    config = ASTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_length=64, num_mel_bins=32, patch_size=16, time_stride=8, frequency_stride=8,
    )  # fmt: skip
    model = ASTForAudioClassification(config)
    return Plain(model, ("input_values",), ("logits",)), (torch.randn(2, 64, 32),)


ARCHITECTURES: dict[str, Callable[[], Made]] = {
    # encoders of text
    "bert": lambda: encoder("Bert"),
    "distilbert": distilbert,
    "roberta": lambda: encoder("Roberta", pad_token_id=0),
    "albert": albert,
    "electra": lambda: encoder("Electra", embedding_size=16),
    "mpnet": lambda: encoder("MPNet"),
    "mobilebert": mobilebert,
    "deberta": deberta,
    # decoders, without and with a cache
    "gpt2": gpt2,
    "gpt2_cached": gpt2_cached,
    "llama": lambda: decoder("Llama"),
    "llama_cached": llama_cached,
    "mistral": lambda: decoder("Mistral", sliding_window=4),
    "qwen2": lambda: decoder("Qwen2"),
    "gemma2": lambda: decoder("Gemma2", head_dim=8, query_pre_attn_scalar=8),
    "phi": lambda: decoder("Phi"),
    "gpt_neox": lambda: decoder("GPTNeoX", rotary_pct=0.5),
    "opt": lambda: decoder("OPT", ffn_dim=64, word_embed_proj_dim=32),
    "bloom": lambda: decoder("Bloom", n_layer=2, n_head=4),
    # from one text to another
    "bart": bart,
    # vision transformers
    "vit": lambda: vision("ViT", **VISION),
    "deit": lambda: vision("DeiT", **VISION),
    "beit": lambda: vision("Beit", **VISION),
    "dinov2": lambda: vision("Dinov2", **VISION),
    "mobilevit": mobilevit,
    # convolutional nets
    "resnet": resnet,
    "regnet": regnet,
    "convnext": convnext,
    "mobilenet_v2": mobilenet_v2,
    "efficientnet": efficientnet,
    # detection, segmentation, text with images
    "yolos": yolos,
    "detr": detr,
    "segformer": segformer,
    "clip": clip,
    # audio
    "wav2vec2": wav2vec2,
    "whisper": whisper,
    "ast": ast,
}


def source(name: str) -> Made:
    """Return a model, in evaluation mode, and its example inputs; the same ones each time."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own, about configs as small as these
        module, inputs = ARCHITECTURES[name]()
    return settled(module.eval(), inputs), inputs


def settled(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    """Return the module with weights that keep activations in scale, and statistics of them.

    As they are initialised, activations of convolutional nets vanish layer by layer, and any
    two answers would agree.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    for part in norms:
        part.train()
        part.momentum = None  # the plain mean of what is seen
        part.eps = 1e-8  # so that even what has become small is put in scale again
    for convolution in [one for one in module.modules() if norms and isinstance(one, nn.Conv2d)]:
        nn.init.kaiming_normal_(convolution.weight)
    if norms:
        with torch.no_grad():
            module(*inputs)
    return module.eval()


def exported(name: str, opset: int = 20) -> onnx.ModelProto:
    """Return a model as torch's exporter writes it."""
    module, inputs = source(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(module, inputs, dynamo=True, opset_version=opset, verbose=False)
    assert program is not None
    return program.model_proto


def answers(name: str) -> list[Tensor]:
    """Return what the source gives for its example inputs."""
    module, inputs = source(name)
    with torch.inference_mode():
        return list(module(*inputs))
