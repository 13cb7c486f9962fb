"""The adapter passes the suite that every adapter passes."""

from xbench_onnx_reference import OnnxReferenceAdapter

from xbench.testing.conformance import AdapterConformance


class TestOnnxReference(AdapterConformance):
    """Each test is inherited; the class says what is tested."""

    adapter = OnnxReferenceAdapter
