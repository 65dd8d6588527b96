"""Helpers of any training run, on images or not: atomic files, strict records, checksums, user code."""
