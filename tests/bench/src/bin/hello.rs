//! A function that starts as fast as a program can: the standard library, one thread, one reply.
//! Listens on the port in `PORT`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .ok_or_else(|| std::io::Error::other("PORT is no port"))?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    loop {
        let (stream, _) = listener.accept()?;
        let mut lines = BufReader::new(&stream).lines();
        // Whoever only connects wanted to know whether somebody listens.
        if lines.next().is_none() {
            continue;
        }
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let _ = (&stream)
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    }
}
