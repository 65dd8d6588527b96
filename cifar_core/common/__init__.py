"""What any training run needs, of images or not: whole files, strict records, checksums, code of the user."""
