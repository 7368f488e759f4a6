//! A connection for many requests, as scrapers and browsers keep theirs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use crate::support::http::{self, Response, connect};

pub struct KeepAlive(BufReader<TcpStream>);

impl KeepAlive {
    pub fn connect(address: &str) -> Self {
        Self(BufReader::new(connect(address)))
    }

    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        self.0.get_mut().write_all(request.as_bytes()).expect("the request is accepted");
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let count = self.0.read_until(b'\n', &mut bytes).expect("a head");
            assert!(count > 0, "closed before the response to {path}");
        }
        let head = http::parse(&bytes);
        let length = head.header("content-length").expect("a length").parse().expect("a number");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        Response { body, ..head }
    }
}
