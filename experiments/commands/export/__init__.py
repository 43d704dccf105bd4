"""`faithful-aad export`: a trained run as one ONNX file."""
