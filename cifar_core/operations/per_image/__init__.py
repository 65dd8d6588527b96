"""Changes of images with a magnitude for each image, from which TrivialAugment and RandAugment draw.

Each equals torchvision's function of that name. Unlike the operations, these modules import torch.
"""
