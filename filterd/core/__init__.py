"""The pure middle: bytes in, values out; no clock, no network, no disk, no logging."""
