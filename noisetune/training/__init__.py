"""What both training stages share: augmentation on the device, optimisers, the loop, precision."""
