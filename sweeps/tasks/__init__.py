"""What a trial can be, a file each: networks for images by `cifar_core`."""
