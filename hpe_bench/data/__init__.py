"""Data: skeletons, persons, loaders, the embedded mannequins, crops and augmentation."""
