"""Finds in what people have - an installed GPT-SoVITS, a pack, a folder of packs - what a voice is built of."""
