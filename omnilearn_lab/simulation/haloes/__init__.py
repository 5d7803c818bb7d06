"""Simulated universes: gravity on a particle mesh or in second order, and the haloes that form."""

__all__ = []
