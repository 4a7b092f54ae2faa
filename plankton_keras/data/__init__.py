"""Records and datasets: the zone where TensorFlow and KerasCV are at home."""
