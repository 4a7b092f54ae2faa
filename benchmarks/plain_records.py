"""Scan and mask to TFRecords as one would write it without plankton_keras, to measure `plankton make-tfrecords` beside.

python benchmarks/plain_records.py SCAN MASK OUT.tfrecord
"""

import sys

import cv2
import tensorflow as tf

SIZE, LIVING_FROM = 512, 8


def starts(length):
    """Gives where the windows start, so that the last one ends at the edge."""
    count = -(-length // SIZE)
    return [(length - SIZE) * index // max(1, count - 1) for index in range(count)]


def feature(value):
    """Wraps bytes or a whole number."""
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def main(scan_path, mask_path, out):
    """Writes the records of one scan."""
    scan = cv2.imread(scan_path, cv2.IMREAD_GRAYSCALE)
    mask = (cv2.imread(mask_path, cv2.IMREAD_UNCHANGED) >= LIVING_FROM).astype("uint8")
    with tf.io.TFRecordWriter(out) as writer:
        for top in starts(scan.shape[0]):
            for left in starts(scan.shape[1]):
                window = slice(top, top + SIZE), slice(left, left + SIZE)
                fields = {
                    "image": tf.io.encode_png(scan[window][..., None]).numpy(),
                    "mask": tf.io.encode_png(mask[window][..., None]).numpy(),
                    "scan": scan_path.encode(),
                    "top": top,
                    "left": left,
                }
                features = tf.train.Features(feature={name: feature(value) for name, value in fields.items()})
                writer.write(tf.train.Example(features=features).SerializeToString())


if __name__ == "__main__":
    main(*sys.argv[1:])
