"""Where CIFAR-10 can come from: a file each."""
