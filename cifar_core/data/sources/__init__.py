"""Where CIFAR-10 can come from. A further source is a class that fits `Source`, and a line in `SOURCES`."""
