"""A transformer that tells the topic of a text: Keras's text classifier in the size of BERT mini.

Embedded words and positions, four encoder blocks, and the mean over the words
(https://keras.io/examples/nlp/text_classification_with_transformer/).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

WORDS, LENGTH, TOPICS = 20_000, 128, 20
WIDTH, BLOCKS, HEADS = 256, 4, 4
EPSILON = 1e-6  # Keras's default of 1e-3 is as large as the variance of its embeddings


def keras_text_transformer() -> keras.Model:
    """Return the classifier, which takes texts of 128 words.

    Layer normalisation keeps its activations in scale as they are: nothing to calibrate.
    """
    ids = keras.Input((LENGTH,), dtype="int32", name="token_ids")
    places = ops.zeros_like(ids) + ops.arange(LENGTH, dtype="int32")
    x = layers.Embedding(WORDS, WIDTH)(ids) + layers.Embedding(LENGTH, WIDTH)(places)
    x = layers.LayerNormalization(epsilon=EPSILON)(x)
    for _ in range(BLOCKS):
        x = _block(x)
    topics = layers.Dense(TOPICS, name="logits")(layers.GlobalAveragePooling1D()(x))
    return keras.Model(ids, topics, name="text_transformer")


def _block(x: Any) -> Any:
    """Return what an encoder block makes of batch x words x width."""
    attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
    x = layers.LayerNormalization(epsilon=EPSILON)(x + attended)
    wide = layers.Dense(4 * WIDTH, activation="gelu")(x)
    return layers.LayerNormalization(epsilon=EPSILON)(x + layers.Dense(WIDTH)(wide))
