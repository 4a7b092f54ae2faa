"""From objects and samples to abundance, biovolume and size spectra, with intervals."""
