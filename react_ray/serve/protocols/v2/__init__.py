"""The open inference protocol, version 2, over HTTP and as gRPC."""
