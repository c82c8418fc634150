//! SAM through ONNX Runtime.
