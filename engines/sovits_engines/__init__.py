"""ONNX to TensorRT engines: detection, build, cache (needs tensorrt)."""
