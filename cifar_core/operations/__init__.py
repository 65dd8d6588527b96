"""The operations of an augmentation, a file each: configuration, tensor code, what it does to the size.

A new operation is a new file here; tests/cifar_core/operations asks of each what every one does.
No torch is imported before one computes.
"""
