"""Workflows as people's commands and scripts see them, on a cluster or on this machine."""
