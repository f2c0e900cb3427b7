"""A program as ONNX: one Scan over time, integer operators only, weights of four bits where they fit."""

from spikequant.deploy.onnx.writing import Written, check_onnx, write_onnx

__all__ = ["Written", "check_onnx", "write_onnx"]
