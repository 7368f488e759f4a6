//! A minimal HTTP client that can also send invalid requests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Only ends tests that hang. Has the same value as `PATIENCE`, which is not available in benchmarks.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the exporter listens");
    stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a timeout can be set");
    stream
}

/// Sends one request over one connection and asks the server to close it.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut stream = connect(address);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("the request is taken");
    read_to_end(stream)
}

/// Whether a server such as Prometheus is ready.
pub fn is_ready(address: &str) -> bool {
    TcpStream::connect(address).is_ok() && request(address, "GET", "/-/ready", &[]).status == 200
}

/// The JSON response of an API to a GET request.
pub fn json(address: &str, path: &str) -> Value {
    let response = request(address, "GET", path, &[("Accept", "application/json")]);
    let body = if response.head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        dechunk(&response.body)
    } else {
        response.body
    };
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads everything until the server closes the connection.
pub fn read_to_end(mut stream: TcpStream) -> Response {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the answer comes");
    parse(&bytes)
}

pub fn parse(bytes: &[u8]) -> Response {
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a response has a head");
    let head = String::from_utf8(bytes[..split].to_vec()).expect("the head is text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Response { status, head, body: bytes[split + 4..].to_vec() }
}

/// The body of a response in chunks (RFC 9112, section 7.1).
pub fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|window| window == b"\r\n").expect("a chunk has a size");
        let size = std::str::from_utf8(&body[..line]).expect("the size is text");
        let size = usize::from_str_radix(size, 16).expect("the size is hexadecimal");
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[line + 2..line + 2 + size]);
        body = &body[line + 2 + size + 2..];
    }
}
