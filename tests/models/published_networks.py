"""torchvision's networks as if they were published ones: nothing in them is as at the start."""

from torchvision.models import ResNet, get_model

from noisetune.seeds import seeded_initialisation


def resnet_with_statistics(name: str) -> ResNet:
    """A network of torchvision's with running statistics that no initialisation has."""
    with seeded_initialisation(name):
        network = get_model(name, weights=None).eval()
        assert isinstance(network, ResNet)
        for each, buffer in network.named_buffers():
            if "running" in each:
                buffer.uniform_(0.5, 1.5)
    return network
