"""The Open Inference Protocol over gRPC: `inference.GRPCInferenceService`, health and reflection.

Of this package only `server` is named elsewhere, and only where `gateway.grpc_port` is set: gRPC is an extra, and a
gateway that does not use it loads none of it.
"""
