"""Official GPT-SoVITS checkpoint in, verified bundle out (needs torch and onnx)."""
