"""HTTP/1.1 conformance of the forwarding path: cases as data, on real sockets, beside nginx and Node."""
