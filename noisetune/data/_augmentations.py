"""The augmentations that data sets name: for small pictures, and for large ones."""

from noisetune.training.augment import AugmentConfig

# Those of "Pre-train to Gain" (arXiv 2511.20844) on CIFAR; the blur has a 3-pixel kernel, always.
SMALL_SSL = AugmentConfig(
    crop_scale=(0.2, 1.0), flip=0.5, jitter=(0.8, 0.8, 0.8, 0.2), grayscale=0.2, blur=1.0
)
SMALL_FINETUNE = AugmentConfig(pad=4, flip=0.5)

# What torchvision's reference training and SimCLR (Chen et al. 2020, appendix A) do on ImageNet.
LARGE_FINETUNE = AugmentConfig(crop_scale=(0.08, 1.0), flip=0.5)
LARGE_SSL = AugmentConfig(
    crop_scale=(0.08, 1.0), flip=0.5, jitter=(0.8, 0.8, 0.8, 0.2), grayscale=0.2, blur=0.5
)
