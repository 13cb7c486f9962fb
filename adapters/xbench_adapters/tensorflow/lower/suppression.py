"""The choice among boxes that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xbench_adapters.tensorflow.registry import lowering

if TYPE_CHECKING:
    from xbench.graph.plain import Node
    from xbench_adapters.tensorflow.builder import Builder


def kept_boxes(boxes: Any, scores: Any, most: Any, overlap: Any, least: Any) -> Any:
    """Return image, class and number of the boxes that are kept, best of each class first.

    Args:
        boxes: Images, boxes, 4 numbers: two corners.
        scores: Images, classes, boxes.
        most: How many boxes are kept for each image and class.
        overlap: Intersection over union above which a box gives way to a better one.
        least: The score that a box must exceed.
    """
    images, classes = tf.unstack(tf.shape(scores)[:2])

    def once_more(number: Any, kept: Any) -> tuple[Any, Any]:
        image, kind = number // classes, number % classes
        chosen = tf.image.non_max_suppression(
            boxes[image], scores[image, kind], most, overlap, least
        )
        labels = tf.stack([tf.fill(tf.shape(chosen), one) for one in (image, kind)], 1)
        return number + 1, tf.concat([kept, tf.concat([labels, chosen[:, None]], 1)], 0)

    _, kept = tf.while_loop(
        lambda number, _: number < images * classes,
        once_more,
        (tf.constant(0), tf.zeros([0, 3], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 3])),
    )
    return tf.cast(kept, tf.int64)


def _corners(boxes: Any) -> Any:
    """Return the corners of boxes that tell their centres and extents."""
    centres, extents = tf.split(boxes, 2, -1)
    return tf.concat([centres - extents / 2, centres + extents / 2], -1)


@lowering("NonMaxSuppression", 10)
def non_max_suppression(node: Node, to: Builder) -> Any:
    """Return the boxes that are left when each gives way to better ones that it overlaps."""
    boxes, scores = (to.value(name) for name in node.inputs[:2])
    if node.attributes["center_point_box"]:
        boxes = _corners(boxes)
    most = tf.cast(to.number(node.inputs[2]) if node.input(2) else 0, tf.int64)
    most = tf.cast(tf.minimum(tf.maximum(most, 0), 2**31 - 1), tf.int32)
    limits = [
        tf.reshape(to.value(node.inputs[place]), []) if node.input(place) else tf.constant(default)
        for place, default in ((3, 0.0), (4, float("-inf")))
    ]
    return kept_boxes(boxes, scores, most, *limits)
