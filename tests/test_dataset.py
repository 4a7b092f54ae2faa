import itertools

import numpy as np
import pytest

from plankton_keras.data.dataset import Stream, evaluation_dataset, training_dataset
from plankton_keras.data.records import read_manifest, read_patches


def batches(folder, count, **changes):
    stream = Stream(**{"batch_size": 4, "window": 64, "augmentation": "strong", "seed": 3, **changes})
    dataset = training_dataset(folder, read_manifest(folder), stream)
    return [(images.numpy(), masks.numpy()) for images, masks in itertools.islice(dataset, count)]


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, c) and np.array_equal(b, d) for (a, b), (c, d) in zip(first, second, strict=True)
    )


def test_a_stream_that_starts_later_gives_the_batches_of_the_undisturbed_one(tiny_records):
    whole = batches(tiny_records, 12)
    for first in (1, 5, 9):
        assert same(batches(tiny_records, 12 - first, first_step=first), whole[first:])


def test_the_same_seed_gives_the_same_batches_and_another_does_not(tiny_records):
    assert same(batches(tiny_records, 4), batches(tiny_records, 4))
    assert not same(batches(tiny_records, 4), batches(tiny_records, 4, seed=4))


def test_each_pass_shows_every_patch_once_and_in_its_own_order(tiny_records):
    manifest = read_manifest(tiny_records)
    patches = manifest.count("train")
    known = {patch.image.tobytes(): index for index, patch in enumerate(read_patches(tiny_records, manifest, "train"))}
    stream = Stream(batch_size=1, window=64, augmentation="none", seed=0)
    images = itertools.islice(training_dataset(tiny_records, manifest, stream), 2 * patches)
    seen = [known[image.numpy().astype(np.uint8).tobytes()] for image, _ in images]
    assert sorted(seen[:patches]) == sorted(seen[patches:]) == list(range(patches))
    assert seen[:patches] != seen[patches:]


def test_validation_comes_once_in_order_and_as_it_is(tiny_records):
    manifest = read_manifest(tiny_records)
    images, masks = zip(*evaluation_dataset(tiny_records, manifest, "val", 4).as_numpy_iterator(), strict=True)
    patches = list(read_patches(tiny_records, manifest, "val"))
    assert (np.concatenate(images)[..., 0] == [patch.image for patch in patches]).all()
    assert (np.concatenate(masks)[..., 0] == [patch.mask for patch in patches]).all()


@pytest.mark.parametrize("augmentation", ["none", "light", "strong"])
def test_batches_hold_pixels_of_0_to_255_and_no_new_label(tiny_records, augmentation):
    for images, masks in batches(tiny_records, 3, augmentation=augmentation):
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert 100 < images.max() <= 255
        assert set(np.unique(masks)) <= {0, 1}
