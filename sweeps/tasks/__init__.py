"""Tasks, one file each: image classification with `cifar_core`, and custom training functions."""
