"""Sources of CIFAR-10, one file each."""
