"""Speech on a device with streams: schedulers that depend on no vendor, and CUDA as the one device."""
