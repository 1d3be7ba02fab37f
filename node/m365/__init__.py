"""Microsoft's identity and clouds: tokens and endpoint presets."""
