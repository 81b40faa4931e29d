"""The augmentations that data sets name: for small pictures, and for large ones."""

from noisetune.training.augment import AugmentConfig

SMALL_PIXELS = 64
"""Images up to this shorter side are augmented as CIFAR's are."""
BLUR_SHARE = 0.1

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


def in_proportion(augment: AugmentConfig, factor: float) -> AugmentConfig:
    """The same views of images that are `factor` times as large.

    What is counted in pixels grows with them; crops are shares of the image as it is.
    """
    low, high = augment.blur_sigma
    kernel = max(1, round((factor * augment.blur_kernel - 1) / 2) * 2 + 1)
    return augment.model_copy(
        update={
            "pad": round(factor * augment.pad),
            "blur_kernel": kernel,
            "blur_sigma": (factor * low, factor * high),
        }
    )


def of_pictures(size: tuple[int, int], flip: bool) -> tuple[AugmentConfig, AugmentConfig]:
    """Of fine-tuning and of pre-training on pictures of `size` (H, W) pixels; a blur is a tenth of
    a large one wide. `flip`: mirrored ones are the same thing."""
    shorter = min(size)
    finetune, ssl = SMALL_FINETUNE, SMALL_SSL
    if shorter > SMALL_PIXELS:
        kernel = 2 * (round(BLUR_SHARE * shorter) // 2) + 1
        finetune, ssl = LARGE_FINETUNE, LARGE_SSL.model_copy(update={"blur_kernel": kernel})
    update = {} if flip else {"flip": 0.0}
    return finetune.model_copy(update=update), ssl.model_copy(update=update)
