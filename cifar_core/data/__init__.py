"""CIFAR-10 as numpy arrays: fetched, verified, kept on disk, split into training and validation images."""
