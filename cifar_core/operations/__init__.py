"""The operations of an augmentation, one file each: configuration, tensor code, resulting image size.

A new operation is a new file here; tests/cifar_core/operations runs the conformance tests on each. torch is imported
only when an operation is applied.
"""
