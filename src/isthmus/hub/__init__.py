"""The hub: one canonical onnx-ir model that every reader produces and every writer consumes."""
