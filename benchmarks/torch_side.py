"""The other side of the benchmark: our U-Net written by hand in torch, as one would who wants it fast there.

Images are `(batch, channels, height, width)` in channels-last memory.
"""

import copy
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from plankton_keras.metrics import BINS
from plankton_keras.models.blocks import CELL, REACH, SHARES

NUM_CLASSES = 2
# What Keras' layers and optimiser take by default, and what our own settings are.
EPSILON, MOMENTUM = 1e-3, 0.1
ADAM_EPSILON, CLIP = 1e-7, 1.0


def whiten(images):
    """Divides by the local ground, as `models.blocks.Whiten`."""
    cells = F.avg_pool2d(images, CELL)
    ground = _mean_around(cells)
    for share in SHARES:
        bright = (cells >= share * ground).float()
        ground = _mean_around(cells * bright) / _mean_around(bright).clamp(min=1e-6)
    ground = F.interpolate(ground, scale_factor=CELL, mode="nearest")
    return (255.0 * images / ground.clamp(min=1.0)).clamp(max=512.0)


def _mean_around(cells):
    """Averages over the cells around each, those beyond the edge left out."""
    for height, width in ((REACH, 1), (1, REACH)):
        around = (height // 2, width // 2)
        cells = F.avg_pool2d(cells, (height, width), stride=1, padding=around, count_include_pad=False)
    return cells


class ConvBlock(nn.Module):
    """3x3 convolution, batch normalisation and ReLU, as `models.blocks.conv_block`."""

    def __init__(self, channels_in, channels, strides=1):
        super().__init__()
        self.strides = strides
        self.conv = nn.Conv2d(channels_in, channels, 3, stride=strides, padding=strides % 2, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)

    def forward(self, x):
        """Gives `(batch, channels, height / strides, width / strides)`."""
        if self.strides == 2:
            # Keras pads below and to the right only.
            x = F.pad(x, (0, 1, 0, 1))
        return F.relu(self.norm(self.conv(x)))


class UNet(nn.Module):
    """`models.unet.unet` with its half-resolution body; the layers bear the names of ours.

    Args:
        width: Channels of the first level.
        depth: Number of levels.
    """

    def __init__(self, width, depth):
        super().__init__()
        channels = [width * min(2**level, 16) for level in range(depth)]
        self.depth, self.blocks, self.narrow = depth, nn.ModuleDict(), nn.ModuleDict()
        for level, (before, own) in enumerate(zip([1, *channels], channels, strict=False)):
            self.blocks[f"down{level}_1"] = ConvBlock(before, own, strides=1 if level else 2)
            self.blocks[f"down{level}_2"] = ConvBlock(own, own)
        for level in reversed(range(depth - 1)):
            self.narrow[f"up{level}"] = nn.Conv2d(channels[level + 1], channels[level], 1, bias=False)
            self.blocks[f"up{level}"] = ConvBlock(2 * channels[level], channels[level])
        self.logits = nn.Conv2d(width, 4 * NUM_CLASSES, 3, padding=1)

    def forward(self, images):
        """Gives float32 logits `(batch, 2, height, width)` of float32 images with one channel, values 0..255."""
        x = 2.0 - whiten(images) / 127.5
        skips = []
        for level in range(self.depth):
            if level:
                skips.append(x)
                x = F.max_pool2d(x, 2)
            x = self.blocks[f"down{level}_2"](self.blocks[f"down{level}_1"](x))
        for level, skip in reversed(list(enumerate(skips))):
            x = F.interpolate(self.narrow[f"up{level}"](x), scale_factor=2, mode="nearest")
            x = self.blocks[f"up{level}"](torch.cat([x, skip], 1))
        with torch.autocast(images.device.type, enabled=False):
            return F.pixel_shuffle(self.logits(x.float()), 2)


def load_weights(net, weights):
    """Copies the weights of our network.

    Args:
        net: A `UNet` of the same width and depth.
        weights: The arrays of each Keras layer by its name, as `keras_side.weights_of` gives them.
    """
    taken = {name: [torch.as_tensor(array) for array in arrays] for name, arrays in weights.items()}
    kernels = {name: arrays[0].permute(3, 2, 0, 1) for name, arrays in taken.items() if arrays[0].ndim == 4}
    with torch.no_grad():
        for name, block in net.blocks.items():
            block.conv.weight.copy_(kernels[f"{name}_conv"])
            norm = block.norm
            targets = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            for target, array in zip(targets, taken[f"{name}_norm"], strict=True):
                target.copy_(array)
        for name, conv in net.narrow.items():
            conv.weight.copy_(kernels[f"{name}_narrow"])
        # Keras lays a pixel's four places out before the classes, torch after them.
        order = torch.arange(4 * NUM_CLASSES).reshape(4, NUM_CLASSES).T.flatten()
        net.logits.weight.copy_(kernels["logits"][order])
        net.logits.bias.copy_(taken["logits"][1][order])


def parameter_count(net):
    """Counts what is trained."""
    return sum(parameter.numel() for parameter in net.parameters())


def bce_dice(logits, truth):
    """Cross-entropy and Dice of two classes, as `losses.SegmentationLoss`.

    Args:
        logits: float32 `(batch, 2, height, width)`.
        truth: Class indices `(batch, height, width)`.
    """
    probability = logits.softmax(1)[:, 1]
    found = (truth * probability).sum()
    dice = (found + 1.0) / (0.5 * (truth.sum() + probability.sum()) + 1.0)
    return F.cross_entropy(logits, truth) + 1.0 - dice


def bins_of(logits, truth):
    """Gives each pixel's place among the counts of `metrics.PixelScores`, as float32 for `histc`."""
    probability = logits.detach().softmax(1)[:, 1].nan_to_num()
    return truth * BINS + (probability * (BINS - 1)).round()


def clip_each(gradients):
    """Shortens each gradient to norm 1, in place, as Keras' `clipnorm`."""
    scales = CLIP / torch.stack(torch._foreach_norm(gradients)).clamp(min=CLIP)
    torch._foreach_mul_(gradients, scales.unbind())


def to_device(images, masks):
    """Moves a batch in Keras' layout to the device: `(batch, 1, height, width)` and `(batch, height, width)`."""
    images = torch.as_tensor(images).permute(0, 3, 1, 2).to(DEVICE).contiguous(memory_format=torch.channels_last)
    return images, torch.as_tensor(masks[..., 0]).long().to(DEVICE)


def logits_and_loss(net, images, masks):
    """Computes in float32 and without the shortcuts that accelerators take there, as `keras_side.logits_and_loss`."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    net = copy.deepcopy(net).eval().to(DEVICE)
    images, truth = to_device(images, masks)
    with torch.inference_mode():
        logits = net(images)
        loss = float(bce_dice(logits, truth))
    torch.backends.cudnn.allow_tf32 = allowed
    return logits.permute(0, 2, 3, 1).cpu().numpy(), loss


class TorchSide:
    """The network in channels-last memory under autocast to bfloat16, with fused AdamW.

    Args:
        net: A `UNet`.
        config: The `config.TrainConfig` that our side trains with.
        batch: `(images, masks)` in Keras' layout.
        scores: Whether training counts scores.
        mode: Mode of `torch.compile`, or `none`.
    """

    name = "torch"

    def __init__(self, net, config, batch, scores, mode):
        torch.backends.cudnn.benchmark = True
        compiled = (lambda function: function) if mode == "none" else partial(torch.compile, mode=mode)
        self.net = net.to(DEVICE, memory_format=torch.channels_last).train()
        # A copy, so that the mode of neither changes while timings alternate.
        self.frozen = compiled(copy.deepcopy(self.net).eval())
        self.images, self.truth = to_device(*batch)
        self.scores, self.counts = scores, torch.zeros(2 * BINS, device=DEVICE)
        self.forward, self.clip = compiled(self._forward), compiled(clip_each)
        decayed = [parameter for parameter in net.parameters() if parameter.ndim > 1]
        kept = [parameter for parameter in net.parameters() if parameter.ndim == 1]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": kept, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, eps=ADAM_EPSILON, fused=True)

    def _forward(self, images, truth):
        logits = self.net(images)
        return bce_dice(logits, truth), bins_of(logits, truth) if self.scores else None

    def train(self):
        """Starts one step of training."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, torch.bfloat16):
            loss, bins = self.forward(self.images, self.truth)
        loss.backward()
        self.clip([parameter.grad for parameter in self.net.parameters()])
        self.optimizer.step()
        if self.scores:
            # `bincount` would wait for the device.
            self.counts += torch.histc(bins, 2 * BINS, 0, 2 * BINS)

    def infer(self):
        """Starts one batch of inference."""
        with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16):
            self.frozen(self.images)

    def wait(self):
        """Waits until everything that was started is done."""
        wait()

    def peak_bytes(self):
        """Gives the most memory of the device that torch has held so far, or None on a CPU."""
        return torch.cuda.max_memory_allocated() if DEVICE == "cuda" else None


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def wait():
    """Waits for the device; a CPU has done what was asked when the call returns."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def device():
    """Gives `(kind, name)` of the device that torch computes on: `gpu` or `cpu`, and what it is called."""
    return ("gpu", torch.cuda.get_device_name()) if DEVICE == "cuda" else ("cpu", "cpu")


def versions():
    """Gives the versions of what computes on this side."""
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


def matrix_product(side):
    """Makes the large product in bfloat16 by which the device is measured, as `keras_side.matrix_product`."""
    left, right = (torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    result = torch.empty_like(left)
    return partial(torch.matmul, left, right, out=result), wait
