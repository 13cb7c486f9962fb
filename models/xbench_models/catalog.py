"""The models that xbench brings along, as cards; imports no framework.

Each card's factory returns ``(module, example inputs)``, the same with the axes that stay open,
or a Keras model: what `xbench export` asks of any user's factory too.
"""

from __future__ import annotations

from xbench.catalog import ModelCard

IMAGE = "pixel_values: float32, batch x 3 x 224 x 224"
KERAS_IMAGE = "images: float32, batch x 224 x 224 x 3"

CATALOG = (
    ModelCard(
        name="mobilenet_v2",
        summary="MobileNetV2, depthwise convolutions: many small layers",
        task="image classification",
        inputs=IMAGE,
        factory="xbench_models.zoo.vision:mobilenet_v2",
        symbols={"batch": 1},
        parameters=3_504_872,
    ),
    ModelCard(
        name="resnet50",
        summary="ResNet-50, dense convolutions with residuals",
        task="image classification",
        inputs=IMAGE,
        factory="xbench_models.zoo.vision:resnet50",
        symbols={"batch": 1},
        parameters=25_557_032,
    ),
    ModelCard(
        name="vgg16",
        summary="VGG-16, large convolutions without normalisation, large dense layers",
        task="image classification",
        inputs=IMAGE,
        factory="xbench_models.zoo.vgg:vgg16",
        symbols={"batch": 1},
        parameters=138_357_544,
    ),
    ModelCard(
        name="vit_b_16",
        summary="ViT-B/16, a transformer over image patches",
        task="image classification",
        inputs=IMAGE,
        factory="xbench_models.zoo.vision:vit_b_16",
        symbols={"batch": 1},
        parameters=86_567_656,
    ),
    ModelCard(
        name="bert_base",
        summary="BERT base, a transformer encoder with a padding mask",
        task="question answering",
        inputs="input_ids, attention_mask, token_type_ids: int64, batch x sequence",
        factory="xbench_models.zoo.text:bert_base",
        symbols={"batch": 1, "sequence": 128},
        parameters=108_893_186,
    ),
    ModelCard(
        name="gpt2",
        summary="GPT-2, a transformer decoder; one pass over a prompt, without a cache",
        task="language modelling",
        inputs="input_ids: int64, batch x sequence",
        factory="xbench_models.zoo.text:gpt2",
        symbols={"batch": 1, "sequence": 64},
        parameters=124_439_808,
    ),
    ModelCard(
        name="lstm_tagger",
        summary="Two bidirectional LSTM layers over embedded words",
        task="sequence tagging",
        inputs="input_ids: int64, batch x 32",
        factory="xbench_models.zoo.tagger:lstm_tagger",
        symbols={"batch": 1},
        parameters=4_936_209,
    ),
    ModelCard(
        name="unet",
        summary="U-Net, convolutions at full resolution with skip connections",
        task="segmentation",
        inputs="pixel_values: float32, batch x 3 x 256 x 256",
        factory="xbench_models.zoo.unet:unet",
        symbols={"batch": 1},
        parameters=7_763_140,
    ),
    ModelCard(
        name="detector",
        summary="A small single-shot detector: boxes and scores of every anchor",
        task="object detection",
        inputs="pixel_values: float32, batch x 3 x 320 x 320",
        factory="xbench_models.zoo.detector:detector",
        symbols={"batch": 1},
        parameters=958_260,
    ),
    ModelCard(
        name="keras_mobilenet_v2",
        summary="Keras's MobileNetV2, channels last",
        task="image classification",
        inputs=KERAS_IMAGE,
        factory="xbench_models.zoo.keras_vision:keras_mobilenet_v2",
        symbols={"batch": 1},
        parameters=3_504_872,
        framework="keras",
    ),
    ModelCard(
        name="keras_resnet50",
        summary="Keras's ResNet-50, channels last",
        task="image classification",
        inputs=KERAS_IMAGE,
        factory="xbench_models.zoo.keras_vision:keras_resnet50",
        symbols={"batch": 1},
        parameters=25_583_592,
        framework="keras",
    ),
    ModelCard(
        name="keras_efficientnet_b0",
        summary="Keras's EfficientNet-B0: depthwise convolutions, squeeze and excitation",
        task="image classification",
        inputs=KERAS_IMAGE,
        factory="xbench_models.zoo.keras_vision:keras_efficientnet_b0",
        symbols={"batch": 1},
        parameters=5_288_548,
        framework="keras",
    ),
    ModelCard(
        name="keras_text_transformer",
        summary="Keras's transformer text classifier, in the size of BERT mini",
        task="text classification",
        inputs="token_ids: int32, batch x 128",
        factory="xbench_models.zoo.keras_text:keras_text_transformer",
        symbols={"batch": 1},
        parameters=8_317_460,
        framework="keras",
    ),
)
