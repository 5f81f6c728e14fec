"""Speech on a device with streams: schedulers that know no vendor, and CUDA as their one device."""
