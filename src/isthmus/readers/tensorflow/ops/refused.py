"""Operators that are refused, each with the fact for which it is."""

from __future__ import annotations

from isthmus.readers.tensorflow.contract import Reads

table = Reads()

table.refuse(
    "ONNX has no operator that draws numbers of its distribution",
    "ParameterizedTruncatedNormal",
    "RandomGamma",
    "RandomPoissonV2",
    "SampleDistortedBoundingBox",
    "SampleDistortedBoundingBoxV2",
    "StatefulRandomBinomial",
)
table.refuse(
    "its numbers come from a generator whose state is no tensor of ONNX",
    "StatefulStandardNormalV2",
    "StatefulTruncatedNormal",
    "StatefulUniform",
    "StatefulUniformInt",
)
table.refuse(
    "its numbers are drawn again until they fit, and how often that is ONNX cannot tell",
    "StatelessParameterizedTruncatedNormal",
    "StatelessRandomBinomial",
    "StatelessRandomGammaV2",
    "StatelessRandomGammaV3",
    "StatelessRandomPoisson",
    "StatelessTruncatedNormal",
    "StatelessTruncatedNormalV2",
)
table.refuse(
    "it looks into texts, and ONNX Runtime has no operator that takes them apart or counts their characters",
    "ReduceJoin",
    "RegexReplace",
    "StaticRegexReplace",
    "StringFormat",
    "StringLength",
    "StringNGrams",
    "StringStrip",
    "Substr",
    "UnicodeDecode",
    "UnicodeEncode",
    "UnicodeScript",
    "UnicodeTranscode",
    "UnsortedSegmentJoin",
)
table.refuse(
    "it makes numbers of the bytes of texts, which ONNX's operators do not see",
    "DecodeRaw",
    "Fingerprint",
    "SparseCross",
    "SparseCrossHashed",
    "SparseCrossV2",
    "StringToHashBucket",
    "StringToHashBucketFast",
    "StringToHashBucketStrong",
)
table.refuse(
    "it decodes or encodes files, for which ONNX Runtime has no operator: decode them before the model",
    "DecodeAndCropJpeg",
    "DecodeBase64",
    "DecodeBmp",
    "DecodeCSV",
    "DecodeGif",
    "DecodeImage",
    "DecodeJpeg",
    "DecodePng",
    "DecodeWav",
    "EncodeBase64",
    "EncodeJpeg",
    "EncodePng",
    "ParseExample",
    "ParseExampleV2",
    "ParseSingleExample",
    "ParseTensor",
    "SerializeTensor",
)
table.refuse(
    "it is a part of an input pipeline: convert the computation that begins behind it",
    "FIFOQueueV2",
    "IteratorGetNext",
    "IteratorV2",
    "QueueDequeueManyV2",
    "QueueDequeueUpToV2",
    "QueueDequeueV2",
    "QueueEnqueueManyV2",
    "QueueEnqueueV2",
    "ReadFile",
    "WholeFileReaderV2",
    "WriteFile",
)
table.refuse("it calls Python, which no other program can", "EagerPyFunc", "PyFunc", "PyFuncStateless")
table.refuse(
    "ragged tensors inside of variants have no type in ONNX",
    "RaggedTensorFromVariant",
    "RaggedTensorToVariant",
)
table.refuse(
    "it is found by iteration until nothing changes, for which ONNX has no operator",
    "MatrixExponential",
    "MatrixLogarithm",
    "MatrixSquareRoot",
)
