//! Good and bad clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::http::{connect, request};
use crate::support::slow::SlowClients;

/// Sends requests of all kinds, in parallel with two hundred slow clients.
pub(crate) fn run(address: &str) {
    let _slow = SlowClients::start(address, 200);
    let openmetrics = [("Accept", "application/openmetrics-text;version=1.0.0"), ("Accept-Encoding", "gzip")];
    for _ in 0..20 {
        assert_eq!(request(address, "GET", "/metrics", &[]).status, 200);
        assert_eq!(request(address, "GET", "/metrics", &openmetrics).status, 200);
        for path in
            ["/", "/api/v1/containers", "/-/ready", "/containers/no-such", "/api/v1/containers/x/tree"]
        {
            request(address, "GET", path, &[]);
        }
        close_during_the_response(address);
        send_garbage(address);
    }
}

fn close_during_the_response(address: &str) {
    let mut stream = connect(address);
    let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let _ = stream.read(&mut [0; 10]);
}

fn send_garbage(address: &str) {
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n"[..], b"GET / HTTP/9\r\n\r\n", &[b'A'; 70_000]]
    {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
}
