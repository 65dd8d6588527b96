"""CIFAR-10 as numpy arrays: fetched, verified, stored on disk, split into training and validation images."""
