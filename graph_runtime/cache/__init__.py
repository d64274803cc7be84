"""Where results are kept: device, host memory and disk, addressed by content."""
