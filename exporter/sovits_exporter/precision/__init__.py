"""FP16, int8 and int4 copies of a bundle: what changes in which graph."""
