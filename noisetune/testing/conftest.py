"""How the promises of plug-ins are looked at: on one thread, and without measuring the machine."""

import os

import torch

# The networks here are so small that several threads would only wait for each other.
torch.set_num_threads(1)
os.environ.setdefault("NOISETUNE_MEASURE", "0")
