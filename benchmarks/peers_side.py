"""The other side of `bench.py`: torch, MONAI and albumentations, in a process and an environment of their own."""

import copy
import importlib.metadata
import os
import sys
import time
from pathlib import Path

# Keras is asked for a few constants only; albumentations would ask the network for a newer version of itself.
os.environ["KERAS_BACKEND"] = "torch"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import albumentations as A
import cv2
import numpy as np
import torch
import torch_side
import workers
from monai.inferers import sliding_window_inference
from torch import nn
from torch.utils.data import DataLoader, Dataset

from plankton_keras.config import TrainConfig

ROI, OVERLAP, WINDOWS = 256, 0.25, 4


class FloatSide(torch_side.TorchSide):
    """Trains in float32 where `TorchSide` would in bfloat16, which few CPUs compute."""

    def train(self):
        """Does one step of training."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, bins = self.forward(self.images, self.truth)
        loss.backward()
        self.clip([parameter.grad for parameter in self.net.parameters()])
        self.optimizer.step()
        if self.scores:
            self.counts += torch.histc(bins, 2 * torch_side.BINS, 0, 2 * torch_side.BINS)


class ChannelsFirst(FloatSide):
    """The same, of a copy of the network in the layout that torch takes where nobody names one."""

    def __init__(self, net, *args, **options):
        super().__init__(copy.deepcopy(net), *args, **options)
        self.net = self.net.to(memory_format=torch.contiguous_format)
        self.images = self.images.contiguous()


class FullResolution(torch_side.UNet):
    """The same network without the half-resolution stem, as textbooks have it: `plankton train --full-resolution`.

    Args:
        width: As for `torch_side.UNet`.
        depth: As for `torch_side.UNet`.
    """

    def __init__(self, width, depth):
        super().__init__(width, depth)
        self.blocks["down0_1"] = torch_side.ConvBlock(1, width)
        # The pixels that the network would lay out are those that it has.
        self.logits = nn.Sequential(nn.Conv2d(width, torch_side.NUM_CLASSES, 1), nn.PixelUnshuffle(2))


class Patches(Dataset):
    """PNG files of images and masks, augmented by albumentations.

    Args:
        folder: The folder that `ours_side.Ours.unpack` wrote.
        transform: An albumentations transform.
        length: Number of patches to draw, in an endless row of the files.
    """

    def __init__(self, folder, transform, length):
        self.images, self.transform, self.length = sorted(Path(folder).glob("*_image.png")), transform, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        path = self.images[index % len(self.images)]
        mask = path.with_name(path.name.replace("_image", "_mask"))
        image, mask = (cv2.imread(str(each), cv2.IMREAD_GRAYSCALE) for each in (path, mask))
        changed = self.transform(image=image, mask=mask)
        return torch.from_numpy(changed["image"][None].astype(np.float32)), torch.from_numpy(changed["mask"])


def transform(settings, window):
    """Makes the operations of an `augment.Strength` of albumentations.

    The crop comes first, which is the faster order.

    Args:
        settings: `degrees`, `zoom`, `brightness` and `contrast` by name.
        window: Side of the window in pixels.
    """
    zoom = float(np.exp(settings["zoom"]))
    return A.Compose(
        [
            A.RandomCrop(window, window),
            A.D4(p=1),
            A.Affine(
                rotate=(-settings["degrees"], settings["degrees"]),
                scale=(1 / zoom, zoom),
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST,
                border_mode=cv2.BORDER_REFLECT,
                p=1,
            ),
            A.RandomBrightnessContrast(settings["brightness"] / 255, settings["contrast"], p=1),
        ]
    )


class Peers:
    """Answers the questions of `comparisons.py`. Paths are texts, and times are in seconds."""

    def versions(self):
        """Gives the versions of what computes."""
        return {name: importlib.metadata.version(name) for name in ("torch", "monai", "albumentations", "numpy")}

    def load(self, width, depth, weights, temperature):
        """Builds the network of torch and gives it the weights of ours; gives the number of its parameters.

        Its logits are divided by the temperature that ours was calibrated with, but not in training.
        """
        arrays = {}
        with np.load(weights) as stored:
            for key in sorted(stored.files, key=lambda key: int(key.rpartition("/")[2])):
                arrays.setdefault(key.rpartition("/")[0], []).append(stored[key])
        self.net = torch_side.UNet(width, depth)
        torch_side.load_weights(self.net, arrays)
        self.net, self.temperature = self.net.to(memory_format=torch.channels_last).eval(), temperature
        return torch_side.parameter_count(self.net)

    def forget(self, width, depth):
        """Takes a `FullResolution` of random weights instead, whose answers mean nothing; gives its parameters."""
        self.net, self.temperature = FullResolution(width, depth).to(memory_format=torch.channels_last).eval(), 1.0
        return torch_side.parameter_count(self.net)

    def _probabilities(self, images):
        logits = self.net(images.contiguous(memory_format=torch.channels_last))
        return (logits / self.temperature).softmax(1)

    def windows(self, images, out):
        """Computes windows, as `ours_side.Ours.windows`."""
        with torch.inference_mode():
            found = self._probabilities(torch.from_numpy(np.load(images)[:, None]).float())
        np.save(out, found.permute(0, 2, 3, 1).numpy())

    def predict(self, scan, out, threshold, probability=None):
        """Predicts a scan and writes its mask.

        Args:
            scan: The scan.
            out: The PNG file to write.
            threshold: Probability from which a pixel counts as found.
            probability: Where to write the probability too, after the clock stopped, as `ours_side.Ours.probability`.
        """
        started = time.monotonic()
        image = torch.from_numpy(cv2.imread(scan, cv2.IMREAD_GRAYSCALE))[None, None].float()
        with torch.inference_mode():
            found = sliding_window_inference(
                image, (ROI, ROI), WINDOWS, self._probabilities, overlap=OVERLAP, mode="gaussian"
            )[0, 1].numpy()
        cv2.imwrite(out, (found >= threshold).astype(np.uint8), (cv2.IMWRITE_PNG_COMPRESSION, 1))
        seconds = time.monotonic() - started
        if probability:
            np.save(probability, np.rint(found * 255).astype(np.uint8))
        return seconds

    def train_on(self, batch, settings):
        """Readies training, as `ours_side.Ours.train_on`, with the settings of our run; gives the loss."""
        with np.load(batch) as arrays:
            images, masks = arrays["images"][..., None].astype(np.float32), arrays["masks"][..., None]
        loss = torch_side.logits_and_loss(self.net, images, masks)[1]
        what = self.net, TrainConfig.from_json(settings), (images, masks), True, "none"
        self.sides = {"last": FloatSide(*what), "first": ChannelsFirst(*what)}
        return loss

    def train(self, steps, channels):
        """Trains some steps, with the channels `last` or `first`."""
        started = time.monotonic()
        for _ in range(steps):
            self.sides[channels].train()
        return time.monotonic() - started

    def draw(self, folder, settings, shape, count, processes, out=None):
        """Draws batches from a DataLoader.

        Args:
            folder: As for `Patches`.
            settings: As for `transform`.
            shape: Patches a batch, and the side of the window in pixels.
            count: Batches to skip, made before the clock starts, and batches to draw.
            processes: Processes of the DataLoader; 0 is this one alone.
            out: Where to write the last batch as npz, or None.
        """
        (batch_size, window), (skipped, batches) = shape, count
        patches = Patches(folder, transform(settings, window), batch_size * (skipped + batches))
        # As torch and albumentations advise: processes instead of threads.
        cv2.setNumThreads(0)
        loader = iter(DataLoader(patches, batch_size, shuffle=True, num_workers=processes))
        for _ in range(skipped):
            next(loader)
        started = time.monotonic()
        for _ in range(batches):
            images, masks = next(loader)
        seconds = time.monotonic() - started
        if out:
            np.savez(out, images=images.numpy()[:, 0], masks=masks.numpy())
        return seconds


if __name__ == "__main__":
    workers.serve(Peers())
