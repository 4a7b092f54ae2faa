"""augment: image and mask move together, nothing new appears and nothing is erased."""

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from plankton_keras.data import augment  # noqa: E402
from plankton_keras.data.augment import STRENGTHS, RandomGeometry, RandomPhotometry, Strength, augmenter  # noqa: E402

GROUND, DARK = np.uint8(220), np.uint8(60)
GEOMETRIES = ("none", "light", "strong")


def disks(count, size, radius, seed=0, per_image=6):
    """Maps `(count, size, size, 1)` of 0 and 1 with disks."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    maps = np.zeros((count, size, size, 1), np.uint8)
    for index in range(count):
        for row, column in rng.integers(radius, size - radius, (per_image, 2)):
            maps[index, ..., 0] |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return maps


def moved(strength_name, images, masks, window, seed=(0, 0)):
    """The geometry of a strength alone: `(images, masks)` as arrays."""
    batch = {
        "images": tf.constant(images, tf.uint8),
        "segmentation_masks": tf.constant(masks),
        "labels": tf.tile(tf.constant([seed], tf.int32), (len(images), 1)),
    }
    result = RandomGeometry(STRENGTHS[strength_name], window, dtype="float32")(batch)
    return result["images"].numpy(), result["segmentation_masks"].numpy()


def augmented(strength_name, images, masks, window, seed=(0, 0)):
    result = augmenter(strength_name, window)(tf.constant(images, tf.uint8), tf.constant(masks), seed)
    return [each.numpy() for each in result]


def edges(mask, reach=1):
    """Where a mask changes within `reach` pixels."""
    wide = 2 * reach + 1
    high = tf.nn.max_pool2d(tf.cast(mask, tf.float32), wide, 1, "SAME")
    low = -tf.nn.max_pool2d(-tf.cast(mask, tf.float32), wide, 1, "SAME")
    return (high != low).numpy()


@pytest.fixture(scope="module")
def scene():
    """Eight patches of 192 pixels with dark disks on pale ground, and their masks."""
    masks = disks(8, 192, 12)
    return np.where(masks, DARK, GROUND), masks


@pytest.mark.parametrize("strength", GEOMETRIES)
def test_the_same_seed_gives_the_same_batch(scene, strength):
    one, two = (augmented(strength, *scene, 128, (3, 7)) for _ in range(2))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])


@pytest.mark.parametrize("seed", [(3, 8), (4, 7)])
@pytest.mark.parametrize("strength", GEOMETRIES)
def test_another_step_or_another_seed_gives_another_batch(scene, strength, seed):
    images, masks = augmented(strength, *scene, 128, (3, 7))
    other_images, other_masks = augmented(strength, *scene, 128, seed)
    assert not np.array_equal(images, other_images)
    assert not np.array_equal(masks, other_masks)


def test_the_images_of_a_batch_are_changed_each_in_its_own_way():
    masks = disks(1, 192, 12).repeat(6, axis=0)
    images, _ = augmented("light", np.where(masks, DARK, GROUND), masks, 192)
    assert len(np.unique(images.reshape(6, -1), axis=0)) == 6


@pytest.mark.parametrize("strength", GEOMETRIES)
@pytest.mark.parametrize("window", [128, 192])
def test_image_and_mask_move_together(scene, strength, window):
    # The image is the mask times 200, so that the moved image above 100 is the moved mask, but for its edges.
    masks = scene[1]
    for step in range(3):
        images, result = moved(strength, masks * np.uint8(200), masks, window, (0, step))
        agree = (images > 100) == (result > 0)
        assert agree[~edges(result)].mean() > 0.999
        assert agree.mean() > 0.98
        assert result.mean() > 0.01


@pytest.mark.parametrize("strength", GEOMETRIES)
def test_no_label_appears_that_was_not_there(strength):
    rng = np.random.default_rng(0)
    masks = rng.choice(np.array([0, 3, 7], np.uint8), (4, 192, 192, 1))
    images = rng.integers(0, 256, masks.shape, np.uint8)
    for step in range(3):
        assert set(np.unique(augmented(strength, images, masks, 128, (0, step))[1])) == {0, 3, 7}


@pytest.mark.parametrize("strength", GEOMETRIES)
def test_nothing_is_erased_from_the_image_that_stays_in_the_mask(scene, strength):
    for step in range(3):
        images, masks = augmented(strength, *scene, 128, (1, step))
        # Foreground is 160 levels below the ground; half of that is more than all photometry together.
        inside = (masks > 0) & ~edges(masks, 3)
        levels = np.median(images, axis=(1, 2), keepdims=True)
        assert inside.sum() > 100
        assert (images > levels - 50)[inside].mean() < 0.001


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_the_share_of_foreground_stays_about_the_same_without_a_window(strength):
    # A ninth of each patch, in its middle; turned and zoomed it keeps its size, e**-0.6 to e**0.6 at most.
    masks = np.zeros((16, 192, 192, 1), np.uint8)
    masks[:, 64:128, 64:128] = 1
    images = np.where(masks, DARK, GROUND)
    shares = augmented(strength, images, masks, 192)[1].mean(axis=(1, 2, 3)) * 9
    limit = np.exp(2 * STRENGTHS[strength].zoom) * 1.02
    assert shares.min() > 1 / limit
    assert shares.max() < limit


def test_none_on_the_whole_patch_is_the_identity():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 128, 128, 1), np.uint8)
    masks = rng.integers(0, 9, (3, 128, 128, 1), np.uint8)
    result, result_masks = augmented("none", images, masks, 128)
    assert np.array_equal(result, images)
    assert np.array_equal(result_masks, masks)


def test_none_with_a_window_cuts_at_whole_or_fractional_pixels_and_changes_no_level():
    masks = np.ones((4, 128, 128, 1), np.uint8)
    result, result_masks = augmented("none", np.full(masks.shape, 137), masks, 64)
    np.testing.assert_allclose(result, 137, atol=1e-3)
    assert (result_masks == 1).all()


def test_flips_and_quarter_turns_alone_are_exact_and_all_eight_occur():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64), np.uint8)
    mask = rng.integers(0, 5, (64, 64), np.uint8)
    ways = [(turns, flip) for turns in range(4) for flip in (False, True)]

    def way(array, turns, flip):
        return np.rot90(array[:, ::-1] if flip else array, turns)

    layer = RandomGeometry(Strength(flips=True), 64, dtype="float32")
    met = set()
    for step in range(2):
        batch = {
            "images": tf.tile(image[None, ..., None], (32, 1, 1, 1)),
            "segmentation_masks": tf.tile(mask[None, ..., None], (32, 1, 1, 1)),
            "labels": tf.tile([[0, step]], (32, 1)),
        }
        result = layer(batch)
        for each, its_mask in zip(result["images"].numpy(), result["segmentation_masks"].numpy(), strict=True):
            found = [one for one in ways if np.array_equal(each[..., 0], way(image, *one))]
            assert len(found) == 1
            assert np.array_equal(its_mask[..., 0], way(mask, *found[0]))
            met.add(found[0])
    assert met == set(ways)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_photometry_changes_the_image_and_never_the_mask(scene, strength):
    images, masks = scene
    batch = {
        "images": tf.constant(images),
        "segmentation_masks": tf.constant(masks),
        "labels": tf.tile([[0, 0]], (len(images), 1)),
    }
    result = RandomPhotometry(STRENGTHS[strength], dtype="float32")(batch)
    assert np.array_equal(result["segmentation_masks"].numpy(), masks)
    assert np.abs(result["images"].numpy() - images).mean() > 1


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_the_light_changes_by_no_more_than_it_says(strength):
    # A flat image has no contrast and no edges: what remains is the brightness, and noise about it.
    limits = STRENGTHS[strength]
    flat = np.full((16, 128, 128, 1), 128, np.uint8)
    images, _ = augmented(strength, flat, np.zeros(flat.shape, np.uint8), 128)
    means = images.mean(axis=(1, 2, 3))
    assert np.abs(means - 128).max() <= limits.brightness + 0.5
    assert np.ptp(means) > limits.brightness / 2
    assert images.std(axis=(1, 2, 3)).max() <= limits.noise * 1.05 + 1e-3


@pytest.mark.parametrize("strength", GEOMETRIES)
def test_values_stay_within_0_and_255(strength):
    rng = np.random.default_rng(0)
    images = rng.choice(np.array([0, 255], np.uint8), (6, 128, 128, 1))
    masks = np.zeros(images.shape, np.uint8)
    for step in range(3):
        result, _ = augmented(strength, images, masks, 128, (0, step))
        assert result.min() >= 0
        assert result.max() <= 255
        assert np.isfinite(result).all()


@pytest.mark.parametrize("strength", GEOMETRIES)
def test_windows_are_found_around_dark_things(strength):
    # A window of 256 at a random place of 512 contains a small blob at a random place less than half of the time.
    masks = disks(32, 512, 14, per_image=1)
    images = np.where(masks, DARK, GROUND)
    _, result = augmented(strength, images, masks, 256)
    assert result.any(axis=(1, 2, 3)).mean() >= 0.75


def test_windows_do_not_follow_the_label():
    # The dark blob is no foreground, and the foreground lies in its own corner without a trace in the image.
    blobs = disks(32, 512, 14, per_image=1)
    masks = np.zeros_like(blobs)
    masks[:, :8, :8] = 1
    _, with_label = augmented("none", np.where(blobs, DARK, GROUND), masks, 256)
    _, with_blobs = augmented("none", np.where(blobs, DARK, GROUND), blobs, 256)
    assert with_blobs.any(axis=(1, 2, 3)).mean() >= 0.75
    assert with_label.any(axis=(1, 2, 3)).mean() <= 0.5


def test_half_precision_of_the_global_policy_changes_nothing(scene):
    expected = augmented("strong", *scene, 128, (2, 5))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        result = augmented("strong", *scene, 128, (2, 5))
    finally:
        keras.config.set_dtype_policy(before)
    assert [each.dtype for each in result] == [np.float32, np.uint8]
    assert np.array_equal(result[0], expected[0])
    assert np.array_equal(result[1], expected[1])


@pytest.mark.parametrize("strength", GEOMETRIES)
def test_inside_a_dataset_the_batch_is_the_same_as_eager(scene, strength):
    images, masks = augmented(strength, *scene, 128, (2, 5))
    of_batch = augmenter(strength, 128)
    dataset = tf.data.Dataset.from_tensors(scene).map(
        lambda image, mask: of_batch(image, mask, (tf.constant(2, tf.int64), tf.constant(5, tf.int64)))
    )
    ours, our_masks = next(iter(dataset))
    # The graph may fuse sums: at most a hundredth of a gray level, and a label at an edge.
    np.testing.assert_allclose(ours.numpy(), images, atol=0.05)
    assert (our_masks.numpy() != masks).mean() < 1e-4


def relit(image, draws, fill=None):
    """What `_relight` makes of a single image `(height, width)`, by the definition in floating point."""
    contrast, brightness, blur, noise, start = draws
    image = image.astype(np.float64)
    line = np.array([1, 4, 6, 4, 1]) / 16
    padded = np.pad(image, 2, mode="reflect")
    blurred = sum(
        line[row] * line[column] * padded[row : row + image.shape[0], column : column + image.shape[1]]
        for row in range(5)
        for column in range(5)
    )
    mean = image.mean() if fill is None else fill
    changed = (image + blur * (blurred - image) - mean) * contrast + mean + brightness
    place = int(np.float32(start) * (augment.NORMALS - image.size))
    noises = augment._normals()[place : place + image.size].reshape(image.shape)
    return np.clip(changed + noise * noises, 0, 255)


@pytest.mark.parametrize("fill", [None, 255.0])
def test_photometry_is_contrast_about_the_mean_then_brightness_blur_and_noise(fill):
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 30, 1), np.uint8)
    draws = np.array([[1.2, 15, 0, 0, 0], [0.8, -5, 0.5, 0, 0], [1.1, 3, 0.25, 4, 0.3]], np.float32)
    result = augment._relight(images, draws, fill)
    for image, each, found in zip(images, draws, result, strict=True):
        np.testing.assert_allclose(found[..., 0], relit(image[..., 0], each, fill), atol=0.01)
