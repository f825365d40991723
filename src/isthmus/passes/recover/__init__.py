"""What a framework spelled out in small operators is written as the one operator of ONNX that means it."""
