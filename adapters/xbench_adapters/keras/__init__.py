"""Keras models and SavedModels as they are, in TensorFlow: `KerasAdapter` measures them."""

from xbench_adapters.keras.adapter import KerasAdapter

__all__ = ["KerasAdapter"]
